//! PNDM without its Runge-Kutta warm-up, that is PLMS ("Pseudo Numerical Methods for Diffusion Models on Manifolds"):
//! a linear multistep method over the network's raw outputs, whose first step is computed twice.

use super::SamplerError;
use super::plan::{Combination, Plan, Step, Term};
use super::timesteps::{Spacing, alpha_cumprod, alpha_cumprod_or_final};
use crate::schedule::{NoiseLevel, PredictionType, Schedule, ScheduleError};

const NAME: &str = "pndm";

pub(super) fn plan(schedule: &Schedule, steps: usize) -> Result<Plan, SamplerError> {
    check(schedule)?;
    let stride = (schedule.alphas_cumprod().len() / steps) as f64;
    let mut timesteps = Spacing::of(schedule, Spacing::Leading)?.timesteps(schedule, steps, false);
    if let Some(&second) = timesteps.get(1) {
        timesteps.insert(1, second);
    }
    let step = |(call, timestep): (usize, f64)| {
        let timestep = timestep.round_ties_even();
        // The second call goes over the first step again, from its sample and with the mean of both outputs.
        let (from, to, start) = match call {
            1 => (timestep + stride, timestep, Term::Kept(1)),
            _ => (timestep, timestep - stride, Term::Sample),
        };
        let a = alpha_cumprod(schedule, from)?;
        let b = alpha_cumprod_or_final(schedule, to, false)?;
        let noise = NoiseLevel::from_alpha_cumprod(a).predicted_noise(schedule.prediction_type());
        // Equation 9
        let factor = (a - b) / (a * (1.0 - b).sqrt() + (a * (1.0 - a) * b).sqrt());
        let mut next = vec![((b / a).sqrt() + factor * noise.sample, start)];
        next.extend(outputs(call).into_iter().map(|(weight, term)| (factor * noise.output * weight, term)));
        let output = vec![(1.0, Term::Output)];
        let keep = match call {
            0 => vec![vec![(1.0, Term::Sample)], output],
            1 => Vec::new(),
            _ => vec![output],
        };
        Ok(Step { keep, ..Step::new(timestep, next) })
    };
    let steps = timesteps.into_iter().enumerate().map(step).collect::<Result<_, SamplerError>>()?;
    Ok(Plan { init_noise_sigma: 1.0, steps })
}

/// The multistep combination of the network's outputs.
fn outputs(call: usize) -> Combination {
    let (factors, divisor): (&[f64], f64) = match call {
        0 => (&[1.0], 1.0),
        1 => (&[1.0, 1.0], 2.0),
        2 => (&[3.0, -1.0], 2.0),
        3 => (&[23.0, -16.0, 5.0], 12.0),
        _ => (&[55.0, -59.0, 37.0, -9.0], 24.0),
    };
    let newest_first = std::iter::once(Term::Output).chain((0..).map(Term::Kept));
    factors.iter().map(|factor| factor / divisor).zip(newest_first).collect()
}

fn check(schedule: &Schedule) -> Result<(), ScheduleError> {
    let config = schedule.config();
    if config.skip_prk_steps != Some(true) {
        return Err(ScheduleError::unsupported(NAME, "skip_prk_steps", false, &[true]));
    }
    if config.rescale_betas_zero_snr == Some(true) {
        return Err(ScheduleError::unsupported(NAME, "rescale_betas_zero_snr", true, &[false]));
    }
    if schedule.prediction_type() == PredictionType::Sample {
        return Err(ScheduleError::unsupported(NAME, "prediction_type", "sample", &["epsilon", "v_prediction"]));
    }
    Ok(())
}
