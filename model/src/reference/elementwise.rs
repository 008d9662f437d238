//! Operations on each element, sums along a dimension, and changes of type.

use super::{Data, Value, float, rounded, row_major};
use crate::{
    op::{Binary, Unary},
    tensor::Dtype,
};
use ndarray::{ArcArray, ArrayD, Axis, IxDyn, Zip};

type Floats = ArcArray<f32, IxDyn>;

pub(super) fn unary(x: &Floats, function: Unary) -> ArrayD<f32> {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let function = |x: f64| match function {
        Unary::Silu => x * sigmoid(x),
        Unary::Gelu => x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Unary::QuickGelu => x * sigmoid(1.702 * x),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Sigmoid => sigmoid(x),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Step | Unary::Harden => f64::from(u8::from(x >= 0.5)),
    };
    x.map(|&x| function(x.into()) as f32)
}

pub(super) fn affine(x: &Floats, scale: f64, shift: f64, dtype: Dtype) -> ArrayD<f32> {
    let [scale, shift] = [scale, shift].map(|number| f64::from(rounded(dtype, number as f32)));
    x.map(|&x| (f64::from(x) * scale + shift) as f32)
}

pub(super) fn at_least(x: &Floats, least: f64, dtype: Dtype) -> ArrayD<f32> {
    let least = rounded(dtype, least as f32);
    // A comparison and not `max`, which would lose a NaN.
    x.map(|&x| if x < least { least } else { x })
}

pub(super) fn binary(inputs: &[&Value], function: Binary, shape: &[usize]) -> Result<Data, String> {
    match inputs.iter().map(|value| &value.data).collect::<Vec<_>>().as_slice() {
        [Data::Float(a), Data::Float(b)] => broadcast(a, b, shape, |a, b| match function {
            Binary::Add => a + b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
        })
        .map(float),
        [Data::Whole(a), Data::Whole(b)] => {
            let function = match function {
                Binary::Add => i64::wrapping_add,
                Binary::Mul => i64::wrapping_mul,
                Binary::Div => return Err("whole numbers are not divided".into()),
            };
            broadcast(a, b, shape, function).map(|array| Data::Whole(array.into_shared()))
        }
        _ => Err("takes two operands of one kind".into()),
    }
}

fn broadcast<T: Copy>(
    a: &ArcArray<T, IxDyn>,
    b: &ArcArray<T, IxDyn>,
    shape: &[usize],
    function: impl Fn(T, T) -> T,
) -> Result<ArrayD<T>, String> {
    match (a.broadcast(shape), b.broadcast(shape)) {
        (Some(a), Some(b)) => Ok(row_major(Zip::from(a).and(b).map_collect(|&a, &b| function(a, b)))),
        _ => Err(format!("operands do not broadcast to {shape:?}")),
    }
}

pub(super) fn sum(inputs: &[&Value], axis: usize) -> Result<Data, String> {
    match inputs {
        [Value { data: Data::Float(x), .. }] => {
            Ok(float(row_major(x.mapv(f64::from).sum_axis(Axis(axis)).insert_axis(Axis(axis)).mapv(|x| x as f32))))
        }
        [Value { data: Data::Whole(x), .. }] => {
            Ok(Data::Whole(row_major(x.sum_axis(Axis(axis)).insert_axis(Axis(axis))).into_shared()))
        }
        _ => Err("takes one operand".into()),
    }
}

/// A value that is not a number wins.
pub(super) fn max(x: &Floats, axis: usize) -> ArrayD<f32> {
    let larger = |a: f32, &b: &f32| if b.is_nan() || b > a { b } else { a };
    row_major(x.fold_axis(Axis(axis), f32::NEG_INFINITY, |&a, b| larger(a, b)).insert_axis(Axis(axis)))
}

/// Numbers of a row from the largest down, the first of equals first; values that are not a number before all others.
fn descending(row: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| match (row[a].is_nan(), row[b].is_nan()) {
        (false, false) => row[b].total_cmp(&row[a]),
        (a, b) => b.cmp(&a),
    });
    order
}

/// The rows along a dimension, in row-major order of the others.
fn rows(x: &Floats, axis: usize) -> Vec<Vec<f32>> {
    x.lanes(Axis(axis)).into_iter().map(|row| row.to_vec()).collect()
}

pub(super) fn arg_max(x: &Floats, axis: usize) -> ArrayD<i64> {
    let first = |row: Vec<f32>| descending(&row).first().map_or(0, |&i| i as i64);
    let mut shape = x.shape().to_vec();
    shape.remove(axis);
    // One number for each row.
    ArrayD::from_shape_vec(shape, rows(x, axis).into_iter().map(first).collect()).unwrap_or_default()
}

pub(super) fn largest(x: &Floats, axis: usize, count: usize) -> ArrayD<f32> {
    let mut result = x.slice_axis(Axis(axis), (0..count).into()).to_owned();
    for (mut to, row) in result.lanes_mut(Axis(axis)).into_iter().zip(rows(x, axis)) {
        to.iter_mut().zip(descending(&row)).for_each(|(to, i)| *to = row[i]);
    }
    row_major(result)
}

pub(super) fn cast(inputs: &[&Value], to: Dtype) -> Result<Data, String> {
    match inputs {
        [Value { data, .. }] => Ok(match (data, to.is_float()) {
            (Data::Whole(x), true) => float(x.mapv(|x| x as f32)),
            (Data::Float(x), false) => Data::Whole(x.mapv(|x| x as i64).into_shared()),
            (data, _) => data.clone(),
        }),
        _ => Err("takes one operand".into()),
    }
}
