//! The denoising loop.
//!
//! On the CPU every picture, and both halves of guidance, go through the UNet by themselves: a batch is no faster there and takes
//! more memory (two calls of batch 1 measure like one of batch 2), and so a picture has the same bits in every batch.

use super::{Component, Error, Event, Observer, Result, job::Job, text::Embedding};
use crate::engine::{Bound, Network, TensorRef};
use pleach_model::{
    noise::Generator,
    samplers::{LinearCombination as _, SamplerError, Trajectory},
};
use std::borrow::Cow;

/// A picture on its way from noise.
pub(super) struct Denoised {
    pub seed: u64,
    /// `[channels, height, width]`.
    pub latents: Vec<f32>,
    prompt: Embedding,
    generator: Generator,
    trajectory: Trajectory<Vec<f32>>,
}

impl Denoised {
    /// The noise of `seed`, as strong as the sampler begins with.
    pub fn begin(job: &Job<'_>, seed: u64, prompt: Embedding) -> Result<Self> {
        let mut generator = Generator::new(seed);
        let noise = generator.randn(job.latents.iter().product());
        let latents = Vec::combine(&[(job.sampler.init_noise_sigma(), &noise)])?;
        Ok(Self { seed, latents, prompt, generator, trajectory: job.sampler.trajectory() })
    }
}

/// Takes pictures through all calls of the sampler, in step. `first` is the index of the first in the request, `before` how many were
/// denoised before.
pub(super) fn denoise(
    unet: &mut Network,
    job: &Job<'_>,
    unconditional: Option<&Embedding>,
    pictures: &mut [Denoised],
    (first, before): (usize, usize),
    observer: &mut dyn Observer,
) -> Result<()> {
    let Some(context) = pictures.first().map(|picture| picture.prompt.shape) else { return Ok(()) };
    let mut unet = Unet::bind(unet, job.latents, context)?;
    let (calls, batch, all) = (job.sampler.timesteps().len(), pictures.len(), job.request.pictures.len());
    observer.event(Event::Step { call: 0, calls, first, before, batch, pictures: all });
    for (call, &timestep) in job.sampler.timesteps().iter().enumerate() {
        for picture in &mut *pictures {
            let scale = job.sampler.input_scale(call);
            let sample = Vec::combine(&[(scale, &picture.latents)])?;
            let mut predicted = Vec::new();
            if let Some(unconditional) = unconditional {
                if observer.cancelled() {
                    return Err(Error::Cancelled);
                }
                predicted = unet.predict(&sample, timestep, unconditional)?.into_owned();
            }
            if observer.cancelled() {
                return Err(Error::Cancelled);
            }
            let conditional = unet.predict(&sample, timestep, &picture.prompt)?;
            guide(&mut predicted, &conditional, job.guidance);
            let Denoised { latents, generator, trajectory, .. } = picture;
            let mut noise = || Ok::<_, SamplerError>(generator.randn(latents.len()));
            let next = trajectory.step(latents, predicted, &mut noise)?;
            *latents = next;
        }
        observer.event(Event::Step { call: call + 1, calls, first, before, batch, pictures: all });
    }
    let broken = pictures.iter().find(|picture| picture.latents.iter().any(|value| !value.is_finite()));
    broken.map_or(Ok(()), |picture| Err(Error::NotFinite { component: Component::Unet, seed: picture.seed }))
}

/// `predicted`, the unconditional prediction or nothing, becomes the guided one.
fn guide(predicted: &mut Vec<f32>, conditional: &[f32], guidance: f32) {
    if predicted.is_empty() {
        predicted.extend_from_slice(conditional);
    } else {
        for (value, conditional) in predicted.iter_mut().zip(conditional) {
            *value += guidance * (conditional - *value);
        }
    }
}

/// The UNet with its buffers.
struct Unet<'n> {
    bound: Bound<'n>,
    latents: [usize; 4],
}

impl<'n> Unet<'n> {
    fn bind(network: &'n mut Network, latents: [usize; 4], context: [usize; 3]) -> Result<Self> {
        let inputs: [(&str, &[usize]); 3] =
            [("sample", &latents), ("timestep", &[1]), ("encoder_hidden_states", &context)];
        Ok(Self { bound: network.bind(&inputs, &[("out_sample", &latents)])?, latents })
    }

    fn predict(&mut self, sample: &[f32], timestep: f64, prompt: &Embedding) -> Result<Cow<'_, [f32]>> {
        self.bound.set("sample", TensorRef::new(&self.latents, sample)?)?;
        self.bound.set("timestep", TensorRef::new(&[1], &[timestep as f32])?)?;
        self.bound.set("encoder_hidden_states", TensorRef::new(&prompt.shape, &prompt.values)?)?;
        self.bound.run()?;
        Ok(self.bound.output("out_sample")?.to_f32())
    }
}
