//! What a cache was made of.

use super::error::Result;
use crate::data::Dataset;
use pleach_model::{
    files::{Sha256, digest_file},
    pipeline::{CheckpointPipeline, Network},
};
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// Everything that a cache's numbers depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Fingerprint of the data set.
    pub data: Sha256,
    /// Configuration and weights of the autoencoder.
    pub vae: Sha256,
    /// Configuration and weights of the text encoder.
    pub text_encoder: Sha256,
    /// Files of the tokenizer.
    pub tokenizer: Sha256,
    /// Side of the squares that were encoded.
    pub resolution: usize,
}

/// A part of a [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The data set.
    Data,
    /// The autoencoder.
    Vae,
    /// The text encoder.
    TextEncoder,
    /// The tokenizer.
    Tokenizer,
    /// The resolution.
    Resolution {
        /// Of the cache.
        found: usize,
        /// Asked for.
        expected: usize,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("data set"),
            Self::Vae => f.write_str("VAE"),
            Self::TextEncoder => f.write_str("text encoder"),
            Self::Tokenizer => f.write_str("tokenizer"),
            Self::Resolution { found, expected } => write!(f, "resolution ({found}, not {expected})"),
        }
    }
}

/// Files that a tokenizer may have.
const TOKENIZER: [&str; 5] =
    ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];

impl Key {
    /// Hashes the data set and the encoders of a pipeline: every file of them is read.
    ///
    /// # Errors
    /// A file that is missing or cannot be read.
    pub fn of(dataset: &dyn Dataset, pipeline: &CheckpointPipeline, resolution: usize) -> Result<Self> {
        let tokenizer: Vec<_> = TOKENIZER.iter().map(|name| pipeline.common.tokenizer.join(name)).collect();
        Ok(Self {
            data: dataset.fingerprint()?,
            vae: network(&pipeline.vae)?,
            text_encoder: network(&pipeline.text_encoder)?,
            tokenizer: together(tokenizer.iter().map(|path| path.as_path()).filter(|path| path.is_file()))?,
            resolution,
        })
    }

    /// The parts in which this, a cache's key, differs from the expected one.
    pub fn differing(&self, expected: &Self) -> Vec<Part> {
        let resolution = Part::Resolution { found: self.resolution, expected: expected.resolution };
        let parts = [
            (self.data == expected.data, Part::Data),
            (self.vae == expected.vae, Part::Vae),
            (self.text_encoder == expected.text_encoder, Part::TextEncoder),
            (self.tokenizer == expected.tokenizer, Part::Tokenizer),
            (self.resolution == expected.resolution, resolution),
        ];
        parts.into_iter().filter_map(|(same, part)| (!same).then_some(part)).collect()
    }
}

fn network(network: &Network) -> Result<Sha256> {
    let weights = network.weights(None)?;
    together([network.config_path.as_path()].into_iter().chain(weights.files()))
}

/// A hash of the hashes of files, in their order, with their names.
fn together<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<Sha256> {
    let mut text = String::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        text += &format!("{} {name}\n", digest_file(path)?.sha256);
    }
    Ok(Sha256::of(text.as_bytes()))
}
