//! Tensors in host memory: what goes into a network and what comes out.

use super::{Error, Result};
use half::{bf16, f16, slice::HalfFloatSliceExt as _};
use pleach_model::tensor::Dtype;
use std::{borrow::Cow, fmt};

/// A dense, row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// The elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the element types")]
pub enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    I64(Vec<i64>),
    I32(Vec<i32>),
}

/// A tensor that somebody else owns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorRef<'a> {
    shape: &'a [usize],
    data: Slice<'a>,
}

/// The elements of a [`TensorRef`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the element types")]
pub enum Slice<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
    I64(&'a [i64]),
    I32(&'a [i32]),
}

/// A Rust type that tensors are made of: `f32`, `f16`, `bf16`, `i64`, `i32`.
pub trait Element: Copy + Default + 'static {
    /// Its name among the element types.
    const DTYPE: Dtype;
    /// Elements, as a tensor owns them.
    fn own(elements: Vec<Self>) -> Data;
    /// Elements, as a tensor lends them.
    fn lend(elements: &[Self]) -> Slice<'_>;
    /// The elements, if they are of this type.
    fn of(slice: Slice<'_>) -> Option<&[Self]>;
    /// Writes `from` to `to`, which are of one length, converted: floating-point numbers lose their fraction on the way to an
    /// integer, as in NumPy and PyTorch. The error is the element that the type cannot hold.
    fn convert(from: Slice<'_>, to: &mut [Self]) -> Result<(), String>;
}

impl Tensor {
    /// A tensor of `shape` (empty for a scalar) holding `elements`.
    ///
    /// # Errors
    /// [`Error::Length`] where the shape asks for another number of elements.
    pub fn new<T: Element>(shape: impl Into<Vec<usize>>, elements: Vec<T>) -> Result<Self> {
        let shape = shape.into();
        check_length(&shape, elements.len())?;
        Ok(Self { shape, data: T::own(elements) })
    }

    /// Sizes of the dimensions; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.view().dtype()
    }

    /// Borrows it.
    pub fn view(&self) -> TensorRef<'_> {
        let data = match &self.data {
            Data::F32(elements) => Slice::F32(elements),
            Data::F16(elements) => Slice::F16(elements),
            Data::Bf16(elements) => Slice::Bf16(elements),
            Data::I64(elements) => Slice::I64(elements),
            Data::I32(elements) => Slice::I32(elements),
        };
        TensorRef { shape: &self.shape, data }
    }

    /// The elements, if they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        self.view().as_slice()
    }

    /// Shape and elements.
    pub fn into_parts(self) -> (Vec<usize>, Data) {
        (self.shape, self.data)
    }

    /// The elements as `f32`, without a copy where that is what they are.
    pub fn into_f32(self) -> Vec<f32> {
        match self.data {
            Data::F32(elements) => elements,
            _ => self.view().to_f32().into_owned(),
        }
    }
}

impl<'a> TensorRef<'a> {
    /// A tensor of `shape` (empty for a scalar) over `elements`.
    ///
    /// # Errors
    /// [`Error::Length`] where the shape asks for another number of elements.
    pub fn new<T: Element>(shape: &'a [usize], elements: &'a [T]) -> Result<Self> {
        check_length(shape, elements.len())?;
        Ok(Self { shape, data: T::lend(elements) })
    }

    /// Sizes of the dimensions; empty for a scalar.
    pub fn shape(self) -> &'a [usize] {
        self.shape
    }

    /// Type of the elements.
    pub fn dtype(self) -> Dtype {
        match self.data {
            Slice::F32(_) => Dtype::F32,
            Slice::F16(_) => Dtype::F16,
            Slice::Bf16(_) => Dtype::Bf16,
            Slice::I64(_) => Dtype::I64,
            Slice::I32(_) => Dtype::I32,
        }
    }

    /// Number of elements.
    pub fn numel(self) -> usize {
        match self.data {
            Slice::F32(elements) => elements.len(),
            Slice::F16(elements) => elements.len(),
            Slice::Bf16(elements) => elements.len(),
            Slice::I64(elements) => elements.len(),
            Slice::I32(elements) => elements.len(),
        }
    }

    /// The elements, whatever they are.
    pub fn data(self) -> Slice<'a> {
        self.data
    }

    /// The elements, if they are of type `T`.
    pub fn as_slice<T: Element>(self) -> Option<&'a [T]> {
        T::of(self.data)
    }

    /// The elements as `f32`, without a copy where that is what they are.
    pub fn to_f32(self) -> Cow<'a, [f32]> {
        match self.data {
            Slice::F32(elements) => Cow::Borrowed(elements),
            Slice::F16(elements) => Cow::Owned(elements.to_f32_vec()),
            Slice::Bf16(elements) => Cow::Owned(elements.to_f32_vec()),
            Slice::I64(elements) => elements.iter().map(|&x| x as f32).collect(),
            Slice::I32(elements) => elements.iter().map(|&x| x as f32).collect(),
        }
    }

    /// A copy of its own.
    pub fn to_owned(self) -> Tensor {
        let data = match self.data {
            Slice::F32(elements) => Data::F32(elements.to_vec()),
            Slice::F16(elements) => Data::F16(elements.to_vec()),
            Slice::Bf16(elements) => Data::Bf16(elements.to_vec()),
            Slice::I64(elements) => Data::I64(elements.to_vec()),
            Slice::I32(elements) => Data::I32(elements.to_vec()),
        };
        Tensor { shape: self.shape.to_vec(), data }
    }
}

fn check_length(shape: &[usize], length: usize) -> Result<()> {
    let numel = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if numel == Some(length) { Ok(()) } else { Err(Error::Length { shape: shape.to_vec(), length }) }
}

/// The integer nearest to `x` on the way to zero, where `T` has it.
fn truncate<T: TryFrom<i64>>(x: f32) -> Option<T> {
    // Not-a-number and what i64 cannot hold (2^63 is an f32) would be cast to some number or other.
    (x.abs() < 9_223_372_036_854_775_808.0).then_some(x as i64).and_then(|x| T::try_from(x).ok())
}

fn each<S: Copy + fmt::Display, T>(from: &[S], to: &mut [T], convert: impl Fn(S) -> Option<T>) -> Result<(), String> {
    to.iter_mut().zip(from).try_for_each(|(to, &from)| convert(from).map(|x| *to = x).ok_or_else(|| from.to_string()))
}

macro_rules! element {
    ($type:ty, $variant:ident, |$to:ident| { $($source:ident($from:ident) => $convert:expr,)* }) => {
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$variant;

            fn own(elements: Vec<Self>) -> Data {
                Data::$variant(elements)
            }

            fn lend(elements: &[Self]) -> Slice<'_> {
                Slice::$variant(elements)
            }

            fn of(slice: Slice<'_>) -> Option<&[Self]> {
                if let Slice::$variant(elements) = slice { Some(elements) } else { None }
            }

            fn convert(from: Slice<'_>, $to: &mut [Self]) -> Result<(), String> {
                match from {
                    Slice::$variant(from) => {
                        $to.copy_from_slice(from);
                        Ok(())
                    }
                    $(Slice::$source($from) => $convert,)*
                }
            }
        }
    };
}

element!(f32, F32, |to| {
    F16(from) => {
        from.convert_to_f32_slice(to);
        Ok(())
    },
    Bf16(from) => {
        from.convert_to_f32_slice(to);
        Ok(())
    },
    I64(from) => each(from, to, |x| Some(x as f32)),
    I32(from) => each(from, to, |x| Some(x as f32)),
});
element!(f16, F16, |to| {
    F32(from) => {
        to.convert_from_f32_slice(from);
        Ok(())
    },
    Bf16(from) => each(from, to, |x| Some(f16::from_f32(x.to_f32()))),
    I64(from) => each(from, to, |x| Some(f16::from_f64(x as f64))),
    I32(from) => each(from, to, |x| Some(f16::from_f64(x.into()))),
});
element!(bf16, Bf16, |to| {
    F32(from) => {
        to.convert_from_f32_slice(from);
        Ok(())
    },
    F16(from) => each(from, to, |x| Some(bf16::from_f32(x.to_f32()))),
    I64(from) => each(from, to, |x| Some(bf16::from_f64(x as f64))),
    I32(from) => each(from, to, |x| Some(bf16::from_f64(x.into()))),
});
element!(i64, I64, |to| {
    F32(from) => each(from, to, truncate),
    F16(from) => each(from, to, |x| truncate(x.to_f32())),
    Bf16(from) => each(from, to, |x| truncate(x.to_f32())),
    I32(from) => each(from, to, |x| Some(x.into())),
});
element!(i32, I32, |to| {
    F32(from) => each(from, to, truncate),
    F16(from) => each(from, to, |x| truncate(x.to_f32())),
    Bf16(from) => each(from, to, |x| truncate(x.to_f32())),
    I64(from) => each(from, to, |x| x.try_into().ok()),
});
