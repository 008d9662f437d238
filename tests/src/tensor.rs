//! Plain tensors, as every engine can take and give them.

use std::fmt;

/// A tensor in row-major order.
#[derive(Clone, PartialEq)]
pub struct Tensor<T = f32> {
    /// Lengths of the dimensions.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Vec<T>,
}

impl<T: Clone> Tensor<T> {
    /// A tensor of `data`, which must fill the shape.
    pub fn new(shape: &[usize], data: Vec<T>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{shape:?}");
        Self { shape: shape.to_vec(), data }
    }

    /// The elements `range` of the first dimension.
    pub fn rows(&self, range: std::ops::Range<usize>) -> Self {
        let row: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        Self::new(&shape, self.data[range.start * row..range.end * row].to_vec())
    }

    /// Tensors joined along the first dimension.
    pub fn concat(parts: &[&Self]) -> Self {
        let mut shape = parts[0].shape.clone();
        shape[0] = parts.iter().map(|part| part.shape[0]).sum();
        Self::new(&shape, parts.iter().flat_map(|part| part.data.iter().cloned()).collect())
    }
}

impl Tensor {
    /// Each element changed.
    pub fn map(&self, change: impl Fn(f32) -> f32) -> Self {
        Self { shape: self.shape.clone(), data: self.data.iter().map(|&x| change(x)).collect() }
    }

    /// The largest absolute difference, which is not a number where an element is none.
    pub fn difference(&self, other: &Self) -> f32 {
        assert_eq!(self.shape, other.shape);
        let differences = self.data.iter().zip(&other.data).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, |most, x| if x > most || x.is_nan() { x } else { most })
    }

    /// The largest absolute element.
    pub fn largest(&self) -> f32 {
        self.data.iter().fold(0.0, |most, x| most.max(x.abs()))
    }
}

impl<T: fmt::Debug> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}...", self.shape, &self.data[..self.data.len().min(8)])
    }
}
