//! Parameters for libtorch: out of a checkpoint, and as variables to be trained.

use super::{Error, Torch, Value, error::reason, ops::dims, value::kind};
use crate::native;
use pleach_model::{self as model, checkpoint::Bound, cut::Cuts, params::Source, tensor::TensorSpec};
use std::cell::RefCell;
use tch::Tensor;

/// A checkpoint's parameters in the interpreter's type and on its device. No gradients are recorded for them.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a>(&'a Bound<'a>);

impl<'a> Weights<'a> {
    /// The tensors of a network.
    pub fn new(tensors: &'a Bound<'a>) -> Self {
        Self(tensors)
    }

    fn read(&self, torch: &Torch, spec: &TensorSpec) -> Result<Value, String> {
        let view = self.0.get(&spec.name).map_err(|error| error.to_string())?;
        if view.shape != spec.shape {
            return Err(format!("expected {:?}, found {:?}", spec.shape, view.shape));
        }
        let mut converted = Vec::new();
        let bytes = if view.dtype == torch.dtype {
            view.bytes
        } else {
            view.copy_as(torch.dtype, &mut converted).map_err(|error| error.to_string())?;
            &converted
        };
        let tensor = Tensor::f_from_data_size(bytes, &dims(view.shape), kind(torch.dtype));
        view.release();
        let placed = tensor.and_then(|tensor| tensor.f_to_device(torch.device));
        placed.map(|tensor| Value::new(tensor, torch.dtype)).map_err(reason)
    }
}

impl Source<Torch> for Weights<'_> {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        self.read(torch, spec).map_err(|reason| model::error::Error::Parameter { name: spec.name.clone(), reason })
    }
}

/// The parameters of a network that is cut out of a checkpoint of the full one, a tensor at a time.
#[derive(Clone, Copy, Debug)]
pub struct CutWeights<'a> {
    tensors: &'a Bound<'a>,
    cuts: &'a Cuts,
}

impl<'a> CutWeights<'a> {
    /// `cuts` of the full network's tensors.
    pub fn new(tensors: &'a Bound<'a>, cuts: &'a Cuts) -> Self {
        Self { tensors, cuts }
    }

    fn cut(&self, torch: &Torch, spec: &TensorSpec) -> Result<Value, String> {
        let view = self.tensors.get(&spec.name).map_err(|error| error.to_string())?;
        let full = TensorSpec { name: spec.name.clone(), shape: view.shape.to_vec() };
        let value = Weights(self.tensors).read(torch, &full)?;
        let Some(cut) = self.cuts.of(&spec.name, &full.shape) else { return Ok(value) };
        let kept: Vec<i64> = cut.ranges.into_iter().flatten().map(|index| index as i64).collect();
        let kept = Tensor::f_from_slice(&kept).and_then(|kept| kept.f_to_device(torch.device));
        let part = kept.and_then(|kept| value.tensor().f_index_select(cut.axis as i64, &kept)).map_err(reason)?;
        Ok(Value::new(part, torch.dtype))
    }
}

impl Source<Torch> for CutWeights<'_> {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let failed = |reason| model::error::Error::Parameter { name: spec.name.clone(), reason };
        let value = self.cut(torch, spec).map_err(failed)?;
        let found = value.fact().known().unwrap_or_default();
        if found == spec.shape {
            Ok(value)
        } else {
            Err(failed(format!("expected {:?}, found {found:?} after the cut", spec.shape)))
        }
    }
}

/// Variables in the type of the interpreter: for networks that compute in less precision than they learn in. Gradients pass through.
#[derive(Clone, Copy, Debug)]
pub struct Casting<'a>(&'a [(String, Value)]);

impl<'a> Casting<'a> {
    /// Variables in the order in which the network asks for its parameters.
    pub fn new(variables: &'a [(String, Value)]) -> Self {
        Self(variables)
    }
}

impl Source<Torch> for Casting<'_> {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let failed = |reason| model::error::Error::Parameter { name: spec.name.clone(), reason };
        let found = self.0.iter().find(|(name, _)| *name == spec.name);
        let (_, value) = found.ok_or_else(|| failed("no variable has this name".into()))?;
        let cast = value.tensor().f_to_kind(kind(torch.dtype)).map_err(|error| failed(reason(error)))?;
        Ok(Value::new(cast, torch.dtype))
    }
}

/// Lays the kernels of convolutions out with channels last, which their results then are too; otherwise as another source.
pub struct Layout<S> {
    source: S,
    channels_last: bool,
}

impl<S> Layout<S> {
    /// The parameters of `source`, channels last if asked for.
    pub fn new(source: S, channels_last: bool) -> Self {
        Self { source, channels_last }
    }
}

impl<S: Source<Torch>> Source<Torch> for Layout<S> {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let value = self.source.parameter(torch, spec)?;
        if !self.channels_last || spec.shape.len() != 4 {
            return Ok(value);
        }
        native::channels_last(value.tensor())
            .and_then(Value::try_from)
            .map_err(|error| model::error::Error::Parameter { name: spec.name.clone(), reason: error.to_string() })
    }
}

/// Makes a variable of each parameter that another source gives: gradients are recorded for it.
pub struct Variables<S> {
    source: S,
    list: RefCell<Vec<(String, Value)>>,
}

impl<S> Variables<S> {
    /// Variables that start as the parameters of `source`.
    pub fn new(source: S) -> Self {
        Self { source, list: RefCell::default() }
    }

    /// Name and value of each, in the order of construction. The values are the network's own: changed in place, they change it.
    pub fn into_list(self) -> Vec<(String, Value)> {
        self.list.into_inner()
    }
}

impl<S: Source<Torch>> Source<Torch> for Variables<S> {
    fn parameter(&self, torch: &Torch, spec: &TensorSpec) -> model::error::Result<Value> {
        let value = self.source.parameter(torch, spec)?;
        let variable = value.tensor().f_detach().and_then(|tensor| tensor.f_set_requires_grad(true));
        let variable = variable
            .map_err(Error::from)
            .and_then(Value::try_from)
            .map_err(|error| model::error::Error::Parameter { name: spec.name.clone(), reason: error.to_string() })?;
        self.list.borrow_mut().push((spec.name.clone(), variable.clone()));
        Ok(variable)
    }
}
