//! DDIM ("Denoising Diffusion Implicit Models"), from no noise (`eta` 0) to that of DDPM (`eta` 1).

use super::SamplerError;
use super::plan::{Plan, Step, Term};
use super::timesteps::{Spacing, alpha_cumprod, alpha_cumprod_or_final};
use crate::schedule::{NoiseLevel, Schedule};
use serde_json::json;

pub(super) fn plan(schedule: &Schedule, steps: usize, eta: f64) -> Result<Plan, SamplerError> {
    // Latents are not bounded. A file that does not mention clipping is taken to want none, as StableDiffusionPipeline
    // takes it, although the class by itself would clip.
    for key in ["clip_sample", "thresholding"] {
        schedule.config().require("ddim", key, &[json!(false)])?;
    }
    let prediction_type = schedule.prediction_type();
    let stride = (schedule.alphas_cumprod().len() / steps) as f64;
    let timesteps = Spacing::of(schedule, Spacing::Leading)?.timesteps(schedule, steps, false);
    let step = |timestep: f64| {
        let timestep = timestep.round_ties_even();
        let a = alpha_cumprod(schedule, timestep)?;
        let b = alpha_cumprod_or_final(schedule, timestep - stride, true)?;
        let level = NoiseLevel::from_alpha_cumprod(a);
        let (sample, noise) = (level.predicted_sample(prediction_type), level.predicted_noise(prediction_type));
        // Equations 12 and 16
        let added = eta * ((1.0 - b) / (1.0 - a) * (1.0 - a / b)).sqrt();
        let (signal, direction) = (b.sqrt(), (1.0 - b - added * added).sqrt());
        let next = [
            (signal * sample.sample + direction * noise.sample, Term::Sample),
            (signal * sample.output + direction * noise.output, Term::Output),
        ];
        Ok(Step { noise: added, ..Step::new(timestep, next) })
    };
    let steps = timesteps.into_iter().map(step).collect::<Result<_, SamplerError>>()?;
    Ok(Plan { init_noise_sigma: 1.0, steps })
}
