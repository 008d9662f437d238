//! Which timesteps of the schedule a run visits.

use super::SamplerError;
use crate::schedule::{Schedule, ScheduleError};

/// `alphas_cumprod` at a timestep.
pub(super) fn alpha_cumprod(schedule: &Schedule, timestep: f64) -> Result<f64, SamplerError> {
    let alphas = schedule.alphas_cumprod();
    let index = if timestep < 0.0 { None } else { Some(timestep as usize) };
    index
        .and_then(|index| alphas.get(index))
        .copied()
        .ok_or_else(|| ScheduleError::Timestep { timestep: timestep as i64, last: alphas.len() - 1 }.into())
}

/// `alphas_cumprod` at a timestep, or that of the finished sample where the timestep lies before the first: 1, or that
/// of timestep 0. `to_one` is the default of the diffusers class.
pub(super) fn alpha_cumprod_or_final(schedule: &Schedule, timestep: f64, to_one: bool) -> Result<f64, SamplerError> {
    match schedule.config().set_alpha_to_one.unwrap_or(to_one) {
        true if timestep < 0.0 => Ok(1.0),
        _ => alpha_cumprod(schedule, timestep.max(0.0)),
    }
}

/// How timesteps are spread ("Common Diffusion Noise Schedules and Sample Steps are Flawed", table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Whole multiples of `timesteps / steps`, plus the offset.
    Leading,
    /// Evenly from the first to the last.
    Linspace,
    /// Whole multiples of `timesteps / steps` down from the last.
    Trailing,
}

impl Spacing {
    /// `timestep_spacing` of the configuration; `default` is that of the diffusers class.
    pub fn of(schedule: &Schedule, default: Self) -> Result<Self, SamplerError> {
        match schedule.config().timestep_spacing.as_deref() {
            None => Ok(default),
            Some("leading") => Ok(Self::Leading),
            Some("linspace") => Ok(Self::Linspace),
            Some("trailing") => Ok(Self::Trailing),
            Some(other) => {
                let supported = ["leading", "linspace", "trailing"];
                Err(ScheduleError::unsupported("any sampler", "timestep_spacing", other, &supported).into())
            }
        }
    }

    /// `steps` timesteps, falling; those of `Linspace` are not rounded. Where `end_left_out`, a last timestep at the low
    /// end is counted in the spacing and left out (not of `Trailing`), as DPM-Solver does.
    ///
    /// `Trailing` gives exactly `steps` timesteps; for 62 numbers of steps (61, 103, ...) a rounding error in diffusers
    /// appends timestep -1.
    pub fn timesteps(self, schedule: &Schedule, steps: usize, end_left_out: bool) -> Vec<f64> {
        let count = schedule.alphas_cumprod().len();
        let last = (count - 1) as f64;
        let skipped = usize::from(end_left_out);
        let points = steps + skipped;
        match self {
            Self::Leading => {
                let (ratio, offset) = (count / points, schedule.config().steps_offset.unwrap_or(0));
                (skipped..points).rev().map(|point| (point * ratio) as f64 + offset as f64).collect()
            }
            Self::Linspace if points == 1 => vec![0.0],
            Self::Linspace => {
                let step = last / (points - 1) as f64;
                let inner = (skipped..points - 1).rev().map(|point| point as f64 * step);
                std::iter::once(last).chain(inner).collect()
            }
            Self::Trailing => {
                // NumPy's arange steps by the difference of its first two values; halves are rounded accordingly.
                let count = count as f64;
                let stride = (count - count / steps as f64) - count;
                (0..steps).map(|step| (count + step as f64 * stride).round_ties_even() - 1.0).collect()
            }
        }
    }
}
