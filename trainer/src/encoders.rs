//! The frozen networks around a UNet: captions to embeddings, pictures to the moments of their latents, latents to pictures. No
//! gradients are recorded.

mod sentence;

pub use sentence::Sentences;

use crate::torch::{self, Torch, Value, Weights};
use pleach_model::{
    self as model,
    backend::{Backend, Constant},
    checkpoint::{Mismatch, Spelling},
    clip::{ClipText, ClipTextConfig},
    counter,
    params::Params,
    pipeline::{self, CheckpointPipeline, Network},
    sites::Pass,
    tensor::{Dtype, TensorSpec},
    tokenizer::{self, Tokenizer},
    vae::{Decoder, Encoder, VaeConfig},
};
use std::path::Path;
use tch::{Device, TchError, Tensor};

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with an encoder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libtorch failed.
    #[error(transparent)]
    Torch(#[from] torch::Error),
    /// A network's configuration is not supported, or it cannot compute.
    #[error(transparent)]
    Network(#[from] model::error::Error),
    /// The weights cannot be opened.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The weights do not fit the network.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The tokenizer cannot be opened or fails.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}

/// What encodes prompts: a [`TextEncoder`], or what stands in for it.
pub trait Encode {
    /// An embedding of each prompt, `[B, N, D]`.
    ///
    /// # Errors
    /// Whatever keeps a prompt from being encoded.
    fn encode(&self, prompts: &[String]) -> Result<Tensor>;
}

impl Encode for TextEncoder {
    fn encode(&self, prompts: &[String]) -> Result<Tensor> {
        Self::encode(self, prompts)
    }
}

/// Captions to what a UNet attends to.
pub struct TextEncoder {
    torch: Torch,
    network: ClipText<Torch>,
    config: ClipTextConfig,
    tokenizer: Tokenizer,
}

impl TextEncoder {
    /// The text encoder and the tokenizer of a pipeline, to compute on `device` with numbers of type `dtype`.
    ///
    /// # Errors
    /// Every variant of [`Error`].
    pub fn open(pipeline: &CheckpointPipeline, device: Device, dtype: Dtype) -> Result<Self> {
        Self::of(&pipeline.text_encoder, &pipeline.common.tokenizer, device, dtype)
    }

    /// As [`open`](Self::open), of a text encoder and a folder with a tokenizer that are no pipeline's yet.
    ///
    /// # Errors
    /// Every variant of [`Error`].
    pub fn of(encoder: &Network, tokenizer: &Path, device: Device, dtype: Dtype) -> Result<Self> {
        let torch = Torch::new(device, dtype)?;
        let config = ClipTextConfig::from_json(&encoder.config)?;
        let tokenizer = Tokenizer::clip(tokenizer, config.max_position_embeddings)?;
        let tensors = counter::clip_text(&config, config.max_position_embeddings)?.tensors;
        let network = build(&torch, encoder, &tensors, Spelling::ClipText, |p| ClipText::new(&config, p))?;
        Ok(Self { torch, network, config, tokenizer })
    }

    /// The last hidden state of each caption, `[B, N, D]`. What is too long for the tokenizer is cut.
    ///
    /// # Errors
    /// The tokenizer or libtorch fails.
    pub fn encode(&self, captions: &[String]) -> Result<Tensor> {
        let length = self.tokenizer.max_length();
        let mut ids = Vec::with_capacity(captions.len() * length);
        for caption in captions {
            ids.extend(self.tokenizer.encode(caption)?.ids.into_iter().map(i64::from));
        }
        tch::no_grad(|| {
            let ids = self.torch.constant(Constant::I64(ids), &[captions.len(), length])?;
            let hidden = self.network.forward(&Pass::plain(&self.torch), &ids)?;
            Ok(hidden.tensor().shallow_clone())
        })
    }

    /// N and D of `[B, N, D]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.tokenizer.max_length(), self.config.hidden_size]
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

/// Pictures to the distribution of their latents.
pub struct LatentEncoder {
    torch: Torch,
    network: Encoder<Torch>,
    config: VaeConfig,
}

impl LatentEncoder {
    /// The encoder of a pipeline's autoencoder, to compute on `device` with numbers of type `dtype`.
    ///
    /// # Errors
    /// Every variant of [`Error`] but the tokenizer's.
    pub fn open(pipeline: &CheckpointPipeline, device: Device, dtype: Dtype) -> Result<Self> {
        Self::of(&pipeline.vae, device, dtype)
    }

    /// As [`open`](Self::open), of an autoencoder that is no pipeline's yet.
    ///
    /// # Errors
    /// Every variant of [`Error`] but the tokenizer's.
    pub fn of(vae: &Network, device: Device, dtype: Dtype) -> Result<Self> {
        let torch = Torch::new(device, dtype)?;
        let config = VaeConfig::from_json(&vae.config)?;
        let tensors = counter::vae_tensors(&config)?;
        let network = build(&torch, vae, &tensors, Spelling::AutoencoderKl, |p| Encoder::new(&config, p))?;
        Ok(Self { torch, network, config })
    }

    /// Pictures `[B, 3, H, W]` in [-1, 1] to mean and log-variance, joined: `[B, 2 C, H / factor, W / factor]`. The log-variance is clamped to
    /// [-30, 20], as diffusers does before it samples; nothing is scaled.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn moments(&self, pictures: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| {
            let pictures = pictures.f_to_device(self.torch.device())?.f_to_kind(torch::kind(self.torch.dtype()))?;
            let moments = self.network.forward(&Pass::plain(&self.torch), &Value::try_from(pictures)?)?;
            clamped(moments.tensor())
        })
    }

    /// The autoencoder's sizes.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }
}

/// Latents to pictures.
pub struct LatentDecoder {
    torch: Torch,
    network: Decoder<Torch>,
    config: VaeConfig,
}

impl LatentDecoder {
    /// The decoder of an autoencoder, to compute on `device` with numbers of type `dtype`.
    ///
    /// # Errors
    /// Every variant of [`Error`] but the tokenizer's.
    pub fn of(vae: &Network, device: Device, dtype: Dtype) -> Result<Self> {
        let torch = Torch::new(device, dtype)?;
        let config = VaeConfig::from_json(&vae.config)?;
        let tensors = counter::vae_tensors(&config)?;
        let network = build(&torch, vae, &tensors, Spelling::AutoencoderKl, |p| Decoder::new(&config, p))?;
        Ok(Self { torch, network, config })
    }

    /// Latents `[B, C, h, w]`, multiplied by the scaling factor, to pictures `[B, 3, H, W]` about in [-1, 1].
    ///
    /// # Errors
    /// What libtorch says.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| {
            let latents = latents.f_div_scalar(self.config.scaling_factor)?.f_to_device(self.torch.device())?;
            let latents = Value::try_from(latents.f_to_kind(torch::kind(self.torch.dtype()))?)?;
            Ok(self.network.forward(&Pass::plain(&self.torch), &latents)?.tensor().shallow_clone())
        })
    }

    /// The autoencoder's sizes.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }
}

/// Moments whose log-variance is within what diffusers lets through.
fn clamped(moments: &Tensor) -> Result<Tensor> {
    let (mean, log_variance) = halves(moments)?;
    Ok(Tensor::f_cat(&[mean, log_variance.f_clamp(-30.0, 20.0)?], 1)?)
}

/// Moments as mean and log-variance, `[B, C, h, w]` each.
///
/// # Errors
/// A tensor whose channels are no two halves.
pub fn halves(moments: &Tensor) -> torch::Result<(Tensor, Tensor)> {
    let mut parts = moments.f_chunk(2, 1)?.into_iter();
    match (parts.next(), parts.next()) {
        (Some(mean), Some(log_variance)) => Ok((mean, log_variance)),
        _ => Err(TchError::Shape("moments have an even number of channels".into()).into()),
    }
}

/// A network over the checkpoint in its folder, which must hold exactly `tensors`.
pub(crate) fn build<N>(
    torch: &Torch,
    network: &Network,
    tensors: &[TensorSpec],
    spelling: Spelling,
    new: impl FnOnce(&Params<Torch>) -> model::error::Result<N>,
) -> Result<N> {
    let checkpoint = network.weights(None)?;
    let bound = checkpoint.bind(tensors, spelling)?;
    Ok(new(&Params::new(torch, &Weights::new(&bound)))?)
}

#[cfg(test)]
mod tests;
