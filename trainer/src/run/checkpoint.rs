//! All that a run needs to go on, in a folder that appears whole or not at all.

use super::{Error, Result, RunFolder, torch};
use crate::learn::{Scaler, Variable, overwrite};
use pleach_model::{
    checkpoint::{self, Checkpoint, NewTensor},
    files::{self, AtomicFolder, Overwrite},
    tensor::Dtype,
};
use serde::{Deserialize, Serialize};
use std::{
    io::Write,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor, no_grad};

const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";
/// The state is a few numbers and what a task adds.
const MAX_STATE: u64 = 64 << 20;

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Updates that the optimiser of each level made: fewer than steps where gradients in f16 overflowed.
    pub updates: Vec<u64>,
    /// Updates that the average has taken in, where there is one.
    pub averaged: Option<u64>,
    /// Factor of the loss, where it is scaled.
    pub scaler: Option<Scaler>,
    /// What the task remembers.
    pub task: serde_json::Value,
}

/// Tensors of one kind, one for each of some variables.
pub(super) struct Group {
    name: String,
    tensors: Vec<(String, Tensor)>,
}

impl Group {
    pub fn new(name: &str, variables: &[Variable], tensors: &[Tensor]) -> Self {
        let names = variables.iter().map(|(name, _)| name.clone());
        Self { name: name.to_owned(), tensors: names.zip(tensors.iter().map(Tensor::shallow_clone)).collect() }
    }
}

/// Writes a checkpoint.
pub(super) fn write(run: &RunFolder, progress: &Progress, groups: &[Group]) -> Result<()> {
    let target = run.checkpoints().join(format!("{:06}", progress.step));
    let folder = AtomicFolder::create(&target, Overwrite::IfItHolds(STATE))?;
    let mut list = Vec::new();
    for Group { name: group, tensors } in groups {
        for (name, tensor) in tensors {
            list.push(stored(&format!("{group}.{name}"), tensor, Dtype::F32));
        }
    }
    checkpoint::write_safetensors(&folder.path().join(TENSORS), list, &Default::default())?;
    let mut text = serde_json::to_vec_pretty(progress)
        .map_err(|error| Error::Checkpoint { path: target.clone(), reason: error.to_string() })?;
    text.push(b'\n');
    files::write(&folder.path().join(STATE), &text)?;
    folder.persist()?;
    Ok(())
}

/// A tensor of libtorch to be stored with elements of type `dtype`, copied when its turn comes.
pub(crate) fn stored<'a>(name: &str, tensor: &'a Tensor, dtype: Dtype) -> NewTensor<'a> {
    let shape: Vec<usize> = tensor.size().into_iter().map(|dim| dim as usize).collect();
    let owned = name.to_owned();
    NewTensor::streamed(name, dtype, &shape, move |out: &mut dyn Write| {
        let failed = |source: std::io::Error| checkpoint::Error::Copy { name: owned.clone(), source };
        let bytes = bytes_of(tensor, dtype).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        out.write_all(&bytes).map_err(failed)
    })
}

fn bytes_of(tensor: &Tensor, dtype: Dtype) -> Result<Vec<u8>, tch::TchError> {
    let kind = match dtype {
        Dtype::F16 => Kind::Half,
        Dtype::Bf16 => Kind::BFloat16,
        _ => Kind::Float,
    };
    let tensor = no_grad(|| tensor.f_detach()?.f_to_device_(Device::Cpu, kind, false, false)?.f_contiguous())?;
    let mut bytes = vec![0; tensor.numel() * dtype.size()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

/// A checkpoint that was written before.
pub(super) struct Stored {
    pub progress: Progress,
    path: PathBuf,
    tensors: Checkpoint,
}

/// The newest checkpoint of a run.
pub(super) fn newest(run: &RunFolder) -> Result<Option<Stored>> {
    let Some(path) = run.list()?.pop() else { return Ok(None) };
    let bytes = files::read_bounded(&path.join(STATE), MAX_STATE)?;
    let progress = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Checkpoint { path: path.join(STATE), reason: error.to_string() })?;
    let tensors = Checkpoint::open(&path.join(TENSORS))?;
    Ok(Some(Stored { progress, path, tensors }))
}

impl Stored {
    /// Writes a stored tensor into one that is there.
    pub fn restore(&self, group: &str, name: &str, to: &Tensor) -> Result<()> {
        let view = self.tensors.get(&format!("{group}.{name}"))?;
        let dims: Vec<i64> = view.shape.iter().map(|&dim| dim as i64).collect();
        if dims != to.size() || view.dtype != Dtype::F32 {
            let reason = format!("{group}.{name} is {}{:?}, expected f32{:?}", view.dtype, view.shape, to.size());
            return Err(Error::Checkpoint { path: self.path.clone(), reason });
        }
        let from = torch(Tensor::f_from_data_size(view.bytes, &dims, Kind::Float))?;
        view.release();
        Ok(overwrite(name, to, &from)?)
    }
}

/// Weights of a network as a safetensors file in the given precision, with the metadata that transformers asks for.
pub(crate) fn write_weights(path: &Path, tensors: &[(String, Tensor)], dtype: Dtype) -> Result<()> {
    let list = tensors.iter().map(|(name, tensor)| stored(name, tensor, dtype)).collect();
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    checkpoint::write_safetensors(path, list, &metadata)?;
    Ok(())
}
