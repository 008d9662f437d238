//! Networks of earlier stages, frozen, and how each stage leaves its own.

use crate::{
    diffusion::posterior,
    encoders::{LatentEncoder, TextEncoder, build},
    run::{Error, Result},
    torch::{Torch, Value},
};
use pleach_model::{
    checkpoint::Spelling,
    counter,
    pipeline::Network,
    sites::Pass,
    vae::{Decoder, VaeConfig},
    vision::{Vision, VisionConfig},
};
use std::path::Path;
use tch::{Tensor, no_grad};

/// The trained autoencoder.
pub(super) struct Autoencoder<'a> {
    torch: &'a Torch,
    encoder: LatentEncoder,
    decoder: Decoder<Torch>,
    config: VaeConfig,
}

impl<'a> Autoencoder<'a> {
    /// The autoencoder in a component's folder.
    pub fn open(folder: &Path, torch: &'a Torch) -> Result<Self> {
        let network = Network::open(folder)?;
        let config = VaeConfig::from_json(&network.config)?;
        let tensors = counter::vae_tensors(&config)?;
        let decoder = build(torch, &network, &tensors, Spelling::AutoencoderKl, |p| Decoder::new(&config, p))?;
        Ok(Self { torch, encoder: latent_encoder(folder, torch)?, decoder, config })
    }

    /// Factor of the latents.
    pub fn scaling(&self) -> f64 {
        self.config.scaling_factor
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder<Torch> {
        &self.decoder
    }

    /// Moments of pictures.
    pub fn moments(&self, pictures: &Tensor) -> Result<Tensor> {
        Ok(self.encoder.moments(pictures)?)
    }

    /// Pictures encoded and decoded.
    pub fn through(&self, pictures: &Tensor, seed: u64, micro: u64) -> Result<Tensor> {
        no_grad(|| {
            let latents = posterior(&self.moments(pictures)?, 1.0, seed, micro)?;
            let decoded = self.decoder.forward(&Pass::plain(self.torch), &Value::try_from(latents)?)?;
            Ok(decoded.tensor().f_clamp(-1.0, 1.0)?)
        })
    }
}

pub(super) fn latent_encoder(folder: &Path, torch: &Torch) -> Result<LatentEncoder> {
    Ok(LatentEncoder::of(&Network::open(folder)?, torch.device(), torch.dtype())?)
}

pub(super) fn text_encoder(folder: &Path, tokenizer: &Path, torch: &Torch) -> Result<TextEncoder> {
    Ok(TextEncoder::of(&Network::open(folder)?, tokenizer, torch.device(), torch.dtype())?)
}

pub(super) fn vision(folder: &Path, torch: &Torch, side: usize) -> Result<Vision<Torch>> {
    let network = Network::open(folder)?;
    let config = VisionConfig::from_json(&network.config)?;
    let tensors = counter::vision(&config, [side; 2])?.tensors;
    build(torch, &network, &tensors, Spelling::Vision, |p| Vision::new(&config, p)).map_err(Error::from)
}
