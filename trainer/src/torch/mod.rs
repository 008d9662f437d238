//! The interpreter that computes with libtorch, on a CPU or a CUDA device, and remembers what gradients need.

mod attention;
mod chunks;
mod error;
mod ops;
mod random;
mod recompute;
mod value;
mod weights;

pub use error::{Error, Result};
pub use random::{Initial, Orthogonal};
pub use tch::Device;
pub use value::{Value, kind};
pub use weights::{Casting, CutWeights, Layout, Variables, Weights};

use crate::{libtorch::libtorch, native};
use chunks::Chunks;
use pleach_model::{
    self as model,
    backend::{Backend, Constant, Scopes},
    infer::infer,
    op::Op,
    shape::Fact,
    tensor::Dtype,
};
use recompute::Tape;
use std::cell::RefCell;
use tch::{Cuda, Tensor, no_grad};

/// The interpreter. Gradients are recorded where a parameter asks for them ([`Variables`]): with [`Weights`] nothing is.
#[derive(Debug)]
pub struct Torch {
    device: Device,
    dtype: Dtype,
    scopes: Scopes,
    recomputes: bool,
    chunks: Chunks,
    tape: RefCell<Option<Tape>>,
}

impl Torch {
    /// Computes on `device`, with parameters of type `dtype`.
    ///
    /// # Errors
    /// Another libtorch than the one that this program is made for, a device that is not there, a type that is not floating-point.
    pub fn new(device: Device, dtype: Dtype) -> Result<Self> {
        libtorch()?;
        let available = match device {
            Device::Cpu => true,
            Device::Cuda(index) => Cuda::is_available() && (index as i64) < Cuda::device_count(),
            _ => false,
        };
        if !available {
            return Err(Error::Device { device: format!("{device:?}"), cuda: Cuda::device_count().max(0) as usize });
        }
        if !dtype.is_float() {
            return Err(Error::Dtype(dtype));
        }
        let (scopes, chunks, tape) = Default::default();
        Ok(Self { device, dtype, scopes, recomputes: false, chunks, tape })
    }

    /// Whether the inner values of a network's segments are forgotten and computed again for the gradients (activation checkpointing).
    #[must_use]
    pub fn recomputing(self, recomputes: bool) -> Self {
        Self { recomputes, ..self }
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Type of the parameters.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// A tensor as a network's input: in the type of the parameters.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn input(&self, tensor: &Tensor) -> Result<Value> {
        Value::try_from(tensor.f_to_kind(kind(self.dtype))?)
    }
}

impl Backend for Torch {
    type Value = Value;

    fn apply(&self, op: &Op, inputs: &[&Value]) -> Result<Value, String> {
        let facts: Vec<Fact> = inputs.iter().map(|value| value.fact()).collect();
        let fact = infer(op, &facts.iter().collect::<Vec<_>>())?;
        let shape = fact.known().ok_or("needs known shapes")?;
        let tensors: Vec<&Tensor> = inputs.iter().map(|value| value.tensor()).collect();
        let result = match (op, inputs) {
            (Op::Chunk { axis, parts, index }, [value]) => self.chunks.part(value, *axis, *parts, *index),
            _ => ops::compute(op, &tensors, &shape, fact.dtype),
        };
        let result = Value::new(result.map_err(error::reason)?, fact.dtype);
        if let Some(tape) = &mut *self.tape.borrow_mut() {
            tape.add(op, inputs, &shape, &result)?;
        }
        Ok(result)
    }

    fn constant(&self, data: Constant, shape: &[usize]) -> model::error::Result<Value> {
        let (tensor, dtype) = match &data {
            Constant::F32(data) => (Tensor::f_from_slice(data), Dtype::F32),
            Constant::I64(data) => (Tensor::f_from_slice(data), Dtype::I64),
        };
        let placed = tensor.and_then(|tensor| tensor.f_reshape(ops::dims(shape))?.f_to_device(self.device));
        let value = placed.map(|tensor| Value::new(tensor, dtype)).map_err(|error| {
            let fact = Fact::new(dtype, shape.to_vec());
            model::error::Error::op(&self.scopes.path(), "constant", &[fact], error::reason(error))
        })?;
        if let Some(tape) = &mut *self.tape.borrow_mut() {
            tape.bring(&value);
        }
        Ok(value)
    }

    fn segment(&self, body: &mut dyn FnMut() -> model::error::Result<Value>) -> model::error::Result<Value> {
        if !self.recomputes || !native::records_gradients() || self.tape.borrow().is_some() {
            return body();
        }
        self.tape.replace(Some(Tape::new()));
        let result = no_grad(body);
        let tape = self.tape.take().unwrap_or_default();
        let result = result?;
        let fact = result.fact();
        tape.finish(result)
            .map_err(|error| model::error::Error::op(&self.scopes.path(), "segment", &[fact], error.to_string()))
    }

    fn fact(&self, value: &Value) -> Fact {
        value.fact()
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }
}

#[cfg(test)]
mod tests;
