//! The noise schedule a model was trained with: how much signal and how much noise each timestep holds.
//!
//! `alphas_cumprod` is computed in f32 as diffusers computes it and held in f64: 1 - alpha of the first timesteps keeps
//! only three digits of the f32 rounding, so a schedule that were exact would not be the one the model saw.

mod betas;
mod config;
mod level;

pub use config::SchedulerConfig;
pub use level::{Mix, NoiseLevel, Noising, PredictionType};

use std::fmt::Display;

/// Longest schedule that is accepted; models are trained with 1000 timesteps.
const MAX_TIMESTEPS: usize = 100_000;

/// A scheduler configuration that cannot be used, or a timestep that the schedule does not have.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Not JSON, or a value of the wrong type.
    #[error("scheduler config is not what diffusers writes")]
    Json(#[from] serde_json::Error),
    /// A value that diffusers may know and Pleach does not.
    #[error("scheduler config: {field}: {value} is not supported by {reader} (supported: {supported})")]
    Unsupported {
        /// Key of the JSON file.
        field: String,
        /// What it holds.
        value: String,
        /// The sampler that reads the value.
        reader: &'static str,
        /// What it may hold.
        supported: String,
    },
    /// A value that makes no schedule.
    #[error("scheduler config: {field}: {value} is not {expected}")]
    Invalid {
        /// Key of the JSON file.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// A timestep beyond the schedule's ends.
    #[error("timestep {timestep} is not one of the schedule's 0..={last}")]
    Timestep {
        /// The timestep asked for.
        timestep: i64,
        /// The last one there is.
        last: usize,
    },
}

impl ScheduleError {
    pub(crate) fn unsupported<T: Display>(
        reader: &'static str,
        field: &str,
        value: impl Display,
        supported: &[T],
    ) -> Self {
        let supported = supported.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Self::Unsupported { field: field.to_owned(), value: value.to_string(), reader, supported }
    }
}

/// The noise schedule: timestep `t` of the forward process gives `sqrt(a_t) x + sqrt(1 - a_t) noise`, where `a_t` is
/// `alphas_cumprod[t]`.
#[derive(Clone, Debug)]
pub struct Schedule {
    config: SchedulerConfig,
    prediction_type: PredictionType,
    alphas_cumprod: Vec<f64>,
}

impl Schedule {
    /// The schedule of a `scheduler_config.json`.
    pub fn from_config(config: &SchedulerConfig) -> Result<Self, ScheduleError> {
        Ok(Self {
            config: config.clone(),
            prediction_type: PredictionType::from_config(config)?,
            alphas_cumprod: betas::cumulative_alphas(&betas::from_config(config)?).map(f64::from).collect(),
        })
    }

    /// The configuration this schedule came from.
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// What the network predicts.
    pub fn prediction_type(&self) -> PredictionType {
        self.prediction_type
    }

    /// Share of the signal's variance at each timestep, falling.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// Signal and noise at a timestep.
    pub fn level(&self, timestep: usize) -> Result<NoiseLevel, ScheduleError> {
        match self.alphas_cumprod.get(timestep) {
            Some(&alpha_cumprod) => Ok(NoiseLevel::from_alpha_cumprod(alpha_cumprod)),
            None => Err(ScheduleError::Timestep {
                timestep: i64::try_from(timestep).unwrap_or(i64::MAX),
                last: self.alphas_cumprod.len() - 1,
            }),
        }
    }
}
