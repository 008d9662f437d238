//! Euler's method over sigmas ("Elucidating the Design Space of Diffusion-Based Generative Models", algorithm 2 without
//! churn). The sample is not of unit variance: it is the clean one plus `sigma` times noise.

use super::SamplerError;
use super::plan::{Plan, Step, Term};
use super::sigmas::{Sigmas, rounded};
use super::timesteps::Spacing;
use crate::schedule::{NoiseLevel, Schedule};
use serde_json::json;

pub(super) fn plan(schedule: &Schedule, steps: usize) -> Result<Plan, SamplerError> {
    let require = |key, supported: &[_]| schedule.config().require("euler", key, supported);
    require("interpolation_type", &[json!("linear")])?;
    require("timestep_type", &[json!("discrete")])?;
    require("final_sigmas_type", &[json!("zero")])?;
    require("use_exponential_sigmas", &[json!(false)])?;
    require("use_beta_sigmas", &[json!(false)])?;
    descend(schedule, steps, |_, to| (to, 0.0))
}

/// Euler steps from sigma to sigma down to 0. `split` says of each step from one sigma to the next how far down the
/// Euler step goes and how much noise is added after it.
pub(super) fn descend(
    schedule: &Schedule,
    steps: usize,
    split: impl Fn(f64, f64) -> (f64, f64),
) -> Result<Plan, SamplerError> {
    let spacing = Spacing::of(schedule, Spacing::Linspace)?;
    let timesteps: Vec<f64> = spacing.timesteps(schedule, steps, false).into_iter().map(rounded).collect();
    let table = Sigmas::of(schedule);
    let sigmas: Vec<f64> = timesteps.iter().map(|timestep| table.at(*timestep)).chain([0.0]).collect();
    let max = sigmas.iter().copied().fold(0.0, f64::max);
    let init_noise_sigma = if spacing == Spacing::Leading { max.hypot(1.0) } else { max };

    let steps = timesteps.into_iter().zip(sigmas.windows(2)).map(|(timestep, pair)| {
        let (from, (to, noise)) = (pair[0], split(pair[0], pair[1]));
        // What the network sees is the sample times alpha.
        let level = NoiseLevel::from_ratio(from);
        let data = level.predicted_sample(schedule.prediction_type());
        let length = (to - from) / from;
        let next =
            [(1.0 + length * (1.0 - data.sample * level.alpha), Term::Sample), (-length * data.output, Term::Output)];
        Step { input_scale: level.alpha, noise, ..Step::new(timestep, next) }
    });
    Ok(Plan { init_noise_sigma, steps: steps.collect() })
}
