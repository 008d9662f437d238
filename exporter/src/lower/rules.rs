//! One rule for each operation: which ONNX nodes say it.

use super::{
    attention,
    builder::{Builder, MICROSOFT, Rule},
    layout::Form,
    target::NormForm,
    tensors,
};
use crate::graph::{Node, ValueId};
use pleach_model::{
    op::{Binary, Conv2d, Extent, Op, Unary},
    shape::{Dim, Fact},
    tensor::Dtype,
};
use pleach_runtime::onnx::AttributeProto;

/// Writes the nodes of one operation and gives the name of the result.
pub(super) fn lower(b: &mut Builder, node: &Node) -> Rule {
    let x = node.inputs[0];
    match &node.op {
        Op::Linear => linear(b, node),
        Op::Conv2d(conv) => {
            let operands = node.inputs.iter().map(|&id| b.operand(id)).collect::<Rule<Vec<_>>>()?;
            conv2d(b, node, conv, operands)
        }
        Op::GroupNorm { groups, eps } if b.target.norm == NormForm::Groups && has_pairs(b, node, *groups) => {
            fused_group_norm(b, node, *groups, *eps)
        }
        Op::GroupNorm { groups, eps } => group_norm(b, node, *groups, *eps),
        Op::LayerNorm { eps } => {
            let attributes = vec![AttributeProto::int("axis", -1), AttributeProto::float("epsilon", *eps as f32)];
            all(b, "LayerNormalization", &node.inputs, attributes)
        }
        Op::Attention(settings) => attention::lower(b, node, settings),
        // A norm may have done it.
        Op::Unary(function) => b.defined(node.output).map_or_else(|| unary(b, x, *function), Ok),
        Op::Binary(function) => {
            let op = match function {
                Binary::Add => "Add",
                Binary::Mul => "Mul",
                Binary::Div => "Div",
            };
            all(b, op, &node.inputs, Vec::new())
        }
        Op::Affine { scale, shift } => affine(b, x, *scale, *shift),
        Op::AtLeast(least) => {
            let (x, least) = (b.operand(x)?, b.scalar(b.fact(x).dtype, *least));
            Ok(b.emit("Clip", &[&x, &least], Vec::new()))
        }
        Op::Sum { axis } => reduce(b, "ReduceSum", x, *axis),
        Op::Max { axis } => reduce(b, "ReduceMax", x, *axis),
        Op::ArgMax { axis } => {
            let attributes = vec![AttributeProto::int("axis", *axis as i64), AttributeProto::int("keepdims", 0)];
            all(b, "ArgMax", &node.inputs, attributes)
        }
        Op::Largest { axis, count } => {
            let (x, count) = (b.operand(x)?, b.whole(&[*count as i64]));
            let attributes = vec![AttributeProto::int("axis", *axis as i64)];
            Ok(b.emit_in("", "TopK", &[&x, &count], attributes, 2).swap_remove(0))
        }
        Op::Reshape(to) => reshape(b, node, to),
        Op::ReshapeLike => {
            let name = b.operand(x)?;
            b.reshape_like(&name, &b.fact(x).shape, node.inputs[1])
        }
        Op::Permute(order) => {
            all(b, "Transpose", &node.inputs, vec![AttributeProto::ints("perm", tensors::signed(order))])
        }
        Op::Concat { axis } => all(b, "Concat", &node.inputs, vec![AttributeProto::int("axis", *axis as i64)]),
        Op::Chunk { axis, parts, index } => b.piece(x, *axis, *parts, *index),
        Op::NarrowLike { axis, start, like_axis } => narrow_like(b, node, *axis, *start, *like_axis),
        Op::Upsample2x => upsample2x(b, node),
        Op::Embedding => all(b, "Gather", &node.inputs, vec![AttributeProto::int("axis", 0)]),
        Op::Cast(dtype) => {
            let name = b.operand(x)?;
            Ok(b.cast(name, b.fact(x).dtype, *dtype))
        }
    }
}

/// One node over all operands.
fn all(b: &mut Builder, op: &str, inputs: &[ValueId], attributes: Vec<AttributeProto>) -> Rule {
    let names = inputs.iter().map(|&id| b.operand(id)).collect::<Rule<Vec<_>>>()?;
    Ok(b.emit(op, &names.iter().map(String::as_str).collect::<Vec<_>>(), attributes))
}

/// Over one dimension, which stays.
fn reduce(b: &mut Builder, op: &str, x: ValueId, axis: usize) -> Rule {
    let (x, axes) = (b.operand(x)?, b.whole(&[axis as i64]));
    Ok(b.emit(op, &[&x, &axes], vec![AttributeProto::int("keepdims", 1)]))
}

/// `MatMul` and not `Gemm`: ONNX Runtime makes one of it where that pays.
fn linear(b: &mut Builder, node: &Node) -> Rule {
    let (x, weight) = (b.operand(node.inputs[0])?, b.in_form(node.inputs[1], Form::Transposed)?);
    let product = b.emit("MatMul", &[&x, &weight], Vec::new());
    biased(b, node, product)
}

/// A linear layer's product with its bias, if it has one.
pub(super) fn biased(b: &mut Builder, node: &Node, product: String) -> Rule {
    match node.inputs.get(2) {
        None => Ok(product),
        Some(&bias) => {
            let bias = b.operand(bias)?;
            Ok(b.emit("Add", &[&product, &bias], Vec::new()))
        }
    }
}

/// A convolution of operands of these names.
pub(super) fn conv2d(b: &mut Builder, node: &Node, conv: &Conv2d, operands: Vec<String>) -> Rule {
    let kernel: Option<Vec<usize>> = b.fact(node.inputs[1]).shape[2..].iter().map(Dim::known).collect();
    let attributes = vec![
        AttributeProto::ints("kernel_shape", tensors::signed(&kernel.ok_or("kernel of unknown size")?)),
        AttributeProto::ints("pads", tensors::signed(&conv.padding)),
        AttributeProto::ints("strides", [conv.stride as i64; 2]),
    ];
    let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
    Ok(b.emit("Conv", &operands, attributes))
}

/// As an instance normalisation over groups, not as `GroupNormalization`: twice as fast on CPU, and CoreML and QNN take it.
/// The statistics of half-precision pictures are in f32, where a sum of squares would overflow.
fn group_norm(b: &mut Builder, node: &Node, groups: usize, eps: f64) -> Rule {
    let &[x, weight, bias] = node.inputs.as_slice() else { return Err("takes three operands".into()) };
    let fact = b.fact(x);
    let members =
        Dim::product(&fact.shape[1..]).divided(&groups.into()).ok_or("the channels do not fall into groups")?;
    let grouped = [fact.shape[0].clone(), groups.into(), members];
    let target = b.static_target(&fact.shape, &grouped).ok_or("a shape of too many unknowns")?;
    let (input, dtype) = (b.operand(x)?, fact.dtype);
    let rows = b.emit("Reshape", &[&input, &target], Vec::new());
    let rows = b.cast(rows, dtype, Dtype::F32);
    let (ones, zeros) = (b.filled(Dtype::F32, groups, 1.0), b.filled(Dtype::F32, groups, 0.0));
    let epsilon = vec![AttributeProto::float("epsilon", eps as f32)];
    let rows = b.emit("InstanceNormalization", &[&rows, &ones, &zeros], epsilon);
    let rows = b.cast(rows, Dtype::F32, dtype);
    let picture = b.reshape_like(&rows, &grouped, x)?;
    let (weight, bias) = (b.in_form(weight, Form::PerChannel)?, b.in_form(bias, Form::PerChannel)?);
    let scaled = b.emit("Mul", &[&picture, &weight], Vec::new());
    Ok(b.emit("Add", &[&scaled, &bias], Vec::new()))
}

/// Whether CUDA's kernel of the norm takes it: a picture, whose groups have an even number of channels, because it reads two at a time.
fn has_pairs(b: &Builder, node: &Node, groups: usize) -> bool {
    let Some(Fact { shape, .. }) = node.inputs.first().map(|&x| b.fact(x)) else { return false };
    let channels = shape.get(1).and_then(Dim::known);
    shape.len() == 4 && channels.is_some_and(|channels| (channels / groups).is_multiple_of(2))
}

/// ONNX Runtime's own operator, channels last, with the SiLU that follows. It computes in f32 whatever the picture's type, and takes scale and
/// shift in no other.
fn fused_group_norm(b: &mut Builder, node: &Node, groups: usize, eps: f64) -> Rule {
    let &[x, weight, bias] = node.inputs.as_slice() else { return Err("takes three operands".into()) };
    let silu = b.silu_of(node.output);
    let turned = |b: &mut Builder, x: &str, order: [i64; 4]| {
        b.emit("Transpose", &[x], vec![AttributeProto::ints("perm", order)])
    };
    let picture = b.operand(x)?;
    let picture = turned(b, &picture, [0, 2, 3, 1]);
    let [weight, bias] = [weight, bias].map(|id| {
        let name = b.vector(id)?;
        Ok::<_, String>(b.cast(name, b.fact(id).dtype, Dtype::F32))
    });
    let attributes = vec![
        AttributeProto::int("activation", silu.is_some().into()),
        AttributeProto::int("channels_last", 1),
        AttributeProto::float("epsilon", eps as f32),
        AttributeProto::int("groups", groups as i64),
    ];
    let normed = b.emit_in(MICROSOFT, "GroupNorm", &[&picture, &weight?, &bias?], attributes, 1).swap_remove(0);
    let normed = turned(b, &normed, [0, 3, 1, 2]);
    if let Some(silu) = silu {
        b.define(silu, normed.clone());
    }
    Ok(normed)
}

fn unary(b: &mut Builder, x: ValueId, function: Unary) -> Rule {
    let (name, dtype) = (b.operand(x)?, b.fact(x).dtype);
    Ok(match function {
        Unary::Silu => {
            let sigmoid = b.emit("Sigmoid", &[&name], Vec::new());
            b.emit("Mul", &[&name, &sigmoid], Vec::new())
        }
        Unary::Gelu => b.emit("Gelu", &[&name], Vec::new()),
        Unary::QuickGelu => {
            let factor = b.scalar(dtype, 1.702);
            let steep = b.emit("Mul", &[&name, &factor], Vec::new());
            let sigmoid = b.emit("Sigmoid", &[&steep], Vec::new());
            b.emit("Mul", &[&name, &sigmoid], Vec::new())
        }
        Unary::Sin => b.emit("Sin", &[&name], Vec::new()),
        Unary::Cos => b.emit("Cos", &[&name], Vec::new()),
        Unary::Sigmoid => b.emit("Sigmoid", &[&name], Vec::new()),
        Unary::Exp => b.emit("Exp", &[&name], Vec::new()),
        Unary::Log => b.emit("Log", &[&name], Vec::new()),
        Unary::Sqrt => b.emit("Sqrt", &[&name], Vec::new()),
        Unary::Step | Unary::Harden => {
            let half = b.scalar(dtype, 0.5);
            let open = b.emit("GreaterOrEqual", &[&name, &half], Vec::new());
            b.emit("Cast", &[&open], vec![AttributeProto::int("to", tensors::data_type(dtype) as i64)])
        }
    })
}

fn affine(b: &mut Builder, x: ValueId, scale: f64, shift: f64) -> Rule {
    let (mut name, dtype) = (b.operand(x)?, b.fact(x).dtype);
    if scale != 1.0 {
        let scale = b.scalar(dtype, scale);
        name = b.emit("Mul", &[&name, &scale], Vec::new());
    }
    if shift != 0.0 {
        let shift = b.scalar(dtype, shift);
        name = b.emit("Add", &[&name, &shift], Vec::new());
    }
    Ok(name)
}

fn reshape(b: &mut Builder, node: &Node, to: &[Extent]) -> Rule {
    let x = node.inputs[0];
    let target = match b.static_target(&b.fact(x).shape, &b.fact(node.output).shape) {
        Some(target) => target,
        None => b.joined_target(x, to)?,
    };
    let name = b.operand(x)?;
    Ok(b.emit("Reshape", &[&name, &target], Vec::new()))
}

fn narrow_like(b: &mut Builder, node: &Node, axis: usize, start: usize, like_axis: usize) -> Rule {
    let &[x, like] = node.inputs.as_slice() else { return Err("takes two operands".into()) };
    let starts = b.whole(&[start as i64]);
    let ends = match b.fact(like).shape[like_axis].known() {
        Some(length) => b.whole(&[(start + length) as i64]),
        None => {
            let length = b.shape_of(like, like_axis..like_axis + 1)?;
            if start == 0 { length } else { b.emit("Add", &[&length, &starts], Vec::new()) }
        }
    };
    let (name, axes) = (b.operand(x)?, b.whole(&[axis as i64]));
    Ok(b.emit("Slice", &[&name, &starts, &ends, &axes], Vec::new()))
}

/// The scales are constant (the form that every provider takes); a row or column too many, where the size is odd, is cut off.
fn upsample2x(b: &mut Builder, node: &Node) -> Rule {
    let x = node.inputs[0];
    let attributes = vec![
        AttributeProto::string("coordinate_transformation_mode", "asymmetric"),
        AttributeProto::string("mode", "nearest"),
        AttributeProto::string("nearest_mode", "floor"),
    ];
    let (name, roi) =
        (b.operand(x)?, b.constant("const.f32.empty".into(), |n| tensors::floats(n, Dtype::F32, &[0], &[])));
    let scales =
        b.constant("const.f32.[1,1,2,2]".into(), |name| tensors::floats(name, Dtype::F32, &[4], &[1.0, 1.0, 2.0, 2.0]));
    let large = b.emit("Resize", &[&name, &roi, &scales], attributes);
    let sides = |id: ValueId| [2, 3].map(|i| b.fact(id).shape[i].known());
    let (have, want) = (sides(x).map(|side| side.map(|n| 2 * n)), sides(node.output));
    let fits = have == want && want.iter().all(Option::is_some);
    let Some(&like) = node.inputs.get(1).filter(|_| !fits) else { return Ok(large) };
    let ends = match want {
        [Some(height), Some(width)] => b.whole(&[height as i64, width as i64]),
        _ => b.shape_of(like, 2..4)?,
    };
    let (starts, axes) = (b.whole(&[0, 0]), b.whole(&[2, 3]));
    Ok(b.emit("Slice", &[&large, &starts, &ends, &axes], Vec::new()))
}
