//! Euler ancestral: each Euler step goes further down than the next sigma, and fresh noise leads back up to it.

use super::SamplerError;
use super::euler::descend;
use super::plan::Plan;
use crate::schedule::{PredictionType, Schedule, ScheduleError};

pub(super) fn plan(schedule: &Schedule, steps: usize, eta: f64) -> Result<Plan, SamplerError> {
    if schedule.prediction_type() == PredictionType::Sample {
        let supported = ["epsilon", "v_prediction"];
        return Err(ScheduleError::unsupported("euler_a", "prediction_type", "sample", &supported).into());
    }
    descend(schedule, steps, |from, to| {
        let up = eta * (to * to * (from * from - to * to)).sqrt() / from;
        ((to * to - up * up).sqrt(), up)
    })
}
