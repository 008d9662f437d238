//! A request, checked against the bundle that is to draw it.

use super::{Error, Request, Result, Size};
use crate::bundle::Bundle;
use pleach_model::samplers::{Sampler, SamplerKind};

/// A request with everything decided.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub size: Size,
    /// Shape of one picture's latents: `[1, channels, height, width]`.
    pub latents: [usize; 4],
    pub sampler: Sampler,
    pub guidance: f32,
    /// Whether the network runs on the negative prompt too.
    pub guided: bool,
    /// Every picture: the index of its prompt, and its seed.
    pub pictures: Vec<(usize, u64)>,
    pub batch: usize,
}

impl Job {
    pub fn new(bundle: &Bundle, request: &Request) -> Result<Self> {
        if request.prompts.is_empty() {
            return Err(Error::NoPrompt);
        }
        if request.seeds.is_empty() {
            return Err(Error::NoSeed);
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
        let prompts = 0..request.prompts.len();
        Ok(Self {
            size,
            latents: [1, bundle.unet().in_channels, height, width],
            sampler: Sampler::new(kind, bundle.schedule(), request.steps)?,
            guidance: request.guidance as f32,
            guided: request.guidance > 1.0,
            pictures: prompts.flat_map(|prompt| request.seeds.iter().map(move |&seed| (prompt, seed))).collect(),
            batch: request.batch,
        })
    }
}
