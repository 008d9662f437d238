//! The interpreter that computes in plain Rust: slow, without any engine, and as exact as f32 storage allows. Exports are
//! verified against it.
//!
//! Every operation rounds once, from f64: sums of products, means, variances and softmax are carried in f64. Values of a half
//! type are kept in f32 and rounded to that type after every operation.

mod contract;
mod elementwise;
mod layout;
mod norm;
mod weights;

pub use weights::Weights;

use crate::{
    backend::{Backend, Constant, Scopes},
    error::{Error, Result},
    infer::infer,
    op::Op,
    shape::Fact,
    tensor::Dtype,
};
use ndarray::{ArcArray, ArrayD, IxDyn};

/// The interpreter.
#[derive(Debug, Default)]
pub struct Reference {
    scopes: Scopes,
}

/// A tensor in memory; clones share it.
#[derive(Clone, Debug)]
pub struct Value {
    dtype: Dtype,
    data: Data,
}

/// Elements in row-major order, without gaps.
#[derive(Clone, Debug)]
enum Data {
    Float(ArcArray<f32, IxDyn>),
    Whole(ArcArray<i64, IxDyn>),
}

impl Value {
    /// Lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        match &self.data {
            Data::Float(array) => array.shape(),
            Data::Whole(array) => array.shape(),
        }
    }

    /// The elements in row-major order, where they are floating-point numbers.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(array) => array.as_slice(),
            Data::Whole(_) => None,
        }
    }

    /// The elements in row-major order, where they are whole numbers.
    pub fn integers(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Float(_) => None,
            Data::Whole(array) => array.as_slice(),
        }
    }

    fn float(&self) -> Result<&ArcArray<f32, IxDyn>, String> {
        match &self.data {
            Data::Float(array) => Ok(array),
            Data::Whole(_) => Err(format!("needs floating-point numbers, not {}", self.dtype)),
        }
    }

    fn whole(&self) -> Result<&ArcArray<i64, IxDyn>, String> {
        match &self.data {
            Data::Whole(array) => Ok(array),
            Data::Float(_) => Err(format!("needs whole numbers, not {}", self.dtype)),
        }
    }
}

impl Backend for Reference {
    type Value = Value;

    fn apply(&self, op: &Op, inputs: &[&Value]) -> Result<Value, String> {
        let facts: Vec<Fact> = inputs.iter().map(|value| self.fact(value)).collect();
        let fact = infer(op, &facts.iter().collect::<Vec<_>>())?;
        let shape = fact.known().ok_or("needs known shapes")?;
        Ok(Value { dtype: fact.dtype, data: round(fact.dtype, compute(op, inputs, &shape, fact.dtype)?) })
    }

    fn constant(&self, data: Constant, shape: &[usize]) -> Result<Value> {
        let dtype = match data {
            Constant::F32(_) => Dtype::F32,
            Constant::I64(_) => Dtype::I64,
        };
        let array = match data {
            Constant::F32(data) => array(shape, data).map(float),
            Constant::I64(data) => array(shape, data).map(|array| Data::Whole(array.into_shared())),
        };
        match array {
            Ok(data) => Ok(Value { dtype, data }),
            Err(reason) => Err(Error::op(&self.scopes.path(), "constant", &[Fact::new(dtype, shape.to_vec())], reason)),
        }
    }

    fn fact(&self, value: &Value) -> Fact {
        Fact::new(value.dtype, value.shape().to_vec())
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }
}

/// The result of `op`, which has this shape; the operands fit, as [`infer`] has found.
fn compute(op: &Op, inputs: &[&Value], shape: &[usize], dtype: Dtype) -> Result<Data, String> {
    let operand = |i: usize| inputs.get(i).ok_or_else(|| format!("operand {i} is missing"))?.float();
    let optional = |i: usize| inputs.get(i).map(|value| value.float()).transpose();
    match op {
        Op::Linear => contract::linear(operand(0)?, operand(1)?, optional(2)?, shape).map(float),
        Op::Conv2d(conv) => contract::conv2d(operand(0)?, operand(1)?, optional(2)?, conv, shape).map(float),
        Op::Attention(attention) => {
            contract::attention([operand(0)?, operand(1)?, operand(2)?], optional(3)?, attention).map(float)
        }
        Op::GroupNorm { groups, eps } => norm::group(operand(0)?, operand(1)?, operand(2)?, *groups, *eps).map(float),
        Op::LayerNorm { eps } => norm::layer(operand(0)?, operand(1)?, operand(2)?, *eps).map(float),
        Op::Unary(function) => Ok(float(elementwise::unary(operand(0)?, *function))),
        Op::Affine { scale, shift } => Ok(float(elementwise::affine(operand(0)?, *scale, *shift, dtype))),
        Op::AtLeast(least) => Ok(float(elementwise::at_least(operand(0)?, *least, dtype))),
        Op::Embedding => {
            let ids = inputs.get(1).ok_or("the ids are missing")?.whole()?;
            layout::embedding(operand(0)?, ids, shape).map(float)
        }
        Op::Binary(function) => elementwise::binary(inputs, *function, shape),
        Op::Sum { axis } => elementwise::sum(inputs, *axis),
        Op::Max { axis } => Ok(float(elementwise::max(operand(0)?, *axis))),
        Op::ArgMax { axis } => Ok(Data::Whole(elementwise::arg_max(operand(0)?, *axis).into_shared())),
        Op::Largest { axis, count } => Ok(float(elementwise::largest(operand(0)?, *axis, *count))),
        Op::Cast(to) => elementwise::cast(inputs, *to),
        Op::Reshape(_)
        | Op::ReshapeLike
        | Op::Permute(_)
        | Op::Concat { .. }
        | Op::Chunk { .. }
        | Op::NarrowLike { .. }
        | Op::Upsample2x => layout::rearrange(op, inputs, shape),
    }
}

fn float(array: ArrayD<f32>) -> Data {
    Data::Float(array.into_shared())
}

fn array<T>(shape: &[usize], data: Vec<T>) -> Result<ArrayD<T>, String> {
    let elements = data.len();
    ArrayD::from_shape_vec(shape, data).map_err(|_| format!("{elements} elements do not fill the shape {shape:?}"))
}

/// The elements of an array that has no gaps, as every value's has.
fn slice<T>(array: &ArcArray<T, IxDyn>) -> Result<&[T], String> {
    array.as_slice().ok_or_else(|| "an operand is not stored in row-major order".into())
}

/// The same array without gaps and in row-major order.
fn row_major<T: Copy>(array: ArrayD<T>) -> ArrayD<T> {
    if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
}

/// A number as the type can hold it.
fn rounded(dtype: Dtype, x: f32) -> f32 {
    match dtype {
        Dtype::F16 => half::f16::from_f32(x).to_f32(),
        Dtype::Bf16 => half::bf16::from_f32(x).to_f32(),
        _ => x,
    }
}

fn round(dtype: Dtype, data: Data) -> Data {
    match (dtype, data) {
        (Dtype::F16 | Dtype::Bf16, Data::Float(array)) => Data::Float(array.mapv_into(|x| rounded(dtype, x))),
        (_, data) => data,
    }
}

#[cfg(test)]
mod tests;
