//! The forward process and its loss: noise is added to latents, and a network's prediction is held against what was added.

use crate::{
    run::streams::{Use, choices, noise},
    torch::Result,
};
use pleach_model::schedule::{PredictionType, Schedule, ScheduleError};
use tch::{Device, Kind, Tensor};

/// A noise schedule as tensors on a device.
#[derive(Debug)]
pub struct Diffusion {
    alphas: Tensor,
    sigmas: Tensor,
    weights: Tensor,
    timesteps: usize,
    prediction: PredictionType,
}

/// Latents with noise, and what a network should make of them.
#[derive(Debug)]
pub struct Noised {
    /// `[B, C, H, W]`.
    pub sample: Tensor,
    /// `[B]`, f32.
    pub timesteps: Tensor,
    /// What the network should predict, `[B, C, H, W]`.
    pub target: Tensor,
    /// Weight of each example in the loss, `[B]`.
    pub weights: Tensor,
}

impl Diffusion {
    /// The schedule on `device`. With `gamma` the loss is weighted by Min-SNR (Hang et al. 2023), otherwise all timesteps count alike.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn new(schedule: &Schedule, gamma: Option<f64>, device: Device) -> Result<Self, crate::run::Error> {
        let count = schedule.alphas_cumprod().len();
        let levels = (0..count).map(|t| schedule.level(t)).collect::<Result<Vec<_>, ScheduleError>>()?;
        let prediction = schedule.prediction_type();
        let table = |value: &dyn Fn(usize) -> f64| -> Result<Tensor> {
            let values: Vec<f32> = (0..count).map(|t| value(t) as f32).collect();
            Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?)
        };
        let weight = |t: usize| gamma.map_or(1.0, |gamma| levels[t].min_snr_weight(prediction, gamma));
        Ok(Self {
            alphas: table(&|t| levels[t].alpha)?,
            sigmas: table(&|t| levels[t].sigma)?,
            weights: table(&weight)?,
            timesteps: count,
            prediction,
        })
    }

    /// How many timesteps there are.
    pub fn timesteps(&self) -> usize {
        self.timesteps
    }

    /// Noise and timesteps for micro-batch number `micro` of the run with this seed, added to `latents [B, C, H, W]` (f32, already
    /// multiplied by the scaling factor).
    ///
    /// # Errors
    /// What libtorch says.
    pub fn noised(&self, latents: &Tensor, seed: u64, micro: u64) -> Result<Noised> {
        let (batch, device) = (latents.size().first().copied().unwrap_or(0), latents.device());
        let mut random = choices(seed, Use::Timestep, micro);
        let timesteps: Vec<i64> = (0..batch).map(|_| random.below(self.timesteps) as i64).collect();
        let values = noise(seed, Use::Noise, micro).randn(latents.numel());
        let noise = Tensor::f_from_slice(&values)?.f_reshape(latents.size())?.f_to_device(device)?;
        self.add(latents, &noise, &timesteps)
    }

    /// `noise` added to `latents` at `timesteps`, one for each example.
    ///
    /// # Errors
    /// What libtorch says, such as of a timestep that the schedule does not have.
    pub fn add(&self, latents: &Tensor, noise: &Tensor, timesteps: &[i64]) -> Result<Noised> {
        let timesteps = Tensor::f_from_slice(timesteps)?.f_to_device(latents.device())?;
        let at = |table: &Tensor| table.f_index_select(0, &timesteps)?.f_reshape([-1, 1, 1, 1]);
        let (alpha, sigma) = (at(&self.alphas)?, at(&self.sigmas)?);
        let sample = latents.f_mul(&alpha)?.f_add(&noise.f_mul(&sigma)?)?;
        let target = match self.prediction {
            PredictionType::Epsilon => noise.shallow_clone(),
            PredictionType::VPrediction => noise.f_mul(&alpha)?.f_sub(&latents.f_mul(&sigma)?)?,
            PredictionType::Sample => latents.shallow_clone(),
        };
        let weights = self.weights.f_index_select(0, &timesteps)?;
        Ok(Noised { sample, timesteps: timesteps.f_to_kind(Kind::Float)?, target, weights })
    }

    /// The weighted mean squared error of a prediction: a mean over the elements of each example, then over examples.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn loss(&self, prediction: &Tensor, noised: &Noised) -> Result<Tensor> {
        let error = prediction.f_to_kind(Kind::Float)?.f_sub(&noised.target)?.f_square()?;
        let each = error.f_flatten(1, -1)?.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?;
        Ok(each.f_mul(&noised.weights)?.f_mean(Kind::Float)?)
    }
}

/// Latents out of the moments of a posterior (mean and log-variance, joined: `[B, 2 C, H, W]`), drawn for micro-batch `micro` and
/// multiplied by the scaling factor.
///
/// # Errors
/// What libtorch says.
pub fn posterior(moments: &Tensor, scaling: f64, seed: u64, micro: u64) -> Result<Tensor> {
    let (mean, log_variance) = crate::encoders::halves(moments)?;
    let values = noise(seed, Use::Posterior, micro).randn(mean.numel());
    let noise = Tensor::f_from_slice(&values)?.f_reshape(mean.size())?.f_to_device(mean.device())?;
    let deviation = log_variance.f_clamp(-30.0, 20.0)?.f_mul_scalar(0.5)?.f_exp()?;
    Ok(mean.f_add(&noise.f_mul(&deviation)?)?.f_mul_scalar(scaling)?)
}

/// Embeddings `[B, N, D]` of which a share was replaced by that of the empty caption, `null [1, N, D]`, for micro-batch `micro`: what
/// guidance leads away from must be learnt too (Ho and Salimans 2022).
///
/// # Errors
/// What libtorch says.
pub fn left_out(embeddings: &Tensor, null: &Tensor, share: f64, seed: u64, micro: u64) -> Result<Tensor> {
    if share <= 0.0 {
        return Ok(embeddings.shallow_clone());
    }
    let batch = embeddings.size().first().copied().unwrap_or(0);
    let mut random = choices(seed, Use::Dropout, micro);
    let dropped: Vec<i64> = (0..batch).map(|_| i64::from(random.chance(share))).collect();
    let dropped = Tensor::f_from_slice(&dropped)?.f_to_kind(Kind::Bool)?.f_reshape([-1, 1, 1])?;
    let null = null.f_to_kind(embeddings.f_kind()?)?.f_to_device(embeddings.device())?;
    Ok(null.f_where_self(&dropped.f_to_device(embeddings.device())?, embeddings)?)
}

#[cfg(test)]
mod tests;
