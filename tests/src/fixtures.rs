//! What the public Python stack computed, and the pipelines it computed it with.

use crate::tensor::Tensor;
use anyhow::{Context, Result, ensure};
use pleach_model::{
    checkpoint::Checkpoint,
    pipeline::{CheckpointPipeline, PipelineFolder},
    tensor::Dtype,
};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Small pipelines in the shapes of Stable Diffusion 1.x, 2.x and 2.x with v prediction.
pub const VARIANTS: [&str; 3] = ["sd1", "sd2", "sd2v"];

/// A file or folder of the fixtures.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The pipeline of a variant.
pub fn pipeline(variant: &str) -> Result<CheckpointPipeline> {
    Ok(PipelineFolder::open(&path(variant).join("pipeline"))?.checkpoint()?)
}

/// The sentence encoder, in the Hugging Face layout; none where set-up has not fetched it.
pub fn sentence_encoder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.native/sentence/all-MiniLM-L6-v2");
    folder.join("model.safetensors").is_file().then_some(folder)
}

/// A file of reference values.
pub struct Values(Checkpoint);

impl Values {
    /// Opens the file `name` of the fixtures.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self(Checkpoint::open(&path(name))?))
    }

    /// The values of a variant.
    pub fn of(variant: &str) -> Result<Self> {
        Self::open(&format!("{variant}/reference.safetensors"))
    }

    /// Names of the tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }

    /// A tensor of f32.
    pub fn floats(&self, name: &str) -> Result<Tensor> {
        let view = self.0.get(name)?;
        Ok(Tensor::new(view.shape, view.to_f32()?))
    }

    /// A tensor of i64.
    pub fn ids(&self, name: &str) -> Result<Tensor<i64>> {
        let view = self.0.get(name)?;
        ensure!(view.dtype == Dtype::I64, "{name} is of type {}", view.dtype);
        let words = view.bytes.as_chunks().0.iter();
        Ok(Tensor::new(view.shape, words.map(|&word| i64::from_le_bytes(word)).collect()))
    }

    /// A value of the metadata, which is JSON.
    pub fn metadata<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let text = self.0.metadata().get(key).with_context(|| format!("the fixture has no metadata {key}"))?;
        Ok(serde_json::from_str(text)?)
    }
}
