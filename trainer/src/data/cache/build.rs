//! Making a cache, shard by shard, so that an interruption costs one shard at most.

use super::{
    EMBEDDINGS, FLIPPED, Key, MOMENTS,
    error::{Error, Result},
    manifest::{Manifest, Picture, SCHEMA, shards},
    open_shard,
    partial::{Partial, Plan, check_room},
};
use crate::{
    data::{self, Broken, Dataset, Draw, Transform, files::is_too_much, picture::attempt},
    encoders::{LatentEncoder, TextEncoder},
    torch::Value,
};
use half::f16;
use pleach_model::{
    checkpoint::{Checkpoint, NewTensor, write_safetensors},
    files,
    pipeline::CheckpointPipeline,
    tensor::Dtype,
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::Range,
    path::Path,
};
use tch::{Device, Tensor};

/// Where a shard says which of its pictures could not be used.
const BROKEN: &str = "broken";

/// How a cache is made.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions {
    /// Side of the squares that are encoded.
    pub resolution: usize,
    /// Pictures or captions encoded at once.
    pub batch: usize,
    /// Whether mirrored pictures are encoded too.
    pub flip: bool,
    /// Type of the numbers kept: f16 or f32. They are computed in f32.
    pub precision: Dtype,
    /// Where they are computed.
    pub device: Device,
    /// Rows of a shard: what an interruption can cost.
    pub rows_per_shard: usize,
    /// Whether a cache that is there already is replaced.
    pub overwrite: bool,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            resolution: 512,
            batch: 8,
            flip: false,
            precision: Dtype::F16,
            device: Device::Cpu,
            rows_per_shard: 256,
            overwrite: false,
        }
    }
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The data set and the weights are hashed.
    Hashing,
    /// Captions are encoded.
    Captions {
        /// How many there are.
        total: usize,
        /// How many an earlier run encoded.
        done: usize,
    },
    /// Pictures are encoded.
    Pictures {
        /// How many there are.
        total: usize,
        /// How many an earlier run encoded.
        done: usize,
    },
}

/// Follows the making of a cache.
pub trait Watch {
    /// A stage begins.
    fn begin(&self, stage: Stage) {
        let _ = stage;
    }

    /// That many more captions or pictures are encoded.
    fn encoded(&self, count: usize) {
        let _ = count;
    }

    /// A picture cannot be used.
    fn broken(&self, broken: &Broken) {
        let _ = broken;
    }

    /// Whether to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Watch for () {}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Built {
    /// Pictures with moments.
    pub pictures: usize,
    /// Captions with embeddings, the empty one among them.
    pub captions: usize,
    /// Size of all files.
    pub bytes: u64,
    /// Pictures that cannot be used.
    pub broken: Vec<Broken>,
}

/// Makes a cache of `dataset` for the encoders of `pipeline` in the folder `out`, which appears whole or not at all.
///
/// Interrupted, it leaves what it has computed in `out` with `.unfinished` at the end of its name; the same call goes on from there.
///
/// # Errors
/// [`Error::Interrupted`], and everything that a data set, an encoder or a file can say.
pub fn build(
    dataset: &dyn Dataset,
    pipeline: &CheckpointPipeline,
    out: &Path,
    options: &BuildOptions,
    watch: &dyn Watch,
) -> Result<Built> {
    let BuildOptions { resolution, precision, flip, .. } = *options;
    if !matches!(precision, Dtype::F16 | Dtype::F32) {
        return Err(Error::Precision(precision));
    }
    if dataset.is_empty() || options.batch == 0 {
        return Err(data::Error::Nothing { pictures: dataset.len(), batch: options.batch }.into());
    }
    check_room(out, options.overwrite)?;
    let latents = LatentEncoder::open(pipeline, options.device, Dtype::F32)?;
    let factor = latents.config().factor();
    if resolution == 0 || !resolution.is_multiple_of(factor) {
        return Err(Error::Resolution { resolution, factor });
    }
    let text = TextEncoder::open(pipeline, options.device, Dtype::F32)?;
    watch.begin(Stage::Hashing);
    let key = Key::of(dataset, pipeline, resolution)?;
    let rows_per_shard = options.rows_per_shard.max(1);
    let partial = Partial::open(out, &Plan { key: key.clone(), precision, flip, rows_per_shard })?;
    let (pictures, captions) = index(dataset);
    let maker = Maker { dataset, folder: &partial.folder, options, rows_per_shard, watch };
    let embedding = text.shape();
    maker.captions(&captions, &text)?;
    let side = resolution / factor;
    let moments = [2 * latents.config().latent_channels, side, side];
    let broken = maker.pictures(&latents, moments)?;
    let manifest = Manifest {
        schema: SCHEMA,
        key,
        precision,
        flip,
        rows_per_shard,
        moments,
        embedding,
        captions: captions.len(),
        pictures,
        broken,
    };
    partial.finish(out, options.overwrite, |folder| manifest.write(folder))?;
    let (pictures, captions) = (dataset.len() - manifest.broken.len(), captions.len());
    Ok(Built { pictures, captions, bytes: size(out)?, broken: manifest.broken })
}

/// The pictures with their captions' numbers, and the captions, each once, the empty one first.
fn index(dataset: &dyn Dataset) -> (Vec<Picture>, Vec<String>) {
    let mut captions = vec![String::new()];
    let mut numbers = HashMap::from([(String::new(), 0)]);
    let mut number = |caption: &String| {
        *numbers.entry(caption.clone()).or_insert_with(|| {
            captions.push(caption.clone());
            captions.len() - 1
        })
    };
    let picture = |index| Picture {
        name: dataset.name(index).into_owned(),
        captions: dataset.captions(index).iter().map(&mut number).collect(),
    };
    let pictures = (0..dataset.len()).map(picture).collect();
    (pictures, captions)
}

fn size(folder: &Path) -> Result<u64, files::Error> {
    let failed = |source| files::Error::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.metadata().map_err(failed)?.len())).sum()
}

/// Makes the shards that are not there yet.
struct Maker<'a> {
    dataset: &'a dyn Dataset,
    folder: &'a Path,
    options: &'a BuildOptions,
    rows_per_shard: usize,
    watch: &'a dyn Watch,
}

impl Maker<'_> {
    fn captions(&self, captions: &[String], encoder: &TextEncoder) -> Result<()> {
        let tensors = [(EMBEDDINGS, encoder.shape().to_vec())];
        let (done, missing) = self.shards(EMBEDDINGS, captions.len(), &tensors);
        self.watch.begin(Stage::Captions { total: captions.len(), done: rows(&done) });
        for (name, range) in missing {
            let mut bytes = Vec::new();
            for batch in captions.get(range.clone()).unwrap_or_default().chunks(self.options.batch) {
                self.poll()?;
                let of = || format!("the captions from {:?} on", batch.first());
                self.append(&encoder.encode(batch)?, EMBEDDINGS, of, &mut bytes)?;
                self.watch.encoded(batch.len());
            }
            self.write(&name, range.len(), &[(EMBEDDINGS, &tensors[0].1, &bytes)], &BTreeMap::new())?;
        }
        Ok(())
    }

    fn pictures(&self, encoder: &LatentEncoder, shape: [usize; 3]) -> Result<Vec<Broken>> {
        let mut tensors = vec![(MOMENTS, shape.to_vec())];
        tensors.extend(self.options.flip.then(|| (FLIPPED, shape.to_vec())));
        let total = self.dataset.len();
        let (done, missing) = self.shards(MOMENTS, total, &tensors);
        self.watch.begin(Stage::Pictures { total, done: rows(&done) });
        let mut broken: Vec<Broken> = done.iter().flat_map(|(_, shard)| broken_of(shard)).collect();
        for (name, range) in missing {
            let (known, length) = (broken.len(), range.len());
            let (mut plain, mut flipped) = (Vec::new(), Vec::new());
            for start in range.clone().step_by(self.options.batch) {
                self.poll()?;
                let batch = start..(start + self.options.batch).min(range.end);
                let pictures = self.decode(&batch, &mut broken)?;
                let of = || format!("the pictures from {} on", self.dataset.name(start));
                self.append(&encoder.moments(&pictures)?, MOMENTS, of, &mut plain)?;
                if self.options.flip {
                    let pictures = pictures.f_flip([3]).map_err(crate::encoders::Error::from)?;
                    self.append(&encoder.moments(&pictures)?, FLIPPED, of, &mut flipped)?;
                }
                self.watch.encoded(batch.len());
            }
            let new = broken.get(known..).unwrap_or_default();
            let list = serde_json::to_string(new).map_err(|error| self.unwritten(&name, error))?;
            let metadata = BTreeMap::from([(BROKEN.to_owned(), list)]);
            let written: Vec<_> = tensors
                .iter()
                .zip([&plain, &flipped])
                .map(|((tensor, shape), bytes)| (*tensor, shape, bytes))
                .collect();
            self.write(&name, length, &written, &metadata)?;
        }
        broken.sort_by_key(|broken| broken.index);
        Ok(broken)
    }

    /// `[B, 3, S, S]`; pictures that cannot be used are grey.
    fn decode(&self, batch: &Range<usize>, broken: &mut Vec<Broken>) -> Result<Tensor> {
        let transform = Transform::center(self.options.resolution);
        let load = |index| attempt(self.dataset, index, |picture| transform.apply(picture, &Draw::default()));
        let loaded: Vec<_> = batch.clone().into_par_iter().map(load).collect();
        let mut values = Vec::with_capacity(batch.len() * transform.numel());
        for picture in loaded {
            match picture {
                Ok(picture) => values.extend(picture),
                Err(reason) => {
                    self.watch.broken(&reason);
                    broken.push(reason);
                    let total = self.dataset.len();
                    if is_too_much(broken.len(), total) {
                        return Err(data::Error::Broken { broken: std::mem::take(broken), total }.into());
                    }
                    values.resize(values.len() + transform.numel(), 0.0);
                }
            }
        }
        let side = self.options.resolution as i64;
        let pictures = Tensor::f_from_slice(&values).and_then(|t| t.f_reshape([batch.len() as i64, 3, side, side]));
        Ok(pictures.map_err(crate::encoders::Error::from)?)
    }

    /// The shards of a kind that are done, and those that are not.
    #[expect(clippy::type_complexity, reason = "two lists of the same kind of thing")]
    fn shards(
        &self,
        stem: &str,
        rows: usize,
        tensors: &[(&str, Vec<usize>)],
    ) -> (Vec<(Range<usize>, Checkpoint)>, Vec<(String, Range<usize>)>) {
        let (mut done, mut missing) = (Vec::new(), Vec::new());
        for (name, range) in shards(stem, rows, self.rows_per_shard) {
            match open_shard(&self.folder.join(&name), range.len(), self.options.precision, tensors) {
                Ok(shard) => done.push((range, shard)),
                // Missing as a rule; whatever else it is, it is made again.
                Err(_) => missing.push((name, range)),
            }
        }
        (done, missing)
    }

    /// Adds numbers in the precision of the cache.
    fn append(&self, tensor: &Tensor, name: &'static str, of: impl Fn() -> String, bytes: &mut Vec<u8>) -> Result<()> {
        let values = Value::try_from(tensor.shallow_clone()).and_then(|value| value.to_f32());
        let values = values.map_err(crate::encoders::Error::from)?;
        let precision = self.options.precision;
        if extend(bytes, &values, precision) {
            Ok(())
        } else {
            Err(Error::NotFinite { tensor: name, of: of(), precision })
        }
    }

    fn write<'a>(
        &self,
        name: &str,
        rows: usize,
        tensors: &[(&str, &'a Vec<usize>, &'a Vec<u8>)],
        metadata: &BTreeMap<String, String>,
    ) -> Result<()> {
        let new = |&(name, shape, bytes): &(&str, &'a Vec<usize>, &'a Vec<u8>)| {
            NewTensor::new(name, self.options.precision, &[&[rows], shape.as_slice()].concat(), bytes)
        };
        let tensors = tensors.iter().map(new).collect();
        write_safetensors(&self.folder.join(name), tensors, metadata)?;
        Ok(())
    }

    fn poll(&self) -> Result<()> {
        if self.watch.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn unwritten(&self, name: &str, error: serde_json::Error) -> Error {
        files::Error::Write { path: self.folder.join(name), source: error.into() }.into()
    }
}

/// Adds numbers in a precision; false if it cannot hold one of them.
fn extend(bytes: &mut Vec<u8>, values: &[f32], precision: Dtype) -> bool {
    if precision == Dtype::F16 {
        bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()));
        values.iter().all(|&value| f16::from_f32(value).is_finite())
    } else {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        values.iter().all(|value| value.is_finite())
    }
}

fn rows(done: &[(Range<usize>, Checkpoint)]) -> usize {
    done.iter().map(|(range, _)| range.len()).sum()
}

fn broken_of(shard: &Checkpoint) -> Vec<Broken> {
    let list = shard.metadata().get(BROKEN);
    list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_fit_are_noticed() {
        let fits = |value, precision| extend(&mut Vec::new(), &[0.0, value], precision);
        assert!(fits(65_504.0, Dtype::F16) && fits(70_000.0, Dtype::F32));
        assert!(!fits(70_000.0, Dtype::F16) && !fits(f32::NAN, Dtype::F16) && !fits(f32::INFINITY, Dtype::F32));
        let error =
            Error::NotFinite { tensor: MOMENTS, of: "the pictures from a.png on".into(), precision: Dtype::F16 };
        assert_eq!(
            error.to_string(),
            "the moments of the pictures from a.png on are not finite in f16: use --precision f32, or look at the weights"
        );
    }
}
