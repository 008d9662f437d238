//! Latents and embeddings for a UNet to learn from: out of a cache, or out of pictures and captions as they come.

use crate::{
    data::{
        Loader, Position,
        cache::{CachedLoader, LatentBatch},
    },
    diffusion::posterior,
    encoders::{LatentEncoder, TextEncoder},
    run::{
        Result,
        streams::{Use, choices},
    },
};
use tch::{Device, Kind, Tensor};

/// Where batches come from.
pub enum Batches {
    /// A cache.
    Cached(Box<CachedLoader>),
    /// Pictures, encoded when their turn comes.
    Fresh {
        /// Decodes and cuts them.
        loader: Box<Loader>,
        /// Encodes them.
        latents: Box<LatentEncoder>,
        /// Encodes their captions.
        text: Box<TextEncoder>,
        /// Side of the pictures.
        side: usize,
        /// Called with a line for each picture that cannot be used.
        warn: Box<dyn Fn(String)>,
    },
}

/// One batch, on the device.
pub struct Latents {
    /// `[B, C, h, w]`, multiplied by the scaling factor.
    pub latents: Tensor,
    /// `[B, N, D]`.
    pub context: Tensor,
}

/// How a batch is made of what was loaded.
pub struct Making<'a> {
    /// Factor of the latents.
    pub scaling: f64,
    /// Share of captions that are left out.
    pub dropout: f64,
    /// Embedding of the empty caption, `[1, N, D]`.
    pub null: &'a Tensor,
    /// Seed of the run.
    pub seed: u64,
    /// Where to compute.
    pub device: Device,
}

impl Batches {
    /// From where it goes on.
    pub fn position(&self) -> Position {
        match self {
            Self::Cached(loader) => loader.position(),
            Self::Fresh { loader, .. } => loader.position(),
        }
    }

    /// The next batch, for micro-batch number `micro` of the run.
    ///
    /// # Errors
    /// Data that cannot be read; what libtorch says.
    pub fn next(&mut self, micro: u64, making: &Making<'_>) -> Result<Latents> {
        let (moments, context) = match self {
            Self::Cached(loader) => {
                let shapes = (loader.cache().moments_shape(), loader.cache().embedding_shape());
                let LatentBatch { moments, embeddings, indices, .. } = loader.next()?;
                let batch = indices.len() as i64;
                let ([channels, height, width], [tokens, features]) = shapes;
                let moments = Tensor::f_from_slice(&moments)?;
                let embeddings = Tensor::f_from_slice(&embeddings)?;
                (
                    moments.f_reshape([batch, channels as i64, height as i64, width as i64])?,
                    embeddings.f_reshape([batch, tokens as i64, features as i64])?,
                )
            }
            Self::Fresh { loader, latents, text, side, warn } => {
                let batch = loader.next()?;
                for broken in &batch.broken {
                    warn(format!("{}: {}; passed over", broken.name, broken.reason));
                }
                let side = *side as i64;
                let pictures = Tensor::f_from_slice(&batch.pictures)?.f_reshape([-1, 3, side, side])?;
                (latents.moments(&pictures)?, text.encode(&batch.captions)?)
            }
        };
        let moments = moments.f_to_device(making.device)?.f_to_kind(Kind::Float)?;
        let latents = posterior(&moments, making.scaling, making.seed, micro)?;
        let context = context.f_to_device(making.device)?;
        Ok(Latents { latents, context: drop_captions(&context, micro, making)? })
    }
}

/// Puts the empty caption's embedding in the place of some.
fn drop_captions(context: &Tensor, micro: u64, making: &Making<'_>) -> Result<Tensor> {
    if making.dropout <= 0.0 {
        return Ok(context.shallow_clone());
    }
    let batch = context.size().first().copied().unwrap_or(0);
    let mut random = choices(making.seed, Use::Dropout, micro);
    let dropped: Vec<i64> = (0..batch).map(|_| i64::from(random.chance(making.dropout))).collect();
    let dropped = Tensor::f_from_slice(&dropped)?.f_to_kind(Kind::Bool)?.f_reshape([-1, 1, 1])?;
    let null = making.null.f_to_kind(context.f_kind()?)?.f_to_device(making.device)?;
    Ok(null.f_where_self(&dropped.f_to_device(making.device)?, context)?)
}
