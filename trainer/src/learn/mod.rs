//! What every method learns with: AdamW over a list of variables, its rate, clipping, loss scaling, an average of the weights.

mod ema;
mod learner;
mod optimiser;
mod rate;
mod scaler;

pub use ema::Ema;
pub use learner::Learner;
pub use optimiser::{Optimiser, OptimiserSettings, Update};
pub use rate::{Decay, RateSettings};
pub use scaler::Scaler;

use crate::torch::{Error, Result, Value};
use tch::{Tensor, no_grad};

/// A named tensor of a network, changed in place by what learns.
pub type Variable = (String, Value);

/// Variables as tensors, to be written as weights.
pub(crate) fn named(variables: &[Variable]) -> Vec<(String, Tensor)> {
    variables.iter().map(|(name, value)| (name.clone(), value.tensor().shallow_clone())).collect()
}

/// A copy of each variable that shares nothing with it.
pub(crate) fn copies(variables: &[Variable]) -> Result<Vec<Tensor>> {
    no_grad(|| variables.iter().map(|(_, value)| copy(value.tensor())).collect())
}

/// The same elements in a place of their own.
fn copy(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_detach()?.f_mul_scalar(1.0)?)
}

/// Zeros in the form of each variable.
fn zeros(variables: &[Variable]) -> Result<Vec<Tensor>> {
    no_grad(|| variables.iter().map(|(_, value)| Ok(value.tensor().f_zeros_like()?)).collect())
}

/// Writes `from` into `to`, which keeps its place in memory.
pub(crate) fn overwrite(name: &str, to: &Tensor, from: &Tensor) -> Result<()> {
    if to.size() != from.size() {
        return Err(Error::Torch(format!("{name}: expected {:?}, found {:?}", to.size(), from.size())));
    }
    Ok(no_grad(|| to.shallow_clone().f_copy_(from))?)
}

#[cfg(test)]
mod tests;
