//! `cache.json`: what a cache was made of, and which row belongs to which picture and caption.

use super::{
    Key,
    error::{Error, Result},
};
use crate::data::Broken;
use pleach_model::{
    files::{self, read_bounded},
    tensor::Dtype,
};
use serde::{Deserialize, Serialize};
use std::{ops::Range, path::Path};

/// Name of the manifest in a cache's folder.
pub const FILE_NAME: &str = "cache.json";
/// The schema that this version writes, and the latest that it reads.
pub const SCHEMA: u64 = 1;
/// Ten million pictures.
const MAX_BYTES: u64 = 2 << 30;

/// The manifest of a cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub schema: u64,
    pub key: Key,
    pub precision: Dtype,
    /// Whether mirrored pictures are there too.
    pub flip: bool,
    /// Rows of every shard but the last of its kind.
    pub rows_per_shard: usize,
    /// `[2 C, h, w]` of a picture.
    pub moments: [usize; 3],
    /// `[N, D]` of a caption.
    pub embedding: [usize; 2],
    /// Number of embeddings. The first is of the empty caption.
    pub captions: usize,
    pub pictures: Vec<Picture>,
    /// Pictures that could not be used; their rows mean nothing.
    pub broken: Vec<Broken>,
}

/// A picture of a cache; its number is that of its moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Its file's name.
    pub name: String,
    /// Numbers of its captions' embeddings.
    pub captions: Vec<usize>,
}

impl Manifest {
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let bytes = read_bounded(&path, MAX_BYTES)?;
        let wrong = |reason: String| Error::Manifest { path: path.clone(), reason };
        /// What every schema has.
        #[derive(Deserialize)]
        struct Envelope {
            schema: u64,
        }
        let Envelope { schema } = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if schema > SCHEMA {
            return Err(Error::Newer { path, schema });
        }
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let manifest: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(error.to_string()))?;
        manifest.check().map_err(|reason| wrong(reason.to_owned()))?;
        Ok(manifest)
    }

    /// What reading relies on.
    fn check(&self) -> Result<(), &'static str> {
        let rows = self.pictures.iter().flat_map(|picture| &picture.captions);
        if self.rows_per_shard == 0 {
            return Err("rows_per_shard: is zero");
        }
        if !matches!(self.precision, Dtype::F16 | Dtype::F32) {
            return Err("precision: is neither f16 nor f32");
        }
        if self.captions == 0 || rows.copied().any(|row| row >= self.captions) {
            return Err("pictures: a caption has no embedding");
        }
        if self.broken.iter().any(|broken| broken.index >= self.pictures.len()) {
            return Err("broken: a picture is not listed");
        }
        if self.broken.len() >= self.pictures.len() {
            return Err("pictures: none can be used");
        }
        Ok(())
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE_NAME);
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::Manifest { path: path.clone(), reason: error.to_string() })?;
        Ok(files::write(&path, &[json.as_slice(), b"\n"].concat())?)
    }
}

/// Names of the shards of a kind, and which rows each holds.
pub(super) fn shards(stem: &str, rows: usize, rows_per_shard: usize) -> impl Iterator<Item = (String, Range<usize>)> {
    let step = rows_per_shard.max(1);
    (0..rows.div_ceil(step)).map(move |i| (format!("{stem}-{i:05}.safetensors"), i * step..((i + 1) * step).min(rows)))
}
