//! What a graph declares about its inputs and outputs, and how a caller's tensors are made to fit.
//!
//! Exporters disagree about small things: whether `timestep` is a scalar, `[1]` or `[batch]`, and whether it is an integer. Callers
//! give one number, and the declaration decides what the graph is fed.

use super::{Error, Result};
use crate::onnx::{DataType, DimensionValue, GraphProto, TypeValue, ValueInfoProto};
use pleach_model::tensor::Dtype;
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

/// An input or an output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// `sample`, `timestep`, ...
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its dimensions; absent where not even their number is known.
    pub dims: Option<Vec<Dim>>,
}

/// A declared dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size, the same wherever the name stands: `batch`, `height`.
    Named(String),
    /// Any size.
    Any,
}

/// The inputs (without those that the graph itself gives a value) and the outputs of `graph`. The error is the declaration that
/// is none of a tensor of numbers that callers can give.
pub(super) fn read(graph: &GraphProto) -> Result<(Vec<Declared>, Vec<Declared>), String> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|input| !constants.contains(input.name.as_str())).map(Declared::read);
    let outputs = graph.output.iter().map(Declared::read);
    Ok((inputs.collect::<Result<_, _>>()?, outputs.collect::<Result<_, _>>()?))
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => size.fmt(f),
            Self::Named(name) => name.fmt(f),
            Self::Any => f.write_str("?"),
        }
    }
}

impl fmt::Display for Declared {
    /// `sample: f32 [batch, 4, height, width]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.name, self.dtype)?;
        let Some(dims) = &self.dims else { return f.write_str("[...]") };
        f.write_str("[")?;
        for (i, dim) in dims.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

/// Sizes of named dimensions.
pub(super) type Sizes<'a> = BTreeMap<&'a str, usize>;

impl Declared {
    fn read(value: &ValueInfoProto) -> Result<Self, String> {
        let Some(TypeValue::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
            return Err(format!("{:?}, which is no tensor", value.name));
        };
        let dtype = match DataType::try_from(tensor.elem_type) {
            Ok(DataType::Float) => Dtype::F32,
            Ok(DataType::Float16) => Dtype::F16,
            Ok(DataType::Bfloat16) => Dtype::Bf16,
            Ok(DataType::Int64) => Dtype::I64,
            Ok(DataType::Int32) => Dtype::I32,
            Ok(other) => return Err(format!("{:?} of the type {other:?}", value.name)),
            Err(_) => return Err(format!("{:?} of the unknown type {}", value.name, tensor.elem_type)),
        };
        let dims = tensor.shape.as_ref().map(|shape| {
            let dims = shape.dim.iter().map(|dim| match &dim.value {
                Some(DimensionValue::DimValue(size)) => usize::try_from(*size).map_or(Dim::Any, Dim::Fixed),
                Some(DimensionValue::DimParam(name)) if !name.is_empty() => Dim::Named(name.clone()),
                _ => Dim::Any,
            });
            dims.collect()
        });
        Ok(Self { name: value.name.clone(), dtype, dims })
    }

    /// Notes the sizes that a tensor of `shape` gives to the named dimensions. One element says nothing about them.
    pub(super) fn note_sizes<'a>(&'a self, shape: &[usize], sizes: &mut Sizes<'a>) {
        let Some(dims) = self.dims.as_ref().filter(|dims| dims.len() == shape.len()) else { return };
        if self.repeats(shape) {
            return;
        }
        for (dim, &size) in dims.iter().zip(shape) {
            if let Dim::Named(name) = dim {
                sizes.entry(name).or_insert(size);
            }
        }
    }

    /// Whether a tensor of `shape` is one element for an input declared as a scalar or as one number per item of a batch: it is
    /// repeated as often as the declaration asks.
    fn repeats(&self, shape: &[usize]) -> bool {
        self.dims.as_ref().is_some_and(|dims| dims.len() <= 1) && shape.iter().product::<usize>() == 1
    }

    /// The shape in which the graph takes a tensor of `shape`: the same, except for one element that is repeated.
    pub(super) fn fit(&self, network: &str, shape: &[usize], sizes: &Sizes<'_>) -> Result<Vec<usize>> {
        let Some(dims) = &self.dims else { return Ok(shape.to_vec()) };
        if self.repeats(shape) {
            return Ok(dims
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(size) => *size,
                    Dim::Named(name) => sizes.get(name.as_str()).copied().unwrap_or(1),
                    Dim::Any => 1,
                })
                .collect());
        }
        let fits = |(dim, &size): (&Dim, &usize)| match dim {
            Dim::Fixed(fixed) => *fixed == size,
            Dim::Named(_) | Dim::Any => true,
        };
        if dims.len() == shape.len() && dims.iter().zip(shape).all(fits) {
            return Ok(shape.to_vec());
        }
        Err(Error::Shape { network: network.to_owned(), declared: self.clone(), shape: shape.to_vec() })
    }

    /// With the named dimensions that stand in `sizes` fixed.
    pub(super) fn fixed(&self, sizes: &BTreeMap<String, usize>) -> Self {
        let fix = |dim: &Dim| match dim {
            Dim::Named(name) => sizes.get(name).map_or_else(|| dim.clone(), |&size| Dim::Fixed(size)),
            _ => dim.clone(),
        };
        Self { dims: self.dims.as_ref().map(|dims| dims.iter().map(fix).collect()), ..self.clone() }
    }
}
