//! The betas of a schedule and their cumulative product, rounded to f32 where PyTorch rounds.

use super::{MAX_TIMESTEPS, ScheduleError, SchedulerConfig};
use std::fmt::Display;

/// Largest beta of the cosine schedule.
const MAX_BETA: f64 = 0.999;

/// The betas that `config` describes, one a timestep, each within `0..1` (1 for a rescaled last one).
pub(super) fn from_config(config: &SchedulerConfig) -> Result<Vec<f32>, ScheduleError> {
    let betas = match &config.trained_betas {
        Some(betas) => {
            count("trained_betas", betas.len())?;
            if let Some(expected) = config.num_train_timesteps.filter(|expected| *expected != betas.len()) {
                return Err(ScheduleError::Invalid {
                    field: "trained_betas",
                    value: format!("a list of {}", betas.len()),
                    expected: format!("one value for each of num_train_timesteps = {expected}"),
                });
            }
            betas.iter().map(|value| beta("trained_betas", *value)).collect::<Result<_, _>>()?
        }
        None => named(config)?,
    };
    if config.rescale_betas_zero_snr != Some(true) {
        return Ok(betas);
    }
    rescale_zero_terminal_snr(&betas).ok_or_else(|| ScheduleError::Invalid {
        field: "rescale_betas_zero_snr",
        value: true.to_string(),
        expected: "possible with a single timestep".to_owned(),
    })
}

/// `cumprod(1 - beta)`: PyTorch multiplies in f64 and rounds every entry.
pub(super) fn cumulative_alphas(betas: &[f32]) -> impl Iterator<Item = f32> {
    betas.iter().scan(1.0, |product, beta| {
        *product *= f64::from(1.0 - beta);
        Some(*product as f32)
    })
}

fn named(config: &SchedulerConfig) -> Result<Vec<f32>, ScheduleError> {
    let steps = count("num_train_timesteps", config.num_train_timesteps.unwrap_or(1000))?;
    let start = beta("beta_start", config.beta_start.unwrap_or(0.0001))?;
    let end = beta("beta_end", config.beta_end.unwrap_or(0.02))?;
    Ok(match config.beta_schedule.as_deref().unwrap_or("linear") {
        "linear" => linspace(start as f32, end as f32, steps).collect(),
        "scaled_linear" => linspace(start.sqrt() as f32, end.sqrt() as f32, steps).map(|root| root * root).collect(),
        "squaredcos_cap_v2" => {
            let alpha_bar = |step: usize| {
                let time = step as f64 / steps as f64;
                ((time + 0.008) / 1.008 * std::f64::consts::PI / 2.0).cos().powi(2)
            };
            (0..steps).map(|step| (1.0 - alpha_bar(step + 1) / alpha_bar(step)).min(MAX_BETA) as f32).collect()
        }
        other => {
            let supported = ["linear", "scaled_linear", "squaredcos_cap_v2"];
            return Err(ScheduleError::unsupported("the noise schedule", "beta_schedule", other, &supported));
        }
    })
}

/// `torch.linspace` in f32: from both ends towards the middle.
fn linspace(start: f32, end: f32, steps: usize) -> impl Iterator<Item = f32> {
    let step = if steps > 1 { (end - start) / (steps - 1) as f32 } else { 0.0 };
    (0..steps).map(move |index| {
        if index < steps / 2 || steps == 1 {
            step.mul_add(index as f32, start)
        } else {
            (-step).mul_add((steps - index - 1) as f32, end)
        }
    })
}

/// Betas whose last timestep holds no signal and whose first is as before
/// ("Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1).
fn rescale_zero_terminal_snr(betas: &[f32]) -> Option<Vec<f32>> {
    let roots: Vec<f32> = cumulative_alphas(betas).map(f32::sqrt).collect();
    let [first, .., last] = roots[..] else { return None };
    let scale = first / (first - last);
    let mut previous = 1.0;
    let rescaled = roots.into_iter().map(|root| {
        let shifted = (root - last) * scale;
        let alpha_bar = shifted * shifted;
        let beta = 1.0 - alpha_bar / previous;
        previous = alpha_bar;
        beta
    });
    Some(rescaled.collect())
}

fn beta<T: Copy + Display + Into<f64>>(field: &'static str, value: T) -> Result<T, ScheduleError> {
    if value.into() > 0.0 && value.into() < 1.0 {
        Ok(value)
    } else {
        Err(ScheduleError::Invalid { field, value: value.to_string(), expected: "between 0 and 1".to_owned() })
    }
}

fn count(field: &'static str, value: usize) -> Result<usize, ScheduleError> {
    if (1..=MAX_TIMESTEPS).contains(&value) {
        Ok(value)
    } else {
        Err(ScheduleError::Invalid {
            field,
            value: value.to_string(),
            expected: format!("a number of timesteps from 1 to {MAX_TIMESTEPS}"),
        })
    }
}
