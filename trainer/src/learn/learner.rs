//! A UNet with f32 weights, whatever it computes in.

use super::Variable;
use crate::torch::{Casting, Torch, Variables};
use pleach_model::{
    self as model,
    architecture::Architecture,
    params::{Params, Source},
    tensor::Dtype,
    unet::{UNet, UNetConfig},
};
use tch::{Device, Tensor};

/// A UNet that learns.
pub struct Learner {
    config: UNetConfig,
    architecture: Architecture,
    variables: Vec<Variable>,
    wide: UNet<Torch>,
}

impl Learner {
    /// What `architecture` leaves of `config`'s network, its weights from `source`.
    ///
    /// # Errors
    /// Weights or an architecture of another network; a device that is not there.
    pub fn new<E>(
        config: &UNetConfig,
        architecture: &Architecture,
        device: Device,
        source: impl Source<Torch>,
    ) -> Result<Self, E>
    where
        E: From<model::error::Error> + From<crate::torch::Error>,
    {
        let source = Variables::new(source);
        let torch = Torch::new(device, Dtype::F32)?;
        let wide = UNet::new(config, architecture, &Params::new(&torch, &source))?;
        Ok(Self { config: config.clone(), architecture: architecture.clone(), variables: source.into_list(), wide })
    }

    /// Its weights.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// They, to be written as weights.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        super::named(&self.variables)
    }

    /// The network with its weights in the type that `torch` computes in; gradients reach the variables.
    ///
    /// # Errors
    /// Those of `work`, and what libtorch says.
    pub fn within<T, E>(&self, torch: &Torch, work: impl FnOnce(&UNet<Torch>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<model::error::Error>,
    {
        if torch.dtype() == Dtype::F32 {
            return work(&self.wide);
        }
        let source = Casting::new(&self.variables);
        work(&UNet::new(&self.config, &self.architecture, &Params::new(torch, &source))?)
    }
}
