//! Networks of earlier stages, frozen, and how each stage leaves its own.

use crate::{
    diffusion::posterior,
    encoders::{LatentDecoder, LatentEncoder, TextEncoder, build},
    run::{Error, Result},
    torch::Torch,
};
use pleach_model::{
    checkpoint::Spelling,
    counter,
    params::Params,
    pipeline::Network,
    tensor::TensorSpec,
    vision::{Vision, VisionConfig},
};
use std::path::Path;
use tch::Tensor;

/// The trained autoencoder.
pub(super) struct Autoencoder {
    encoder: LatentEncoder,
    decoder: LatentDecoder,
}

impl Autoencoder {
    /// The autoencoder in a component's folder.
    pub fn open(folder: &Path, torch: &Torch) -> Result<Self> {
        let decoder = LatentDecoder::of(&Network::open(folder)?, torch.device(), torch.dtype())?;
        Ok(Self { encoder: latent_encoder(folder, torch)?, decoder })
    }

    /// Factor of the latents.
    pub fn scaling(&self) -> f64 {
        self.decoder.config().scaling_factor
    }

    /// The decoder.
    pub fn decoder(&self) -> &LatentDecoder {
        &self.decoder
    }

    /// Moments of pictures.
    pub fn moments(&self, pictures: &Tensor) -> Result<Tensor> {
        Ok(self.encoder.moments(pictures)?)
    }

    /// Pictures encoded and decoded.
    pub fn through(&self, pictures: &Tensor, seed: u64, micro: u64) -> Result<Tensor> {
        let latents = posterior(&self.moments(pictures)?, self.scaling(), seed, micro)?;
        Ok(self.decoder.decode(&latents)?.f_clamp(-1.0, 1.0)?)
    }
}

pub(super) fn latent_encoder(folder: &Path, torch: &Torch) -> Result<LatentEncoder> {
    Ok(LatentEncoder::of(&Network::open(folder)?, torch.device(), torch.dtype())?)
}

pub(super) fn text_encoder(folder: &Path, tokenizer: &Path, torch: &Torch) -> Result<TextEncoder> {
    Ok(TextEncoder::of(&Network::open(folder)?, tokenizer, torch.device(), torch.dtype())?)
}

/// A classifier of pictures of this side.
pub(super) fn vision(folder: &Path, torch: &Torch, side: usize) -> Result<Vision<Torch>> {
    of_vision(folder, torch, side, |p, config, _| Vision::new(config, p))
}

/// Name and value of each of its tensors.
pub(super) fn vision_tensors(folder: &Path, torch: &Torch, side: usize) -> Result<Vec<(String, Tensor)>> {
    of_vision(folder, torch, side, |p, _, tensors| {
        let named =
            |spec: &TensorSpec| Ok((spec.name.clone(), p.get(&spec.name, &spec.shape)?.tensor().shallow_clone()));
        tensors.iter().map(named).collect()
    })
}

fn of_vision<T>(
    folder: &Path,
    torch: &Torch,
    side: usize,
    made: impl FnOnce(&Params<Torch>, &VisionConfig, &[TensorSpec]) -> pleach_model::error::Result<T>,
) -> Result<T> {
    let network = Network::open(folder)?;
    let config = VisionConfig::from_json(&network.config)?;
    let tensors = counter::vision(&config, [side; 2])?.tensors;
    build(torch, &network, &tensors, Spelling::Vision, |p| made(p, &config, &tensors)).map_err(Error::from)
}
