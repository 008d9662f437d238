//! Operations that move elements and compute nothing.

use super::{Data, Value, array, float, row_major, slice};
use crate::op::Op;
use ndarray::{ArcArray, ArrayD, ArrayViewD, Axis, IxDyn, Slice, concatenate};

pub(super) fn rearrange(op: &Op, inputs: &[&Value], shape: &[usize]) -> Result<Data, String> {
    let (x, others) = inputs.split_first().ok_or("takes an operand")?;
    match &x.data {
        Data::Float(x) => {
            let others = others.iter().map(|value| value.float()).collect::<Result<Vec<_>, _>>();
            moved(op, x, others, shape).map(float)
        }
        Data::Whole(x) => {
            let others = others.iter().map(|value| value.whole()).collect::<Result<Vec<_>, _>>();
            moved(op, x, others, shape).map(|array| Data::Whole(array.into_shared()))
        }
    }
}

/// The result, which has this shape. Only what is joined must be of the first operand's kind: of the others the shape counts.
fn moved<T: Copy>(
    op: &Op,
    x: &ArcArray<T, IxDyn>,
    others: Result<Vec<&ArcArray<T, IxDyn>>, String>,
    shape: &[usize],
) -> Result<ArrayD<T>, String> {
    let view = match op {
        Op::Permute(order) => x.view().permuted_axes(order.as_slice()),
        Op::Concat { axis } => {
            let parts: Vec<ArrayViewD<T>> = [x].into_iter().chain(others?).map(|part| part.view()).collect();
            return concatenate(Axis(*axis), &parts).map(row_major).map_err(|e| e.to_string());
        }
        Op::Chunk { axis, index, .. } => narrow(x, *axis, index * shape[*axis], shape[*axis]),
        Op::NarrowLike { axis, start, .. } => narrow(x, *axis, *start, shape[*axis]),
        Op::Upsample2x => {
            let nearest = |i: IxDyn| x[[i[0], i[1], i[2] / 2, i[3] / 2]];
            return Ok(ArrayD::from_shape_fn(shape, nearest));
        }
        _ => x.view().into_shape_with_order(shape).map_err(|e| e.to_string())?,
    };
    Ok(row_major(view.to_owned()))
}

fn narrow<T>(x: &ArcArray<T, IxDyn>, axis: usize, start: usize, length: usize) -> ArrayViewD<'_, T> {
    x.slice_axis(Axis(axis), Slice::from(start..start + length))
}

pub(super) fn embedding(
    table: &ArcArray<f32, IxDyn>,
    ids: &ArcArray<i64, IxDyn>,
    shape: &[usize],
) -> Result<ArrayD<f32>, String> {
    let (rows, width) = (table.shape()[0], table.shape()[1]);
    let (table, mut result) = (slice(table)?, Vec::with_capacity(ids.len() * width));
    for &id in ids {
        let row = usize::try_from(id).ok().filter(|&row| row < rows);
        let row = row.ok_or_else(|| format!("id {id} is not one of the table's {rows} rows"))?;
        result.extend_from_slice(&table[row * width..(row + 1) * width]);
    }
    array(shape, result)
}
