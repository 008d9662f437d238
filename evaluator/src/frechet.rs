//! The Frechet distance between two sets of features, each taken as a Gaussian (Heusel et al. 2017):
//! `|mu1 - mu2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2))`.
//!
//! The usual way takes the square root of the product `S1 S2`, which is not symmetric: rounding makes it complex, and where a
//! covariance has no full rank (fewer images than features) every eigenvalue that should be 0 adds the root of its rounding
//! error. Here each covariance is factored, `S = F F^T`, with only the columns that its rank allows; the trace of the root is
//! then the sum of the singular values of `F1^T F2`, whose errors are not magnified.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

use crate::error::{Error, Result};

/// Rows that are centred and multiplied at once.
const CHUNK: usize = 512;

/// Mean and unbiased covariance of a set of features.
#[derive(Clone, Debug)]
pub struct Gaussian {
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

impl Gaussian {
    /// Of features as they lie in memory: `[samples, dimensions]`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`], and [`Error::TooFew`] below two samples.
    pub fn of_features<T: Copy + Into<f64>>(features: &[T], dimensions: usize) -> Result<Self> {
        if dimensions == 0 || !features.len().is_multiple_of(dimensions) {
            return Err(Error::Shape { values: features.len(), dimensions });
        }
        let samples = features.len() / dimensions;
        if samples < 2 {
            return Err(Error::TooFew { what: "samples for a covariance", least: 2, got: samples });
        }
        let not_finite = features.iter().map(|value| (*value).into()).enumerate().find(|(_, value)| !value.is_finite());
        if let Some((index, value)) = not_finite {
            return Err(Error::NotFinite { what: "feature", index, value });
        }
        let mut mean = vec![0.0; dimensions];
        for row in features.chunks_exact(dimensions) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += (*value).into();
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= samples as f64);
        let mut covariance = Mat::zeros(dimensions, dimensions);
        for rows in features.chunks(CHUNK * dimensions) {
            let centred = Mat::from_fn(rows.len() / dimensions, dimensions, |row, column| {
                rows[row * dimensions + column].into() - mean[column]
            });
            let scale = 1.0 / (samples - 1) as f64;
            matmul(covariance.as_mut(), Accum::Add, centred.transpose(), centred.as_ref(), scale, Par::Seq);
        }
        Ok(Self { mean, covariance })
    }

    /// The length of a feature vector.
    pub fn dimensions(&self) -> usize {
        self.mean.len()
    }

    fn trace(&self) -> f64 {
        self.covariance.diagonal().column_vector().iter().sum()
    }

    /// `F` with `F F^T = covariance`: eigenvectors scaled by the roots of their eigenvalues, without those that rounding
    /// alone makes differ from 0 (numpy's `matrix_rank` draws the same line).
    fn factor(&self) -> Result<Mat<f64>> {
        let eigen = self.covariance.self_adjoint_eigen(Side::Lower);
        let eigen = eigen.map_err(|_| Error::Decomposition("eigen-decomposition"))?;
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let largest = values.iter().copied().fold(0.0, f64::max);
        let line = largest * f64::EPSILON * self.dimensions() as f64;
        let kept: Vec<(usize, f64)> = values.into_iter().enumerate().filter(|(_, value)| *value > line).collect();
        Ok(Mat::from_fn(self.dimensions(), kept.len(), |row, column| {
            let (index, value) = kept[column];
            eigen.U()[(row, index)] * value.sqrt()
        }))
    }
}

/// The squared Frechet distance, as FID prints it. It is 0 for equal sets, up to rounding, and never below.
///
/// # Errors
/// [`Error::Dimensions`] for features of different lengths, [`Error::Decomposition`].
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    if a.dimensions() != b.dimensions() {
        return Err(Error::Dimensions { a: a.dimensions(), b: b.dimensions() });
    }
    let between: f64 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a - b) * (a - b)).sum();
    let product = a.factor()?.transpose() * b.factor()?;
    let singular = if product.nrows() == 0 || product.ncols() == 0 {
        Vec::new()
    } else {
        product.singular_values().map_err(|_| Error::Decomposition("singular value decomposition"))?
    };
    let common: f64 = singular.into_iter().sum();
    Ok((between + a.trace() + b.trace() - 2.0 * common).max(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn distance(a: &[f64], b: &[f64], dimensions: usize) -> f64 {
        let of = |features| Gaussian::of_features(features, dimensions).unwrap();
        frechet_distance(&of(a), &of(b)).unwrap()
    }

    #[test]
    fn one_dimension_is_the_difference_of_means_and_deviations() {
        // Means 1 and 5, deviations sqrt(2) and sqrt(18).
        let expected = 16.0 + (18f64.sqrt() - 2f64.sqrt()).powi(2);
        assert!((distance(&[0.0, 2.0], &[2.0, 8.0], 1) - expected).abs() < 1e-12);
    }

    #[test]
    fn constant_features_have_only_a_mean() {
        assert_eq!(distance(&[1.0, 2.0, 1.0, 2.0], &[4.0, 6.0, 4.0, 6.0], 2), 25.0);
    }

    #[test]
    fn single_precision_features_are_taken_as_they_are() {
        let (a, b) = ([0.1f32, 0.7, 0.4, 0.2, 0.9, 0.3], [0.5f32, 0.6, 0.1, 0.8, 0.2, 0.2]);
        let wide = |values: [f32; 6]| values.map(f64::from);
        let of = |values: &[f32]| Gaussian::of_features(values, 2).unwrap();
        assert_eq!(frechet_distance(&of(&a), &of(&b)).unwrap(), distance(&wide(a), &wide(b), 2));
    }

    #[test]
    fn what_is_no_set_of_features_is_refused() {
        let error = |features: &[f64], dimensions| Gaussian::of_features(features, dimensions).unwrap_err().to_string();
        assert_eq!(error(&[1.0; 5], 2), "5 values are not vectors of 2 features");
        assert_eq!(error(&[1.0; 5], 0), "5 values are not vectors of 0 features");
        assert_eq!(error(&[1.0; 2], 2), "samples for a covariance: at least 2 are needed, got 1");
        assert_eq!(error(&[1.0, f64::INFINITY], 1), "feature 1 is inf, not a finite number");
        let of = |dimensions| Gaussian::of_features(&[1.0; 12], dimensions).unwrap();
        let differ = frechet_distance(&of(2), &of(3)).unwrap_err();
        assert_eq!(differ.to_string(), "features of 2 and of 3 dimensions cannot be compared");
    }

    proptest! {
        #[test]
        fn it_is_symmetric_moves_with_the_mean_and_vanishes_for_equal_sets(
            (dimensions, a, b) in (1usize..6).prop_flat_map(|dimensions| {
                let set = move |samples: usize| proptest::collection::vec(-10.0..10.0f64, samples * dimensions);
                (Just(dimensions), (2usize..9).prop_flat_map(set), (2usize..9).prop_flat_map(set))
            }),
            shift in -5.0..5.0f64,
        ) {
            let there = distance(&a, &b, dimensions);
            let scale = 1.0 + there.abs();
            prop_assert!((there - distance(&b, &a, dimensions)).abs() < 1e-9 * scale);
            prop_assert!(distance(&a, &a, dimensions) < 1e-10);
            let moved: Vec<f64> = a.iter().map(|value| value + shift).collect();
            let expected = shift * shift * dimensions as f64;
            prop_assert!((distance(&a, &moved, dimensions) - expected).abs() < 1e-9 * (1.0 + expected));
        }
    }
}
