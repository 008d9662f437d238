//! Tensors of libtorch as networks and samplers know them.

use super::error::{Error, Result};
use pleach_model::{samplers::LinearCombination, shape::Fact, tensor::Dtype};
use std::sync::atomic::{AtomicU64, Ordering};
use tch::{Device, Kind, Tensor};

/// A tensor of libtorch; clones share its elements and its place in the record of gradients.
#[derive(Debug)]
pub struct Value {
    tensor: Tensor,
    dtype: Dtype,
    number: u64,
}

/// Numbers are given in the order of creation; clones share theirs.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Value {
    pub(super) fn new(tensor: Tensor, dtype: Dtype) -> Self {
        debug_assert_eq!(tensor.f_kind().ok(), Some(kind(dtype)));
        Self { tensor, dtype, number: Self::next_number() }
    }

    pub(super) fn next_number() -> u64 {
        NUMBERS.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The tensor.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Element type and shape.
    pub fn fact(&self) -> Fact {
        // Sizes are never negative.
        Fact::new(self.dtype, self.tensor.size().into_iter().map(|dim| dim as usize))
    }

    /// The elements in single precision and row-major order, brought to the CPU.
    ///
    /// # Errors
    /// What libtorch says, such as that a device failed earlier.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let tensor = self.tensor.f_to_device_(Device::Cpu, Kind::Float, false, false)?.f_contiguous()?;
        let mut values = vec![0.0; tensor.numel()];
        tensor.f_copy_data(&mut values, tensor.numel())?;
        Ok(values)
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self { tensor: self.tensor.shallow_clone(), ..*self }
    }
}

impl TryFrom<Tensor> for Value {
    type Error = Error;

    fn try_from(tensor: Tensor) -> Result<Self> {
        let dtype = match tensor.f_kind()? {
            Kind::Float => Dtype::F32,
            Kind::Half => Dtype::F16,
            Kind::BFloat16 => Dtype::Bf16,
            Kind::Int64 => Dtype::I64,
            Kind::Int => Dtype::I32,
            other => return Err(Error::Kind(other)),
        };
        Ok(Self::new(tensor, dtype))
    }
}

/// libtorch's name of an element type.
pub fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::Bf16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
    }
}

/// Summed in f64 and rounded once, as for vectors in plain Rust, so that every engine draws the same latents.
impl LinearCombination for Value {
    type Error = Error;

    fn combine(terms: &[(f64, &Self)]) -> Result<Self> {
        let scaled = |(factor, value): &(f64, &Self)| value.tensor.f_to_kind(Kind::Double)?.f_mul_scalar(*factor);
        let Some((first, others)) = terms.split_first() else {
            return Err(Error::Torch("a sum of no tensors".into()));
        };
        let sum = others.iter().try_fold(scaled(first)?, |sum, term| sum.f_add(&scaled(term)?))?;
        let dtype = first.1.dtype;
        Ok(Self::new(sum.f_to_kind(kind(dtype))?, dtype))
    }
}
