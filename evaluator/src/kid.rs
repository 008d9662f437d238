//! The kernel distance between two sets of features (KID, Binkowski et al. 2018): the unbiased estimate of the squared maximum mean
//! discrepancy under the kernel `(x.y / d + 1)^3`. Unlike the Frechet distance its mean does not depend on the number of samples,
//! and it may fall below 0.

use crate::error::{Error, Result};
use faer::{Accum, Mat, MatRef, Par, linalg::matmul::matmul};
use pleach_model::noise::Generator;
use serde::Serialize;

/// Rows of one set that are held against all of the other at once.
const CHUNK: usize = 256;

/// Subsets of both sets, as the estimate is usually reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subsets {
    /// How many.
    pub count: usize,
    /// Samples of each; all there are of the smaller set where that is less.
    pub size: usize,
    /// Of the generator that chooses them.
    pub seed: u64,
}

impl Default for Subsets {
    fn default() -> Self {
        Self { count: 100, size: 1000, seed: 0 }
    }
}

/// A kernel distance over subsets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Kid {
    /// The mean over the subsets.
    pub mean: f64,
    /// The standard deviation over the subsets, which is no confidence interval: they overlap.
    pub spread: f64,
    /// Samples of each subset.
    pub size: usize,
}

/// The kernel distance of whole sets of features as they lie in memory, `[samples, dimensions]`.
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`], and [`Error::TooFew`] below two samples.
pub fn kernel_distance<T: Copy + Into<f64>>(a: &[T], b: &[T], dimensions: usize) -> Result<f64> {
    Ok(between(set(a, dimensions)?.as_ref(), set(b, dimensions)?.as_ref()))
}

impl Subsets {
    /// The mean kernel distance of subsets, each drawn without replacement.
    ///
    /// # Errors
    /// As [`kernel_distance`]; [`Error::TooFew`] without subsets, or for subsets of fewer than two.
    pub fn kernel_distance<T: Copy + Into<f64>>(&self, a: &[T], b: &[T], dimensions: usize) -> Result<Kid> {
        let (a, b) = (set(a, dimensions)?, set(b, dimensions)?);
        let size = self.size.min(a.nrows()).min(b.nrows());
        for (what, least, got) in [("subsets", 1, self.count), ("samples of a subset", 2, size)] {
            if got < least {
                return Err(Error::TooFew { what, least, got });
            }
        }
        let mut generator = Generator::new(self.seed);
        let mut values = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            let [a, b] = [&a, &b].map(|set| {
                let rows = choose(size, set.nrows(), &mut generator);
                Mat::from_fn(size, dimensions, |row, column| set[(rows[row], column)])
            });
            values.push(between(a.as_ref(), b.as_ref()));
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let spread = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        Ok(Kid { mean, spread, size })
    }
}

fn set<T: Copy + Into<f64>>(features: &[T], dimensions: usize) -> Result<Mat<f64>> {
    if dimensions == 0 || !features.len().is_multiple_of(dimensions) {
        return Err(Error::Shape { values: features.len(), dimensions });
    }
    let samples = features.len() / dimensions;
    if samples < 2 {
        return Err(Error::TooFew { what: "samples for a kernel distance", least: 2, got: samples });
    }
    let not_finite = features.iter().map(|value| (*value).into()).enumerate().find(|(_, value)| !value.is_finite());
    if let Some((index, value)) = not_finite {
        return Err(Error::NotFinite { what: "feature", index, value });
    }
    Ok(Mat::from_fn(samples, dimensions, |row, column| features[row * dimensions + column].into()))
}

/// Different numbers in `0..count`, by the first steps of a shuffle.
fn choose(size: usize, count: usize, generator: &mut Generator) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    for place in 0..size.min(count) {
        let rest = (count - place) as u64;
        // Uneven by less than a millionth for fewer than 4,000 samples, and never by more than the number of samples in 2^32.
        let other = place + ((u64::from(generator.random()) * rest) >> 32) as usize;
        all.swap(place, other);
    }
    all.truncate(size);
    all
}

fn between(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    let (m, n) = (a.nrows() as f64, b.nrows() as f64);
    let (within_a, own_a) = sums(a, a);
    let (within_b, own_b) = sums(b, b);
    let (across, _) = sums(a, b);
    (within_a - own_a) / (m * (m - 1.0)) + (within_b - own_b) / (n * (n - 1.0)) - 2.0 * across / (m * n)
}

/// The kernel of every row of `a` with every row of `b`, summed; and of those alone that have the same number.
fn sums(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> (f64, f64) {
    let (mut all, mut own) = (0.0, 0.0);
    let scale = 1.0 / a.ncols() as f64;
    for start in (0..a.nrows()).step_by(CHUNK) {
        let rows = a.subrows(start, CHUNK.min(a.nrows() - start));
        let mut products = Mat::zeros(rows.nrows(), b.nrows());
        matmul(products.as_mut(), Accum::Replace, rows, b.transpose(), scale, Par::Seq);
        for column in 0..products.ncols() {
            for row in 0..products.nrows() {
                let kernel = (products[(row, column)] + 1.0f64).powi(3);
                all += kernel;
                if start + row == column {
                    own += kernel;
                }
            }
        }
    }
    (all, own)
}
