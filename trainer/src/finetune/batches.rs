//! Latents and embeddings for a UNet to learn from: out of a cache, or out of pictures and captions as they come.

use crate::{
    data::{
        Dataset, Loader, Position,
        cache::{CachedLoader, LatentBatch},
    },
    diffusion::{left_out, posterior},
    encoders::{LatentEncoder, TextEncoder},
    run::Result,
};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Where batches come from.
pub enum Batches {
    /// A cache.
    Cached {
        /// Reads it.
        loader: Box<CachedLoader>,
        /// The data set that it was made of: its captions.
        dataset: Arc<dyn Dataset>,
    },
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
    /// Whatever else makes them.
    Made(Box<dyn FnMut() -> Result<Encoded>>),
}

/// Pictures and captions as the encoders leave them.
pub struct Encoded {
    /// Mean and log-variance of the latents, joined: `[B, 2 C, h, w]`.
    pub moments: Tensor,
    /// `[B, N, D]`.
    pub context: Tensor,
    /// `[B]`.
    pub captions: Vec<String>,
}

/// One batch, on the device.
pub struct Latents {
    /// `[B, C, h, w]`, multiplied by the scaling factor.
    pub latents: Tensor,
    /// `[B, N, D]`.
    pub context: Tensor,
    /// The caption of each, those that were left out among them.
    pub captions: Vec<String>,
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
            Self::Cached { loader, .. } => loader.position(),
            Self::Fresh { loader, .. } => loader.position(),
            Self::Made(_) => Position::default(),
        }
    }

    /// The next batch, for micro-batch number `micro` of the run.
    ///
    /// # Errors
    /// Data that cannot be read; what libtorch says.
    pub fn next(&mut self, micro: u64, making: &Making<'_>) -> Result<Latents> {
        let Encoded { moments, context, captions } = match self {
            Self::Cached { loader, dataset } => {
                let shapes = (loader.cache().moments_shape(), loader.cache().embedding_shape());
                let LatentBatch { moments, embeddings, indices, captions, .. } = loader.next()?;
                let batch = indices.len() as i64;
                let ([channels, height, width], [tokens, features]) = shapes;
                let caption = |(&index, number): (&usize, usize)| {
                    dataset.captions(index).get(number).cloned().unwrap_or_default()
                };
                let moments = Tensor::f_from_slice(&moments)?;
                let embeddings = Tensor::f_from_slice(&embeddings)?;
                Encoded {
                    moments: moments.f_reshape([batch, channels as i64, height as i64, width as i64])?,
                    context: embeddings.f_reshape([batch, tokens as i64, features as i64])?,
                    captions: indices.iter().zip(captions).map(caption).collect(),
                }
            }
            Self::Fresh { loader, latents, text, side, warn } => {
                let batch = loader.next()?;
                for broken in &batch.broken {
                    warn(format!("{}: {}; passed over", broken.name, broken.reason));
                }
                let side = *side as i64;
                let pictures = Tensor::f_from_slice(&batch.pictures)?.f_reshape([-1, 3, side, side])?;
                Encoded {
                    moments: latents.moments(&pictures)?,
                    context: text.encode(&batch.captions)?,
                    captions: batch.captions,
                }
            }
            Self::Made(make) => make()?,
        };
        let moments = moments.f_to_device(making.device)?.f_to_kind(Kind::Float)?;
        let latents = posterior(&moments, making.scaling, making.seed, micro)?;
        let context = context.f_to_device(making.device)?;
        let context = left_out(&context, making.null, making.dropout, making.seed, micro)?;
        Ok(Latents { latents, context, captions })
    }
}
