//! Group and layer normalisation, with mean and variance in f64.

use super::{array, slice};
use ndarray::{ArcArray, ArrayD, IxDyn};
use rayon::prelude::*;

type Floats = ArcArray<f32, IxDyn>;

pub(super) fn group(
    x: &Floats,
    weight: &Floats,
    bias: &Floats,
    groups: usize,
    eps: f64,
) -> Result<ArrayD<f32>, String> {
    let [batch, channels, height, width] = [0, 1, 2, 3].map(|i| x.shape()[i]);
    let (weight, bias) = (slice(weight)?, slice(bias)?);
    let (positions, members) = (height * width, channels / groups);
    let mut result = slice(x)?.to_vec();
    let run = members * positions;
    debug_assert_eq!(result.len(), batch * groups * run);
    result.par_chunks_mut(run.max(1)).enumerate().for_each(|(i, run)| {
        let first = i % groups * members;
        let (mean, factor) = moments(run, eps);
        for (channel, values) in run.chunks_exact_mut(positions).enumerate() {
            let (weight, bias) = (f64::from(weight[first + channel]), f64::from(bias[first + channel]));
            values.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * factor * weight + bias) as f32);
        }
    });
    array(x.shape(), result)
}

pub(super) fn layer(x: &Floats, weight: &Floats, bias: &Floats, eps: f64) -> Result<ArrayD<f32>, String> {
    let (weight, bias) = (slice(weight)?, slice(bias)?);
    let mut result = slice(x)?.to_vec();
    result.par_chunks_mut(weight.len().max(1)).for_each(|row| {
        let (mean, factor) = moments(row, eps);
        for ((x, &weight), &bias) in row.iter_mut().zip(weight).zip(bias) {
            *x = ((f64::from(*x) - mean) * factor * f64::from(weight) + f64::from(bias)) as f32;
        }
    });
    array(x.shape(), result)
}

/// Mean, and the reciprocal of `sqrt(biased variance + eps)`.
fn moments(values: &[f32], eps: f64) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    (mean, 1.0 / (variance + eps).sqrt())
}
