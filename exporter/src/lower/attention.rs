//! Attention as ONNX nodes.

use super::{
    builder::{Builder, MICROSOFT, Rule},
    target::AttentionForm,
    tensors,
};
use crate::graph::{Node, ValueId};
use pleach_model::{
    op::Attention,
    shape::{Dim, Fact},
    tensor::Dtype,
};
use pleach_runtime::onnx::AttributeProto;

/// Added to the scores of what a position must not see: the lowest number of half precision, so that it stays finite wherever
/// a provider computes, and the exponential of it is zero.
const UNSEEN: f32 = -65504.0;

/// Scores and softmax are in f32 whatever the operands' type, but where a target says otherwise: in half precision Stable Diffusion 2.1 (v) gives NaN, and the
/// scores of the others lose the differences that matter.
pub(super) fn lower(b: &mut Builder, node: &Node, attention: &Attention) -> Rule {
    let bias = node.inputs.get(3).copied();
    let narrow = b.target.attention == AttentionForm::NarrowMultiHeadAttention && !attention.upcast;
    let within = if narrow { b.fact(node.output).dtype } else { Dtype::F32 };
    if b.target.attention != AttentionForm::Plain && bias.is_none_or(|bias| is_whole(b, bias, node)) {
        return fused(b, node, attention, bias, within);
    }
    plain(b, node, attention, bias)
}

/// Whether a bias has the rows and columns of the scores: the fused operator broadcasts only batch and heads.
fn is_whole(b: &Builder, bias: ValueId, node: &Node) -> bool {
    let (queries, keys) = (&b.fact(node.inputs[0]).shape[1], &b.fact(node.inputs[1]).shape[1]);
    matches!(b.fact(bias).shape.as_slice(), [_, _, rows, columns] if rows == queries && columns == keys)
}

/// Computed in the type `within`.
fn fused(b: &mut Builder, node: &Node, attention: &Attention, bias: Option<ValueId>, within: Dtype) -> Rule {
    let dtype = b.fact(node.output).dtype;
    let mut cast = |id: ValueId| b.operand(id).map(|name| b.cast(name, dtype, within));
    let mut inputs = node.inputs[..3].iter().map(|&id| cast(id)).collect::<Rule<Vec<_>>>()?;
    if let Some(bias) = bias {
        // No biases of the projections and no padding mask stand between.
        inputs.extend([String::new(), String::new(), cast(bias)?]);
    }
    let mut attributes = vec![
        AttributeProto::int("num_heads", attention.heads as i64),
        AttributeProto::float("scale", attention.scale as f32),
    ];
    if attention.causal {
        attributes.push(AttributeProto::int("unidirectional", 1));
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let mixed = b.emit_in(MICROSOFT, "MultiHeadAttention", &inputs, attributes, 1).swap_remove(0);
    Ok(b.cast(mixed, within, dtype))
}

fn plain(b: &mut Builder, node: &Node, attention: &Attention, bias: Option<ValueId>) -> Rule {
    let dtype = b.fact(node.output).dtype;
    let (q, k) = (node.inputs[0], node.inputs[1]);
    let q = heads(b, q, attention.heads, [0, 2, 1, 3])?;
    let q = b.cast(q, dtype, Dtype::F32);
    let scale = b.scalar(Dtype::F32, attention.scale);
    let q = b.emit("Mul", &[&q, &scale], Vec::new());
    let keys = heads(b, k, attention.heads, [0, 2, 3, 1])?;
    let keys = b.cast(keys, dtype, Dtype::F32);
    let mut scores = b.emit("MatMul", &[&q, &keys], Vec::new());
    if let Some(bias) = bias {
        let name = b.operand(bias)?;
        let name = b.cast(name, dtype, Dtype::F32);
        scores = b.emit("Add", &[&scores, &name], Vec::new());
    }
    if attention.causal {
        let mask = causal_mask(b, b.fact(k))?;
        scores = b.emit("Add", &[&scores, &mask], Vec::new());
    }
    let weights = b.emit("Softmax", &[&scores], vec![AttributeProto::int("axis", -1)]);
    let weights = b.cast(weights, Dtype::F32, dtype);
    let values = heads(b, node.inputs[2], attention.heads, [0, 2, 1, 3])?;
    let mixed = b.emit("MatMul", &[&weights, &values], Vec::new());
    let mixed = b.emit("Transpose", &[&mixed], vec![AttributeProto::ints("perm", [0, 2, 1, 3])]);
    let shape = &b.fact(node.output).shape;
    let target = b.static_target(&[shape[0].clone(), shape[1].clone()], shape).ok_or("a shape of too many unknowns")?;
    Ok(b.emit("Reshape", &[&mixed, &target], Vec::new()))
}

/// `[B, N, heads d]` as `[B, N, heads, d]`, then in another order.
fn heads(b: &mut Builder, x: ValueId, heads: usize, order: [i64; 4]) -> Rule {
    let fact = b.fact(x);
    let [batch, length, features] = fact.shape.as_slice() else { return Err("needs three dimensions".into()) };
    let head = features.known().ok_or("the number of features is unknown")? / heads;
    let split = [batch.clone(), length.clone(), Dim::Known(heads), Dim::Known(head)];
    let target = b.static_target(&fact.shape, &split).ok_or("a shape of too many unknowns")?;
    let name = b.operand(x)?;
    let split = b.emit("Reshape", &[&name, &target], Vec::new());
    Ok(b.emit("Transpose", &[&split], vec![AttributeProto::ints("perm", order)]))
}

/// `[N, N]`: zero where the column is not after the row.
fn causal_mask(b: &mut Builder, keys: &Fact) -> Rule {
    let n = keys.shape[1].known().ok_or("causal attention needs a known length")?;
    let mask = |name: &str| {
        let numbers: Vec<f32> = (0..n * n).map(|i| if i % n > i / n { UNSEEN } else { 0.0 }).collect();
        tensors::floats(name, Dtype::F32, &[n, n], &numbers)
    };
    Ok(b.constant(format!("const.f32.causal_mask_{n}"), mask))
}
