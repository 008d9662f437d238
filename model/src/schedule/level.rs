//! One noise level, and what a network's prediction means there.

use super::{ScheduleError, SchedulerConfig};

/// What a network predicts of the noisy sample that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PredictionType {
    /// The noise (`epsilon`).
    Epsilon,
    /// The velocity `alpha noise - sigma x0` (`v_prediction`).
    VPrediction,
    /// The sample without noise (`sample`).
    Sample,
}

impl PredictionType {
    /// `prediction_type` of the configuration; `epsilon` where the file does not say.
    pub fn from_config(config: &SchedulerConfig) -> Result<Self, ScheduleError> {
        match config.prediction_type.as_deref() {
            None | Some("epsilon") => Ok(Self::Epsilon),
            Some("v_prediction") => Ok(Self::VPrediction),
            Some("sample") => Ok(Self::Sample),
            Some(other) => {
                let supported = ["epsilon", "v_prediction", "sample"];
                Err(ScheduleError::unsupported("the noise schedule", "prediction_type", other, &supported))
            }
        }
    }
}

/// A noise level: the noisy sample is `alpha x0 + sigma noise`, with `alpha^2 + sigma^2 = 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseLevel {
    /// Factor of the signal, `sqrt(alphas_cumprod)`.
    pub alpha: f64,
    /// Factor of the noise, `sqrt(1 - alphas_cumprod)`.
    pub sigma: f64,
}

/// Coefficients of a noisy sample and of the network's output there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Factor of the noisy sample that the network saw.
    pub sample: f64,
    /// Factor of what the network said.
    pub output: f64,
}

/// Coefficients of a sample without noise and of the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noising {
    /// Factor of the sample.
    pub sample: f64,
    /// Factor of the noise.
    pub noise: f64,
}

impl NoiseLevel {
    /// The level of an entry of `alphas_cumprod`.
    pub fn from_alpha_cumprod(alpha_cumprod: f64) -> Self {
        Self { alpha: alpha_cumprod.sqrt(), sigma: (1.0 - alpha_cumprod).sqrt() }
    }

    /// The level of a noise-to-signal ratio, the `sigma` of Karras et al.
    pub fn from_ratio(ratio: f64) -> Self {
        let alpha = 1.0 / (ratio * ratio + 1.0).sqrt();
        Self { alpha, sigma: ratio * alpha }
    }

    /// Half the logarithm of the signal-to-noise ratio, the `lambda` of DPM-Solver.
    pub fn lambda(self) -> f64 {
        self.alpha.ln() - self.sigma.ln()
    }

    /// Signal-to-noise ratio, in variances.
    pub fn snr(self) -> f64 {
        (self.alpha / self.sigma).powi(2)
    }

    /// Weight of this level in a training loss ("Efficient Diffusion Training via Min-SNR Weighting Strategy"; gamma 5
    /// there), for the mean squared error of what the network predicts.
    pub fn min_snr_weight(self, prediction_type: PredictionType, gamma: f64) -> f64 {
        let snr = self.snr();
        match prediction_type {
            PredictionType::Epsilon => (gamma / snr).min(1.0),
            PredictionType::VPrediction => (gamma / (snr + 1.0)).min(1.0),
            PredictionType::Sample => snr.min(gamma),
        }
    }

    /// `add_noise` of diffusers: the noisy sample.
    pub fn add_noise(self) -> Noising {
        Noising { sample: self.alpha, noise: self.sigma }
    }

    /// `get_velocity` of diffusers: the target of a network with v prediction.
    pub fn velocity(self) -> Noising {
        Noising { sample: -self.sigma, noise: self.alpha }
    }

    /// The sample without noise, from the network's output.
    pub fn predicted_sample(self, prediction_type: PredictionType) -> Mix {
        let Self { alpha, sigma } = self;
        match prediction_type {
            PredictionType::Epsilon => Mix { sample: 1.0 / alpha, output: -sigma / alpha },
            PredictionType::VPrediction => Mix { sample: alpha, output: -sigma },
            PredictionType::Sample => Mix { sample: 0.0, output: 1.0 },
        }
    }

    /// The noise, from the network's output.
    pub fn predicted_noise(self, prediction_type: PredictionType) -> Mix {
        let Self { alpha, sigma } = self;
        match prediction_type {
            PredictionType::Epsilon => Mix { sample: 0.0, output: 1.0 },
            PredictionType::VPrediction => Mix { sample: sigma, output: alpha },
            PredictionType::Sample => Mix { sample: 1.0 / sigma, output: -alpha / sigma },
        }
    }

    /// The velocity, from the network's output.
    pub fn predicted_velocity(self, prediction_type: PredictionType) -> Mix {
        let Self { alpha, sigma } = self;
        match prediction_type {
            PredictionType::Epsilon => Mix { sample: -sigma / alpha, output: 1.0 / alpha },
            PredictionType::VPrediction => Mix { sample: 0.0, output: 1.0 },
            PredictionType::Sample => Mix { sample: alpha / sigma, output: -1.0 / sigma },
        }
    }
}
