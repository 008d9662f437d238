//! The quantised forms of a weight.

use super::{copy_error, transpose::transpose};
use crate::{
    error::Result,
    graph::Graph,
    lower::{Form, Product, Weight},
    quantize::numbers::{Blocks, Rows, bias, scale},
};
use pleach_model::checkpoint::{Bound, TensorView};
use std::io::Write;

pub(super) fn write(
    graph: &Graph,
    weight: &Weight,
    view: &TensorView,
    tensors: &Bound,
    out: &mut dyn Write,
) -> Result<()> {
    let values = view.to_f32()?;
    let length = values.len() / view.shape.first().copied().unwrap_or(1).max(1);
    let bytes = match weight.form {
        Form::Rows | Form::RowsTransposed => Rows::of(&values, length).numbers.into_iter().map(|q| q as u8).collect(),
        Form::RowScales | Form::RowScaleColumn => floats(values.chunks_exact(length.max(1)).map(scale)),
        Form::WideBias(product) => {
            let scales = scales(graph, product, tensors)?;
            bias(&values, product.input(), &scales).iter().flat_map(|q| q.to_le_bytes()).collect()
        }
        Form::WideBiasScales(product) => {
            let scales = scales(graph, product, tensors)?;
            floats(scales.into_iter().map(|scale| scale * product.input()))
        }
        Form::Blocks => Blocks::of(&values).numbers,
        Form::BlockScales => floats(Blocks::of(&values).scales.into_iter()),
        Form::BlockZeros => Blocks::of(&values).zeros,
        Form::Plain | Form::Transposed | Form::PerChannel => Vec::new(),
    };
    view.release();
    let written = match weight.form {
        Form::RowsTransposed => transpose::<1>(&bytes, weight.dims.first().copied().unwrap_or(0), out),
        _ => out.write_all(&bytes),
    };
    written.map_err(|source| copy_error(weight, source))
}

fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

/// The scales of the weight of a product.
fn scales(graph: &Graph, product: Product, tensors: &Bound) -> Result<Vec<f32>> {
    let Some(spec) = graph.parameter(product.weight) else { return Ok(Vec::new()) };
    let view = tensors.get(&spec.name)?;
    let length = spec.numel() / spec.shape.first().copied().unwrap_or(1).max(1);
    Ok(view.to_f32()?.chunks_exact(length.max(1)).map(scale).collect())
}
