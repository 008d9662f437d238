//! The checkpoint as the exporter sees it: configurations read and compared, weights opened and matched, before anything else.

use crate::{
    error::{Error, Result},
    network::Network,
};
use pleach_model::{
    architecture::Architecture,
    checkpoint::{Bound, Checkpoint, Mismatch},
    clip::ClipTextConfig,
    counter::At,
    manifest::FileEntry,
    pipeline::{self, CheckpointPipeline, Common, PipelineFolder},
    schedule::PredictionType,
    unet::UNetConfig,
    vae::VaeConfig,
};
use std::path::{Path, PathBuf};

/// The side of Stable Diffusion's latents, where a UNet's configuration does not say.
const USUAL_SIDE: usize = 64;

/// A diffusers pipeline whose configurations fit each other.
pub(super) struct Source {
    pub folder: PipelineFolder,
    pub common: Common,
    pub prediction_type: PredictionType,
    pub counted_at: At,
    /// Text encoder, UNet, autoencoder.
    pub parts: Vec<Part>,
}

/// A checkpoint and the networks that are in it.
pub(super) struct Part {
    pub checkpoint: Checkpoint,
    pub networks: Vec<Network>,
    pub config_path: PathBuf,
}

impl Source {
    pub fn open(root: &Path, variant: Option<&str>) -> Result<Self> {
        let folder = PipelineFolder::open(root)?;
        let CheckpointPipeline { text_encoder, unet, vae, common } = folder.checkpoint()?;
        let failed = |source| pipeline::Error::Scheduler { path: common.scheduler_path.clone(), source };
        let prediction_type = PredictionType::from_config(&common.scheduler).map_err(failed)?;
        let text = ClipTextConfig::from_json(&text_encoder.config)?;
        let config = UNetConfig::from_json(&unet.config)?;
        let autoencoder = VaeConfig::from_json(&vae.config)?;
        compare("cross_attention_dim", config.cross_attention_dim, "the text encoder's hidden_size", text.hidden_size)?;
        for (field, channels) in [("in_channels", config.in_channels), ("out_channels", config.out_channels)] {
            compare(field, channels, "the autoencoder's latent_channels", autoencoder.latent_channels)?;
        }
        let tokens = text.max_position_embeddings;
        let side = config.sample_size.unwrap_or(USUAL_SIDE);
        let parts = vec![
            Part::open(text_encoder, variant, vec![Network::TextEncoder(text)])?,
            Part::open(unet, variant, vec![Network::Unet { config, architecture: Architecture::full(), tokens }])?,
            Part::open(vae, variant, vec![Network::VaeDecoder(autoencoder.clone()), Network::VaeEncoder(autoencoder)])?,
        ];
        Ok(Self { folder, common, prediction_type, counted_at: At { height: side, width: side, tokens }, parts })
    }

    /// The tensors of every part, in the order of the parts.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with all that is wrong in any of them.
    pub fn bind(&self) -> Result<Vec<Bound<'_>>> {
        let (mut bound, mut mismatches): (Vec<Bound>, Vec<Mismatch>) = Default::default();
        for part in &self.parts {
            // Networks of one checkpoint agree on what it holds.
            for network in part.networks.iter().take(1) {
                match part.checkpoint.bind(&network.checkpoint()?, network.spelling()) {
                    Ok(tensors) => bound.push(tensors),
                    Err(mismatch) => mismatches.push(mismatch),
                }
            }
        }
        if mismatches.is_empty() { Ok(bound) } else { Err(Error::Mismatch(mismatches)) }
    }

    /// What the graph of a network says about the pipeline it comes from, under the keys of Stability AI's ModelSpec.
    pub fn metadata(&self, network: &Network) -> Vec<(String, String)> {
        let prediction = match self.prediction_type {
            PredictionType::Epsilon => "epsilon",
            PredictionType::VPrediction => "v",
            PredictionType::Sample => "sample",
        };
        let implementation = "https://github.com/huggingface/diffusers";
        let pairs = [("modelspec.implementation", implementation), ("modelspec.prediction_type", prediction)];
        let said = if matches!(network, Network::Unet { .. }) { 2 } else { 1 };
        pairs[..said].iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}

impl Part {
    pub fn open(stored: pipeline::Network, variant: Option<&str>, networks: Vec<Network>) -> Result<Self> {
        Ok(Self { checkpoint: stored.weights(variant)?, networks, config_path: stored.config_path })
    }

    /// The weight files, by their paths below `root`.
    pub fn files(&self, root: &Path) -> Result<Vec<FileEntry>> {
        let relative = |path: &Path| {
            let below = path.strip_prefix(root).unwrap_or(path);
            below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
        };
        self.checkpoint.files().map(|path| Ok(FileEntry::of(root, relative(path))?)).collect()
    }
}

fn compare(field: &'static str, found: usize, other: &'static str, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Disagreement { field, found, other, expected }) }
}
