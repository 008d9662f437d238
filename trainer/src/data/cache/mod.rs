//! What frozen encoders make of a data set, computed once: the moments of every picture's latents and every caption's embedding.
//!
//! [`build`] writes a folder of safetensors shards with a manifest, `cache.json`; [`Cache::open`] maps it into memory and refuses it where
//! the data set, an encoder or the resolution is another one ([`Key`]); a [`CachedLoader`] gives batches in the order in which a
//! [`Loader`](super::Loader) of the same seed gives pictures.

mod build;
mod error;
mod key;
mod loader;
mod manifest;
mod partial;
#[cfg(test)]
mod tests;

pub use build::{BuildOptions, Built, Stage, Watch, build};
pub use error::{Error, Result};
pub use key::{Key, Part};
pub use loader::{CachedLoader, CachedOptions, LatentBatch};
pub use manifest::{FILE_NAME, Picture, SCHEMA};

use super::Broken;
use half::f16;
use manifest::Manifest;
use pleach_model::{checkpoint::Checkpoint, tensor::Dtype};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Tensors of the shards.
const MOMENTS: &str = "moments";
const FLIPPED: &str = "flipped";
const EMBEDDINGS: &str = "embeddings";

/// A cache, mapped into memory.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    manifest: Manifest,
    moments: Vec<Checkpoint>,
    embeddings: Vec<Checkpoint>,
}

impl Cache {
    /// Opens the cache in a folder, which must have been made for `expected`.
    ///
    /// # Errors
    /// [`Error::Stale`] says which part is another one; [`Error::File`], [`Error::Manifest`], [`Error::Newer`], [`Error::Shard`],
    /// [`Error::Checkpoint`].
    pub fn open(folder: &Path, expected: &Key) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        let parts = manifest.key.differing(expected);
        if !parts.is_empty() {
            return Err(Error::Stale { folder: folder.to_owned(), parts });
        }
        let shards = |stem: &str, rows: usize, tensors: &[(&str, Vec<usize>)]| -> Result<Vec<Checkpoint>> {
            let open = |(name, rows): (String, Range<usize>)| {
                open_shard(&folder.join(name), rows.len(), manifest.precision, tensors)
            };
            manifest::shards(stem, rows, manifest.rows_per_shard).map(open).collect()
        };
        let latent = manifest.moments.to_vec();
        let mut tensors = vec![(MOMENTS, latent.clone())];
        tensors.extend(manifest.flip.then_some((FLIPPED, latent)));
        let moments = shards(MOMENTS, manifest.pictures.len(), &tensors)?;
        let embeddings = shards(EMBEDDINGS, manifest.captions, &[(EMBEDDINGS, manifest.embedding.to_vec())])?;
        Ok(Self { folder: folder.to_owned(), manifest, moments, embeddings })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it was made for.
    pub fn key(&self) -> &Key {
        &self.manifest.key
    }

    /// The pictures, those that could not be used among them, as in the data set.
    pub fn pictures(&self) -> &[Picture] {
        &self.manifest.pictures
    }

    /// Pictures that could not be used: they have no moments.
    pub fn broken(&self) -> &[Broken] {
        &self.manifest.broken
    }

    /// Whether mirrored pictures are there too.
    pub fn has_flipped(&self) -> bool {
        self.manifest.flip
    }

    /// `[2 C, h, w]`: channels of mean and log-variance, height and width of the latents.
    pub fn moments_shape(&self) -> [usize; 3] {
        self.manifest.moments
    }

    /// `[N, D]`: positions and features of an embedding.
    pub fn embedding_shape(&self) -> [usize; 2] {
        self.manifest.embedding
    }

    /// Appends a picture's moments, or those of its mirror image, to `values`.
    ///
    /// # Errors
    /// [`Error::NoRow`] for a picture, or a mirror image, that is not there.
    pub fn moments(&self, picture: usize, flipped: bool, values: &mut Vec<f32>) -> Result<()> {
        self.row(&self.moments, if flipped { FLIPPED } else { MOMENTS }, picture, values)
    }

    /// Appends a caption's embedding to `values`; [`Picture::captions`] are such numbers.
    ///
    /// # Errors
    /// [`Error::NoRow`].
    pub fn embedding(&self, caption: usize, values: &mut Vec<f32>) -> Result<()> {
        self.row(&self.embeddings, EMBEDDINGS, caption, values)
    }

    /// The embedding of the empty caption, `[N, D]`.
    ///
    /// # Errors
    /// [`Error::NoRow`] never, as long as the files stay as they are.
    pub fn empty_caption(&self) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        self.embedding(0, &mut values)?;
        Ok(values)
    }

    fn row(&self, shards: &[Checkpoint], tensor: &'static str, row: usize, values: &mut Vec<f32>) -> Result<()> {
        let none = || Error::NoRow { folder: self.folder.clone(), tensor, row };
        let view = shards.get(row / self.manifest.rows_per_shard).ok_or_else(none)?.get(tensor)?;
        let bytes = view.shape.iter().skip(1).product::<usize>() * view.dtype.size();
        let start = row % self.manifest.rows_per_shard * bytes;
        let bytes = view.bytes.get(start..start + bytes).ok_or_else(none)?;
        match view.dtype {
            Dtype::F16 => {
                values.extend(bytes.as_chunks::<2>().0.iter().map(|&half| f16::from_le_bytes(half).to_f32()));
            }
            _ => values.extend(bytes.as_chunks::<4>().0.iter().map(|&float| f32::from_le_bytes(float))),
        }
        Ok(())
    }
}

/// A shard with exactly these tensors, of `rows` rows each.
fn open_shard(path: &Path, rows: usize, dtype: Dtype, tensors: &[(&str, Vec<usize>)]) -> Result<Checkpoint> {
    let shard = Checkpoint::open(path)?;
    let wrong = |reason: String| Error::Shard { path: path.to_owned(), reason };
    if shard.names().len() != tensors.len() {
        return Err(wrong(format!("holds {} tensors, not {}", shard.names().len(), tensors.len())));
    }
    for (name, shape) in tensors {
        let view = shard.get(name)?;
        let shape = [&[rows], shape.as_slice()].concat();
        if view.dtype != dtype || view.shape != shape {
            return Err(wrong(format!("holds {name} as {}{:?}, not {dtype}{shape:?}", view.dtype, view.shape)));
        }
    }
    Ok(shard)
}
