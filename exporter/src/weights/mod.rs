//! Writes the numbers of a network: large tensors into one data file, streamed from the mapped checkpoint, small ones into the
//! graph.

mod quantized;
mod stream;
mod transpose;

use crate::{
    error::{Error, Result},
    graph::{Graph, Origin},
    lower::{Form, Layout, Place, Weight, constant_bytes},
    watch::Watch,
};
use pleach_model::{
    checkpoint::{self, Bound, TensorView},
    files::Digest,
    tensor::Dtype,
};
use pleach_runtime::onnx::Bytes;
use std::{borrow::Cow, collections::HashMap, io::Write, path::Path};
use transpose::transpose;

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// Size and hash of the data file; none where every tensor is small.
    pub data: Option<Digest>,
    /// The numbers of small tensors, by name of the initialiser.
    pub inline: HashMap<String, Bytes>,
}

/// Writes the data file of a layout to `path`. Memory stays bounded by the largest tensor.
///
/// # Errors
/// A tensor that is missing, or holds a number that the precision asked for does not; errors of the file; an interruption.
pub fn write(graph: &Graph, layout: &Layout, tensors: &Bound, path: &Path, watch: &dyn Watch) -> Result<Written> {
    let mut inline = HashMap::new();
    for weight in layout.weights.iter().filter(|weight| weight.place == Place::Graph) {
        let mut bytes = Vec::new();
        write_numbers(graph, weight, tensors, &mut bytes)?;
        inline.insert(weight.name.clone(), bytes.into());
    }
    if layout.bytes == 0 {
        return Ok(Written { data: None, inline });
    }
    let data = stream::write_hashed(path, watch, |out| {
        for weight in &layout.weights {
            if let Place::Data { offset } = weight.place {
                out.pad_to(offset).map_err(|source| copy_error(weight, source))?;
                write_numbers(graph, weight, tensors, out)?;
            }
        }
        Ok(())
    })?;
    Ok(Written { data: Some(data), inline })
}

/// Whether two weights of one kind have the same numbers, to the last bit as they are stored.
///
/// # Errors
/// A tensor that is missing.
pub fn are_equal(
    (graph, weight, tensors): (&Graph, &Weight, &Bound),
    (other, there, theirs): (&Graph, &Weight, &Bound),
) -> Result<bool> {
    // What depends on a second tensor is small.
    if matches!(weight.form, Form::WideBias(_) | Form::WideBiasScales(_)) {
        return Ok(false);
    }
    let origin = |graph: &'_ Graph, weight: &Weight| graph.values.get(weight.value).map(|value| value.origin.clone());
    Ok(match (origin(graph, weight), origin(other, there)) {
        (Some(Origin::Parameter(a)), Some(Origin::Parameter(b))) => {
            let (a, b) = (tensors.get(&a.name)?, theirs.get(&b.name)?);
            let same = (a.dtype, a.shape, a.bytes) == (b.dtype, b.shape, b.bytes);
            a.release();
            b.release();
            same
        }
        (Some(Origin::Constant(a)), Some(Origin::Constant(b))) => a == b,
        _ => false,
    })
}

fn write_numbers(graph: &Graph, weight: &Weight, tensors: &Bound, out: &mut dyn Write) -> Result<()> {
    match &graph.values[weight.value].origin {
        Origin::Parameter(spec) => {
            let view = tensors.get(&spec.name)?;
            match weight.form {
                Form::Plain | Form::PerChannel => view.copy_as(weight.dtype, out)?,
                Form::Transposed => transposed(&view, weight, out)?,
                _ => quantized::write(graph, weight, &view, tensors, out)?,
            }
        }
        Origin::Constant(constant) => {
            out.write_all(&constant_bytes(constant)).map_err(|source| copy_error(weight, source))?;
        }
        // A layout lists parameters and constants only.
        Origin::Input(_) | Origin::Node(_) => {}
    }
    Ok(())
}

fn transposed(view: &TensorView, weight: &Weight, out: &mut dyn Write) -> Result<()> {
    let numbers = if view.dtype == weight.dtype {
        Cow::Borrowed(view.bytes)
    } else {
        let mut converted = Vec::with_capacity(view.bytes.len() / view.dtype.size() * weight.dtype.size());
        view.copy_as(weight.dtype, &mut converted)?;
        Cow::Owned(converted)
    };
    // The columns are the rows of the form written.
    let columns = weight.dims.first().copied().unwrap_or(0);
    let written = match weight.dtype {
        Dtype::F32 | Dtype::I32 => transpose::<4>(&numbers, columns, out),
        Dtype::F16 | Dtype::Bf16 => transpose::<2>(&numbers, columns, out),
        Dtype::I64 => transpose::<8>(&numbers, columns, out),
    };
    view.release();
    written.map_err(|source| copy_error(weight, source))
}

fn copy_error(weight: &Weight, source: std::io::Error) -> Error {
    checkpoint::Error::Copy { name: weight.name.clone(), source }.into()
}
