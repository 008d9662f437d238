//! DPM-Solver++ of second order, multistep, midpoint ("DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
//! Probabilistic Models"), over the schedule's own noise levels or those of Karras et al.

use super::SamplerError;
use super::plan::{Plan, Step, Term};
use super::sigmas::{Sigmas, rounded};
use super::timesteps::Spacing;
use crate::schedule::{NoiseLevel, Schedule, ScheduleError, SchedulerConfig};
use serde_json::json;

pub(super) fn plan(schedule: &Schedule, steps: usize, karras: bool) -> Result<Plan, SamplerError> {
    check(schedule.config(), karras)?;
    let sigmas = Sigmas::of(schedule);
    let (timesteps, sigmas): (Vec<f64>, Vec<f64>) = if karras {
        let sigmas = sigmas.karras(steps).into_iter().map(|sigma| (sigmas.timestep(sigma), rounded(sigma)));
        let cosine = schedule.config().beta_schedule.as_deref() == Some("squaredcos_cap_v2");
        sigmas
            .map(|(timestep, sigma)| (if cosine { timestep.trunc() } else { timestep.round_ties_even() }, sigma))
            .unzip()
    } else {
        let timesteps = Spacing::of(schedule, Spacing::Linspace)?.timesteps(schedule, steps, true);
        timesteps.into_iter().map(f64::round_ties_even).map(|timestep| (timestep, sigmas.at(timestep))).unzip()
    };
    let clean = NoiseLevel { alpha: 1.0, sigma: 0.0 };
    let levels: Vec<_> = sigmas.into_iter().map(NoiseLevel::from_ratio).chain([clean]).collect();

    let mut previous: Option<NoiseLevel> = None;
    let steps = timesteps.into_iter().zip(levels.windows(2)).map(|(timestep, pair)| {
        let (from, to) = (pair[0], pair[1]);
        let data = from.predicted_sample(schedule.prediction_type());
        let width = to.lambda() - from.lambda();
        let first_order = -to.alpha * (-width).exp_m1();
        // The slope of the predicted data over the step before; none for the first step and the last.
        let slope = match previous.replace(from) {
            Some(before) if to != clean => 0.5 * first_order * width / (from.lambda() - before.lambda()),
            _ => 0.0,
        };
        let weight = first_order + slope;
        let next = [
            (to.sigma / from.sigma + weight * data.sample, Term::Sample),
            (weight * data.output, Term::Output),
            (-slope, Term::Kept(0)),
        ];
        let keep = vec![vec![(data.sample, Term::Sample), (data.output, Term::Output)]];
        Step { keep, ..Step::new(timestep, next) }
    });
    Ok(Plan { init_noise_sigma: 1.0, steps: steps.collect() })
}

fn check(config: &SchedulerConfig, karras: bool) -> Result<(), ScheduleError> {
    // Almost all Karras levels of the cosine schedule fall between its last two timesteps.
    if karras && let Some(beta_schedule @ "squaredcos_cap_v2") = config.beta_schedule.as_deref() {
        let supported = ["linear", "scaled_linear"];
        return Err(ScheduleError::unsupported("dpmpp_2m_karras", "beta_schedule", beta_schedule, &supported));
    }
    let require = |key, supported: &[_]| config.require("dpmpp_2m", key, supported);
    require("algorithm_type", &[json!("dpmsolver++"), json!("deis")])?;
    require("solver_order", &[json!(2)])?;
    // diffusers takes the last three for midpoint
    require("solver_type", &[json!("midpoint"), json!("logrho"), json!("bh1"), json!("bh2")])?;
    require("final_sigmas_type", &[json!("zero")])?;
    require("lambda_min_clipped", &[json!("-Infinity")])?;
    require("variance_type", &[json!(null)])?;
    ["thresholding", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas"]
        .into_iter()
        .try_for_each(|key| require(key, &[json!(false)]))
}
