//! AdamW over the variables of a network, with everything that happens between gradients and weights.

use super::{RateSettings, Scaler, Variable, zeros};
use crate::{
    native,
    torch::{Error, Result},
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How a list of variables is learnt. The defaults are those of PyTorch's AdamW with the rate of the paper's fine-tuning,
/// except that nothing decays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserSettings {
    /// The learning rate over the updates.
    pub rate: RateSettings,
    /// Decay of the first and of the second moment.
    pub betas: [f64; 2],
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Largest norm of all gradients together; longer ones are shortened to it.
    pub clip: Option<f64>,
}

impl Default for OptimiserSettings {
    fn default() -> Self {
        Self { rate: RateSettings::default(), betas: [0.9, 0.999], weight_decay: 0.0, eps: 1e-8, clip: None }
    }
}

/// What an update was like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Norm of all gradients together, before clipping.
    pub norm: f64,
    /// The learning rate.
    pub rate: f64,
    /// False where gradients were not finite: then nothing was changed.
    pub done: bool,
}

/// AdamW's moments of a list of variables.
#[derive(Debug)]
pub struct Optimiser {
    settings: OptimiserSettings,
    updates: u64,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    /// One step count for all: they are updated together. It lies where the variables do.
    step: Tensor,
}

impl Optimiser {
    /// Moments of zero.
    ///
    /// # Errors
    /// What libtorch says; no variables at all.
    pub fn new(variables: &[Variable], settings: OptimiserSettings) -> Result<Self> {
        let device = variables.first().map(|(_, value)| value.tensor().device());
        let device = device.ok_or_else(|| Error::Torch("there is nothing to learn: no variables".into()))?;
        let step = Tensor::f_zeros([] as [i64; 0], (Kind::Float, device))?;
        Ok(Self { settings, updates: 0, first: zeros(variables)?, second: zeros(variables)?, step })
    }

    /// Updates made.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// First and second moments, in the order of the variables.
    pub fn moments(&self) -> [&[Tensor]; 2] {
        [&self.first, &self.second]
    }

    /// Goes on after so many updates; the moments are overwritten by whoever restores them.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn resume(&mut self, updates: u64) -> Result<()> {
        self.updates = updates;
        let _ = self.step.f_fill_(updates as f64)?;
        Ok(())
    }

    /// Update number [`updates`](Self::updates) of `all`, with the gradients that the variables hold, which are used up.
    /// Variables without a gradient stay as they are. `scaler` is what the loss was multiplied by, if it was.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn update(&mut self, variables: &[Variable], all: u64, scaler: Option<&Scaler>) -> Result<Update> {
        let rate = self.settings.rate.at(self.updates, all);
        let mut chosen = Vec::new();
        for (i, (_, value)) in variables.iter().enumerate() {
            let gradient = value.tensor().f_grad()?;
            if gradient.defined() {
                chosen.push((i, value.tensor(), gradient));
            }
        }
        let gradients: Vec<&Tensor> = chosen.iter().map(|(_, _, gradient)| gradient).collect();
        if gradients.is_empty() {
            return Err(Error::Torch("no variable has a gradient: the loss does not depend on any".into()));
        }
        let unscale = scaler.map_or(1.0, |scaler| 1.0 / scaler.factor());
        let norm = native::norms(&gradients)?.f_norm()?.f_double_value(&[])? * unscale;
        let done = norm.is_finite();
        if done {
            let clip = self.settings.clip.map_or(1.0, |most| (most / (norm + 1e-6)).min(1.0));
            if unscale * clip != 1.0 {
                let factor = Tensor::from((unscale * clip) as f32).f_to_device(self.step.device())?;
                native::scale(&gradients, &factor)?;
            }
            self.updates += 1;
            let _ = self.step.f_fill_(self.updates as f64)?;
            let OptimiserSettings { betas, weight_decay, eps, .. } = self.settings;
            let parameters: Vec<&Tensor> = chosen.iter().map(|(_, parameter, _)| *parameter).collect();
            let moments = [&self.first, &self.second]
                .map(|moments| chosen.iter().filter_map(|(i, ..)| moments.get(*i)).collect::<Vec<&Tensor>>());
            let steps = vec![&self.step; chosen.len()];
            let settings = native::AdamW { rate, betas, weight_decay, eps };
            native::adamw(&parameters, &gradients, [&moments[0], &moments[1]], &steps, &settings)?;
        }
        native::forget_gradients(&variables.iter().map(|(_, value)| value.tensor()).collect::<Vec<_>>())?;
        Ok(Update { norm, rate, done })
    }
}
