//! Parameters out of a checkpoint.

use super::{Data, Reference, Value, array, float};
use crate::{
    checkpoint::{self, Bound},
    error::{Error, Result},
    params::Source,
    tensor::{Dtype, TensorSpec},
};

/// A checkpoint's parameters in f32, whatever precision they are stored in.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a>(&'a Bound<'a>);

impl<'a> Weights<'a> {
    /// The tensors of a network.
    pub fn new(tensors: &'a Bound<'a>) -> Self {
        Self(tensors)
    }

    fn read(&self, spec: &TensorSpec) -> Result<Data, String> {
        let reason = |error: checkpoint::Error| error.to_string();
        let view = self.0.get(&spec.name).map_err(reason)?;
        if view.shape != spec.shape {
            return Err(format!("expected {:?}, found {:?}", spec.shape, view.shape));
        }
        let values = view.to_f32().map_err(reason)?;
        view.release();
        array(&spec.shape, values).map(float)
    }
}

impl Source<Reference> for Weights<'_> {
    fn parameter(&self, _: &Reference, spec: &TensorSpec) -> Result<Value> {
        match self.read(spec) {
            Ok(data) => Ok(Value { dtype: Dtype::F32, data }),
            Err(reason) => Err(Error::Parameter { name: spec.name.clone(), reason }),
        }
    }
}
