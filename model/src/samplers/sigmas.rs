//! Noise-to-signal ratios ("sigmas"), the time axis of Karras et al., with PyTorch's and NumPy's roundings to f32.

use crate::schedule::Schedule;

/// What the samplers over sigmas put for the last `alphas_cumprod` of a schedule without terminal signal.
const NO_SIGNAL: f32 = 1.0 / 16_777_216.0;
/// Exponent of the Karras levels.
const RHO: f64 = 7.0;

/// The ratio at every timestep of a schedule, rising.
pub(super) struct Sigmas(Vec<f32>);

impl Sigmas {
    /// The ratios of `schedule`.
    pub fn of(schedule: &Schedule) -> Self {
        let mut alphas: Vec<f32> = schedule.alphas_cumprod().iter().map(|alpha| *alpha as f32).collect();
        if schedule.config().rescale_betas_zero_snr == Some(true)
            && let Some(last) = alphas.last_mut()
        {
            *last = NO_SIGNAL;
        }
        Self(alphas.into_iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect())
    }

    /// The ratio at a timestep between the schedule's, or at the nearer end of the schedule.
    pub fn at(&self, timestep: f64) -> f64 {
        let last = self.0.len() - 1;
        let low = (timestep.max(0.0) as usize).min(last);
        let (below, above) = (f64::from(self.0[low]), f64::from(self.0[(low + 1).min(last)]));
        rounded((above - below) * (timestep - low as f64).clamp(0.0, 1.0) + below)
    }

    /// `steps` ratios from the largest to the smallest, even in their `1 / RHO`th power
    /// ("Elucidating the Design Space of Diffusion-Based Generative Models", equation 5).
    pub fn karras(&self, steps: usize) -> Vec<f64> {
        let root = |sigma: f32| f64::from(sigma).powf(1.0 / RHO);
        let (max, min) = (root(self.0[self.0.len() - 1]), root(self.0[0]));
        let ramp = |step: usize| if steps > 1 { step as f64 / (steps - 1) as f64 } else { 0.0 };
        (0..steps).map(|step| (max + ramp(step) * (min - max)).powf(RHO)).collect()
    }

    /// The timestep, with its fraction, at which the schedule has this ratio.
    pub fn timestep(&self, sigma: f64) -> f64 {
        let last = self.0.len() - 1;
        if last == 0 {
            return 0.0;
        }
        let log = sigma.ln();
        let above = self.0.partition_point(|sigma| f64::from(sigma.ln()) <= log);
        let low = above.saturating_sub(1).min(last - 1);
        let (log_low, log_high) = (self.0[low].ln(), self.0[low + 1].ln());
        let weight = ((f64::from(log_low) - log) / f64::from(log_low - log_high)).clamp(0.0, 1.0);
        (1.0 - weight) * low as f64 + weight * (low + 1) as f64
    }
}

/// Samplers over sigmas hold them in f32.
pub(super) fn rounded(sigma: f64) -> f64 {
    f64::from(sigma as f32)
}
