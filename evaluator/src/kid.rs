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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_samples_each_by_hand() {
        // k(0, 2) = 1, k(1, 3) = 64; across: k(0, 1) = 1, k(0, 3) = 1, k(2, 1) = 27, k(2, 3) = 343.
        let expected = 1.0 + 64.0 - 2.0 * (1.0 + 1.0 + 27.0 + 343.0) / 4.0;
        assert_eq!(kernel_distance(&[0.0, 2.0], &[1.0, 3.0], 1).unwrap(), expected);
    }

    #[test]
    fn more_rows_than_a_chunk_are_summed_alike() {
        let set =
            |shift: usize| (0..2 * (CHUNK + 50)).map(|i| ((i * 37 + shift) % 101) as f64 / 50.0).collect::<Vec<_>>();
        let (a, b) = (set(0), set(60));
        let kernel = |x: &[f64], y: &[f64]| ((x[0] * y[0] + x[1] * y[1]) / 2.0 + 1.0).powi(3);
        let rows = |set: &[f64]| set.chunks(2).map(<[f64]>::to_vec).collect::<Vec<_>>();
        let (rows_a, rows_b) = (rows(&a), rows(&b));
        let n = rows_a.len() as f64;
        let sum = |a: &[Vec<f64>], b: &[Vec<f64>], own: bool| -> f64 {
            let pairs = a.iter().enumerate().flat_map(|(i, x)| b.iter().enumerate().map(move |(j, y)| (i, j, x, y)));
            pairs.filter(|(i, j, ..)| own || i != j).map(|(_, _, x, y)| kernel(x, y)).sum()
        };
        let within = |rows: &[Vec<f64>]| sum(rows, rows, false) / (n * (n - 1.0));
        let expected = within(&rows_a) + within(&rows_b) - 2.0 * sum(&rows_a, &rows_b, true) / (n * n);
        let found = kernel_distance(&a, &b, 2).unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
    }

    #[test]
    fn subsets_are_of_different_samples_and_the_seed_decides() {
        let mut generator = Generator::new(4);
        for _ in 0..50 {
            let mut chosen = choose(9, 10, &mut generator);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 9);
        }
        let (a, b) = ([0.0, 2.0, 5.0, 1.0], [1.0, 3.0, 4.0]);
        let of = |seed| Subsets { count: 5, size: 2, seed }.kernel_distance(&a, &b, 1).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        // As large as the smaller set: all of it, every time.
        let whole = Subsets { count: 3, ..Default::default() }.kernel_distance(&b, &b, 1).unwrap();
        assert_eq!((whole.size, whole.spread < 1e-12), (3, true));
        assert!((whole.mean - kernel_distance(&b, &b, 1).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_set_of_features_is_refused() {
        let error = |a: &[f64], dimensions| kernel_distance(a, &[1.0; 4], dimensions).unwrap_err().to_string();
        assert_eq!(error(&[1.0; 5], 2), "5 values are not vectors of 2 features");
        assert_eq!(error(&[1.0; 2], 2), "samples for a kernel distance: at least 2 are needed, got 1");
        assert_eq!(error(&[1.0, 2.0, 3.0, f64::NAN], 2), "feature 3 is NaN, not a finite number");
        let none = Subsets { count: 0, ..Default::default() }.kernel_distance(&[1.0; 4], &[1.0; 4], 2).unwrap_err();
        assert_eq!(none.to_string(), "subsets: at least 1 are needed, got 0");
    }
}
