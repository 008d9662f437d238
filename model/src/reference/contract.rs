//! Operations that are sums of products: linear layers, convolutions, attention. Products are summed in f64.

use super::{array, slice};
use crate::op::{Attention, Conv2d};
use ndarray::{Array2, ArrayD, ArrayRef, ArrayView2, IxDyn, s};
use rayon::prelude::*;

type Floats = ndarray::ArcArray<f32, IxDyn>;

/// Rows of a weight that are widened to f64 and multiplied at a time.
const ROWS: usize = 32;
/// Queries whose scores are held at a time.
pub(super) const QUERIES: usize = 64;
/// Elements of the column matrix of a convolution that are held at a time.
const COLUMNS: usize = 1 << 22;

pub(super) fn linear(
    x: &Floats,
    weight: &Floats,
    bias: Option<&Floats>,
    shape: &[usize],
) -> Result<ArrayD<f32>, String> {
    let (output, input) = (weight.shape()[0], weight.shape()[1]);
    let rows = wide(slice(x)?, x.len() / input.max(1), input)?;
    let product = product(slice(weight)?, output, rows.t(), bias.map(slice).transpose()?)?;
    array(shape, product.t().iter().map(|&sum| sum as f32).collect())
}

pub(super) fn conv2d(
    x: &Floats,
    weight: &Floats,
    bias: Option<&Floats>,
    conv: &Conv2d,
    shape: &[usize],
) -> Result<ArrayD<f32>, String> {
    let [channels, height, width] = [1, 2, 3].map(|i| x.shape()[i]);
    let [output, kh, kw] = [0, 2, 3].map(|i| weight.shape()[i]);
    let [top, left, ..] = conv.padding;
    let (positions, taps) = (shape[2] * shape[3], channels * kh * kw);
    let (x, weight, bias) = (slice(x)?, slice(weight)?, bias.map(slice).transpose()?);
    let mut result = Vec::with_capacity(shape.iter().product());
    for image in x.chunks_exact(channels * height * width) {
        let mut sums = Array2::<f32>::zeros((output, positions));
        let step = (COLUMNS / taps).max(1);
        for start in (0..positions).step_by(step) {
            let block = start..(start + step).min(positions);
            let mut columns = Array2::<f64>::zeros((taps, block.len()));
            // Row `tap` of the columns: what the kernel's element (channel, ky, kx) sees at each position.
            columns.outer_iter_mut().into_par_iter().enumerate().for_each(|(tap, mut row)| {
                let (channel, ky, kx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
                for (place, position) in row.iter_mut().zip(block.clone()) {
                    let y = (position / shape[3] * conv.stride + ky).checked_sub(top).filter(|&y| y < height);
                    let x = (position % shape[3] * conv.stride + kx).checked_sub(left).filter(|&x| x < width);
                    if let (Some(y), Some(x)) = (y, x) {
                        *place = image[(channel * height + y) * width + x].into();
                    }
                }
            });
            let product = product(weight, output, columns.view(), bias)?;
            sums.slice_mut(s![.., block]).zip_mut_with(&product, |to, &sum| *to = sum as f32);
        }
        result.extend(sums);
    }
    array(shape, result)
}

pub(super) fn attention(
    [q, k, v]: [&Floats; 3],
    bias: Option<&Floats>,
    attention: &Attention,
) -> Result<ArrayD<f32>, String> {
    let [batch, queries, features] = [0, 1, 2].map(|i| q.shape()[i]);
    let (keys, heads) = (k.shape()[1], attention.heads);
    let full = [batch, heads, queries, keys];
    let bias = bias.map(|bias| bias.broadcast(IxDyn(&full)).ok_or("the bias does not broadcast to the scores"));
    let bias = bias.transpose()?;
    let mut result = vec![0_f32; q.len()];
    for (b, result) in result.chunks_exact_mut((queries * features).max(1)).enumerate() {
        let part =
            |x: &Floats, rows: usize| wide(&slice(x)?[b * rows * features..(b + 1) * rows * features], rows, features);
        let (q, k, v) = (part(q, queries)?, part(k, keys)?, part(v, keys)?);
        result.par_chunks_mut(QUERIES * features).enumerate().for_each(|(block, result)| {
            let first = block * QUERIES;
            let rows = result.len() / features;
            for head in 0..heads {
                let columns = head * (features / heads)..(head + 1) * (features / heads);
                let q = q.slice(s![first..first + rows, columns.clone()]);
                let mut scores = q.dot(&k.slice(s![.., columns.clone()]).t());
                for ((n, m), score) in scores.indexed_iter_mut() {
                    *score *= attention.scale;
                    if let Some(bias) = &bias {
                        *score += f64::from(bias[[b, head, first + n, m]]);
                    }
                    if attention.causal && m > first + n {
                        *score = f64::NEG_INFINITY;
                    }
                }
                scores.outer_iter_mut().for_each(|mut row| softmax(&mut row));
                let mixed = scores.dot(&v.slice(s![.., columns.clone()]));
                for (to, from) in result.chunks_exact_mut(features).zip(mixed.outer_iter()) {
                    to[columns.clone()].iter_mut().zip(from).for_each(|(to, &sum)| *to = sum as f32);
                }
            }
        });
    }
    array(q.shape(), result)
}

fn softmax(row: &mut ArrayRef<f64, ndarray::Ix1>) {
    let largest = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    row.mapv_inplace(|x| (x - largest).exp());
    let sum = row.sum();
    row.mapv_inplace(|x| x / sum);
}

/// `weight [output, k]` times `columns [k, p]`, plus one number per row, to `[output, p]`.
fn product(
    weight: &[f32],
    output: usize,
    columns: ArrayView2<'_, f64>,
    bias: Option<&[f32]>,
) -> Result<Array2<f64>, String> {
    let (taps, positions) = columns.dim();
    let chunks: Vec<Array2<f64>> = weight
        .par_chunks(ROWS * taps.max(1))
        .map(|rows| Ok(wide(rows, rows.len() / taps, taps)?.dot(&columns)))
        .collect::<Result<_, String>>()?;
    let mut result = Array2::zeros((output, positions));
    for (mut to, from) in result.outer_iter_mut().zip(chunks.iter().flat_map(|chunk| chunk.outer_iter())) {
        to.assign(&from);
    }
    if let Some(bias) = bias {
        result.outer_iter_mut().zip(bias).for_each(|(mut row, &bias)| row += f64::from(bias));
    }
    Ok(result)
}

fn wide(data: &[f32], rows: usize, columns: usize) -> Result<Array2<f64>, String> {
    Array2::from_shape_vec((rows, columns), data.iter().map(|&x| x.into()).collect()).map_err(|e| e.to_string())
}
