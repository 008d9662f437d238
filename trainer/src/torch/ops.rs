//! Each operation as libtorch has it. The operands fit: shapes and types were inferred before.

use super::{attention, value::kind};
use pleach_model::{
    op::{Binary, Conv2d, Op, Unary},
    tensor::Dtype,
};
use tch::{TchError, Tensor};

fn step(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_ge(0.5)?.f_to_kind(x.f_kind()?)
}

/// The result of `op`, which has this shape and type.
pub(super) fn compute(op: &Op, inputs: &[&Tensor], shape: &[usize], dtype: Dtype) -> Result<Tensor, TchError> {
    let x = operand(inputs, 0)?;
    let second = || operand(inputs, 1);
    let third = inputs.get(2).copied();
    match op {
        Op::Linear => x.f_linear(second()?, third),
        Op::Conv2d(conv) => conv2d(x, second()?, third, conv),
        Op::GroupNorm { groups, eps } => x.f_group_norm(*groups as i64, Some(second()?), third, *eps, true),
        Op::LayerNorm { eps } => {
            let weight = second()?;
            x.f_layer_norm(weight.size(), Some(weight), third, *eps, true)
        }
        Op::Attention(settings) => {
            attention::compute(x, second()?, operand(inputs, 2)?, inputs.get(3).copied(), settings)
        }
        Op::Unary(function) => match function {
            Unary::Silu => x.f_silu(),
            Unary::Gelu => x.f_gelu("none"),
            Unary::QuickGelu => x.f_mul_scalar(rounded(dtype, 1.702))?.f_sigmoid()?.f_mul(x),
            Unary::Sin => x.f_sin(),
            Unary::Cos => x.f_cos(),
            Unary::Sigmoid => x.f_sigmoid(),
            Unary::Exp => x.f_exp(),
            Unary::Log => x.f_log(),
            Unary::Sqrt => x.f_sqrt(),
            Unary::Step => step(x),
            Unary::Harden => step(x)?.f_sub(&x.f_detach()?)?.f_add(x),
        },
        Op::Binary(function) => match function {
            Binary::Add => x.f_add(second()?),
            Binary::Mul => x.f_mul(second()?),
            Binary::Div if dtype.is_float() => x.f_div(second()?),
            Binary::Div => Err(TchError::Kind("whole numbers are not divided".into())),
        },
        Op::Affine { scale, shift } => {
            let (scale, shift) = (rounded(dtype, *scale), rounded(dtype, *shift));
            let product = x.f_mul_scalar(scale)?;
            if shift == 0.0 { Ok(product) } else { product.f_add_scalar(shift) }
        }
        Op::AtLeast(least) => x.f_clamp_min(rounded(dtype, *least)),
        Op::Sum { axis } => x.f_sum_dim_intlist([*axis as i64].as_slice(), true, kind(dtype)),
        Op::Max { axis } => x.f_amax([*axis as i64].as_slice(), true),
        Op::ArgMax { axis } => x.f_argmax(*axis as i64, false),
        Op::Largest { axis, count } => Ok(x.f_topk(*count as i64, *axis as i64, true, true)?.0),
        Op::Reshape(_) | Op::ReshapeLike => x.f_reshape(dims(shape)),
        Op::Permute(order) => x.f_permute(dims(order)),
        Op::Concat { axis } => Tensor::f_cat(inputs, *axis as i64),
        Op::Chunk { axis, index, .. } => narrow(x, *axis, index * length(shape, *axis), shape),
        Op::NarrowLike { axis, start, .. } => narrow(x, *axis, *start, shape),
        // With both the size and the factor given, the size crops what the factor makes.
        Op::Upsample2x => x.f_upsample_nearest2d(dims(shape.get(2..).unwrap_or_default()), 2.0, 2.0),
        Op::Embedding => Tensor::f_embedding(x, second()?, -1, false, false),
        Op::Cast(to) => x.f_to_kind(kind(*to)),
    }
}

/// A shape as libtorch counts.
pub(super) fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&dim| dim as i64).collect()
}

fn operand<'a>(inputs: &[&'a Tensor], i: usize) -> Result<&'a Tensor, TchError> {
    inputs.get(i).copied().ok_or_else(|| TchError::Shape(format!("operand {i} is missing")))
}

fn length(shape: &[usize], axis: usize) -> usize {
    shape.get(axis).copied().unwrap_or(0)
}

/// As many elements from `start` on as `shape` says.
fn narrow(x: &Tensor, axis: usize, start: usize, shape: &[usize]) -> Result<Tensor, TchError> {
    x.f_narrow(axis as i64, start as i64, length(shape, axis) as i64)
}

fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: &Conv2d) -> Result<Tensor, TchError> {
    let stride = [conv.stride as i64; 2];
    let [top, left, bottom, right] = conv.padding.map(|side| side as i64);
    if (top, left) == (bottom, right) {
        return x.f_conv2d(weight, bias, stride, [top, left], [1, 1], 1);
    }
    let padded = x.f_constant_pad_nd([left, right, top, bottom])?;
    padded.f_conv2d(weight, bias, stride, [0, 0], [1, 1], 1)
}

/// A number as the type can hold it: libtorch computes with scalars in f32 even where the tensor is of a half type.
fn rounded(dtype: Dtype, x: f64) -> f64 {
    match dtype {
        Dtype::F16 => half::f16::from_f64(x).to_f64(),
        Dtype::Bf16 => half::bf16::from_f64(x).to_f64(),
        _ => x,
    }
}
