//! What is needed to draw a picture again, and its two texts: JSON for programs, A1111's `parameters` for people and galleries.

use crate::pipeline::Size;
use pleach_model::{files::Sha256, samplers::SamplerKind};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// How a picture was made: the same recipe with the same bundle gives the same picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Version of this record: 1.
    pub schema: u32,
    /// The prompt, as it was given.
    pub prompt: String,
    /// The negative prompt, empty where there was none.
    pub negative: String,
    /// Seed of the initial noise.
    pub seed: u64,
    /// Denoising steps.
    pub steps: usize,
    /// The sampler.
    pub sampler: SamplerKind,
    /// Guidance scale.
    pub guidance: f64,
    /// Size of the picture.
    pub size: Size,
    /// Size of the tiles, where the picture was decoded in tiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<Size>,
    /// The model.
    pub model: Model,
    /// What drew it.
    pub software: Software,
}

/// Which model drew a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Name of the bundle's folder or its Hugging Face id.
    pub name: String,
    /// SHA-256 of the bundle's manifest, which lists the hashes of every file; none for a pipeline without a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The expert, where the bundle names experts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
}

/// Versions of what drew a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Software {
    /// This project's version.
    pub pleach: String,
    /// ONNX Runtime's version.
    pub onnxruntime: String,
    /// Names of the providers in their order, where the CPU did not compute alone: each rounds in its own way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
}

impl Recipe {
    /// The version of the record that is written.
    pub const SCHEMA: u32 = 1;

    /// The text that A1111's web UI writes and galleries read.
    pub fn parameters(&self) -> String {
        let mut text = self.prompt.clone();
        if !self.negative.is_empty() {
            let _ = write!(text, "\nNegative prompt: {}", self.negative);
        }
        let sampler = match self.sampler {
            SamplerKind::Pndm => "PLMS",
            SamplerKind::Ddim => "DDIM",
            SamplerKind::Dpmpp2m => "DPM++ 2M",
            SamplerKind::Dpmpp2mKarras => "DPM++ 2M Karras",
            SamplerKind::Euler => "Euler",
            SamplerKind::EulerA => "Euler a",
        };
        let Self { steps, guidance, seed, size, .. } = self;
        let _ = write!(text, "\nSteps: {steps}, Sampler: {sampler}, CFG scale: {guidance}, Seed: {seed}, Size: {size}");
        if let Some(hash) = &self.model.sha256 {
            let _ = write!(text, ", Model hash: {:.10}", hash.to_string());
        }
        let _ = write!(text, ", Model: {}", quoted(&self.model.name));
        if let Some(expert) = &self.model.expert {
            let _ = write!(text, ", Expert: {}", quoted(expert));
        }
        let _ = write!(text, ", Version: pleach {}", self.software.pleach);
        // What a gallery cannot show would also be refused inside a text chunk.
        text.replace(|c: char| c.is_control() && c != '\n', " ")
    }
}

/// A1111 writes a value that would break its `key: value, key: value` line as a JSON string.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n']) { serde_json::Value::from(value).to_string() } else { value.to_owned() }
}
