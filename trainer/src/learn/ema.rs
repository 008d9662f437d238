//! An exponential moving average of weights, which draws better than the weights of any one step.

use super::{Variable, copies, copy, overwrite};
use crate::{native, torch::Result};
use tch::{Tensor, no_grad};

/// The average of a list of variables.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    updates: u64,
    shadows: Vec<Tensor>,
}

impl Ema {
    /// The average starts at the variables as they are.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn new(variables: &[Variable], decay: f64) -> Result<Self> {
        Ok(Self { decay, updates: 0, shadows: copies(variables)? })
    }

    /// Takes the variables in, after an update. As diffusers' `EMAModel` does, the first averages are short:
    /// the decay of update n is at most `(1 + n) / (10 + n)`.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn update(&mut self, variables: &[Variable]) -> Result<()> {
        self.updates += 1;
        let n = self.updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        let shadows: Vec<&Tensor> = self.shadows.iter().collect();
        let values: Vec<&Tensor> = variables.iter().map(|(_, value)| value.tensor()).collect();
        native::lerp(&shadows, &values, 1.0 - decay)
    }

    /// Exchanges the average and the variables, in place; done twice, everything is as before.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn swap(&mut self, variables: &[Variable]) -> Result<()> {
        for (shadow, (name, value)) in self.shadows.iter().zip(variables) {
            let kept = no_grad(|| copy(shadow))?;
            overwrite(name, shadow, &value.tensor().f_detach()?)?;
            overwrite(name, value.tensor(), &kept)?;
        }
        Ok(())
    }

    /// The averages, in the order of the variables.
    pub fn shadows(&self) -> &[Tensor] {
        &self.shadows
    }

    /// Updates taken in.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Goes on after so many updates; the shadows are overwritten by whoever restores them.
    pub fn resume(&mut self, updates: u64) {
        self.updates = updates;
    }
}
