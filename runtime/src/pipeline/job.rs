//! A request, checked against the bundle that is to draw it.

use super::{Error, Request, Result, Size};
use crate::bundle::Bundle;
use pleach_model::samplers::{Sampler, SamplerKind};

/// A request with everything decided.
#[derive(Clone, Debug)]
pub(super) struct Job<'r> {
    pub request: &'r Request,
    pub size: Size,
    /// Shape of one picture's latents: `[1, channels, height, width]`.
    pub latents: [usize; 4],
    pub sampler: Sampler,
    pub guidance: f32,
    /// Whether the network runs on the negative prompt too.
    pub guided: bool,
}

impl<'r> Job<'r> {
    pub fn new(bundle: &Bundle, request: &'r Request) -> Result<Self> {
        if request.pictures.is_empty() {
            return Err(Error::NoPrompt);
        }
        if request.batch == 0 {
            return Err(Error::EmptyBatch);
        }
        if !request.guidance.is_finite() {
            return Err(Error::Guidance(request.guidance));
        }
        let size = request.size.unwrap_or_else(|| bundle.default_size());
        size.check(bundle.size_multiple())?;
        let factor = bundle.vae().factor();
        let [height, width] = [size.height, size.width].map(|pixels| pixels as usize / factor);
        let kind = request.sampler.map_or_else(|| SamplerKind::from_config(bundle.schedule().config()), Ok)?;
        Ok(Self {
            request,
            size,
            latents: [1, bundle.unet().in_channels, height, width],
            sampler: Sampler::new(kind, bundle.schedule(), request.steps)?,
            guidance: request.guidance as f32,
            guided: request.guidance > 1.0,
        })
    }
}
