//! Vectors and small matrices, summed in double precision so that results do not depend on how a sum is split.

use super::{Activation, Error, Matrix, Result};
use pleach_model::files::{read_bounded, resolve_inside};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// The largest safetensors file beside a graph.
const LARGEST: u64 = 256 << 20;

/// A matrix, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    columns: usize,
    values: Vec<f32>,
}

impl Rows {
    /// Reads the matrix of an instrument `name` in `folder`.
    pub(super) fn read(name: &str, folder: &Path, matrix: &Matrix) -> Result<Self> {
        let wrong = |problem: String| Error::Weights { name: name.to_owned(), file: matrix.file.clone(), problem };
        let bytes = read_bounded(&resolve_inside(folder, &matrix.file)?, LARGEST)?;
        let file =
            SafeTensors::deserialize(&bytes).map_err(|error| wrong(format!("is no safetensors file: {error}")))?;
        let tensor = file
            .tensor(&matrix.tensor)
            .map_err(|_| wrong(format!("has no tensor {:?}; it has: {}", matrix.tensor, file.names().join(", "))))?;
        let &[rows, columns] = tensor.shape() else {
            return Err(wrong(format!("has {:?} in the shape {:?}, not a matrix", matrix.tensor, tensor.shape())));
        };
        if tensor.dtype() != Dtype::F32 || rows == 0 || columns == 0 {
            return Err(wrong(format!(
                "has {:?} as {:?} of shape {rows} x {columns}, not as a matrix of F32",
                matrix.tensor,
                tensor.dtype()
            )));
        }
        let (chunks, _) = tensor.data().as_chunks::<4>();
        let values: Vec<f32> = chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(wrong(format!("has numbers in {:?} that are not finite", matrix.tensor)));
        }
        Ok(Self { columns, values })
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.columns)
    }

    /// `vector @ self`, for a vector of as many elements as there are rows.
    pub(super) fn multiply(&self, vector: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.columns];
        for (row, &factor) in self.iter().zip(vector) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(factor) * f64::from(value);
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }
}

/// The vector scaled to length 1 if that is wanted; one of length 0 stays.
pub(super) fn scaled(mut vector: Vec<f32>, wanted: bool) -> Vec<f32> {
    let length = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if wanted && length > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    vector
}

/// The cosine of the angle between two finite vectors of the same number of elements; 0 where one has no length.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    crate::features::cosine(a, b).unwrap_or(0.0)
}

impl Activation {
    /// Probabilities.
    pub(super) fn apply(self, scores: &[f32]) -> Vec<f32> {
        match self {
            Self::None => scores.to_vec(),
            Self::Sigmoid => scores.iter().map(|&score| (1.0 / (1.0 + (-f64::from(score)).exp())) as f32).collect(),
            Self::Softmax => {
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f64> =
                    scores.iter().map(|&score| (f64::from(score) - f64::from(largest)).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.into_iter().map(|power| (power / sum) as f32).collect()
            }
        }
    }
}
