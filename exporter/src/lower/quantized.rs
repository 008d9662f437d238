//! Quantised operations as ONNX nodes: in standard operators for every provider, and in ONNX Runtime's own ones for its CPU provider.

use super::{
    builder::{Builder, MICROSOFT, Rule},
    layout::{Form, Product},
    rules,
};
use crate::{
    graph::Node,
    quantize::{BLOCK, Quantized, Span},
};
use pleach_model::{manifest::Flavour, op::Op, tensor::Dtype};
use pleach_runtime::onnx::{AttributeProto, DataType};

/// Products of 8-bit numbers inside of `MatMulNBits`: the fastest of its ways to compute.
const ACCURACY_LEVEL: i64 = 4;

/// Writes the nodes of one operation and gives the name of the result.
pub(super) fn lower(b: &mut Builder, node: &Node, quantized: Quantized) -> Rule {
    let is_cpu = b.target.flavour == Flavour::Cpu;
    match (quantized, &node.op) {
        (Quantized::Static { input, output }, Op::Conv2d(_)) => between(b, node, input, output),
        (Quantized::Weights, Op::Conv2d(conv)) => {
            let weight = rows(b, node, Form::Rows, 0)?;
            let x = b.operand(node.inputs[0])?;
            let bias = node.inputs.get(2).map(|&bias| b.operand(bias)).transpose()?;
            rules::conv2d(b, node, conv, [x, weight].into_iter().chain(bias).collect())
        }
        (Quantized::Dynamic, Op::Linear) if is_cpu => dynamic(b, node),
        (Quantized::Dynamic | Quantized::Weights, Op::Linear) => {
            let weight = rows(b, node, Form::RowsTransposed, 1)?;
            product(b, node, &weight)
        }
        (Quantized::Blocks, Op::Linear) if is_cpu => blocks(b, node),
        (Quantized::Blocks, Op::Linear) => {
            let [numbers, scales, zeros] = block_forms(b, node)?;
            let attributes = vec![AttributeProto::int("axis", 1), AttributeProto::int("block_size", BLOCK as i64)];
            let weight = b.emit("DequantizeLinear", &[&numbers, &scales, &zeros], attributes);
            let weight = b.emit("Transpose", &[&weight], vec![AttributeProto::ints("perm", [1, 0])]);
            product(b, node, &weight)
        }
        (Quantized::Rows, Op::Embedding) => table(b, node),
        _ => Err(format!("cannot be quantised as {quantized:?}")),
    }
}

/// A weight's 8-bit rows made wide again.
fn rows(b: &mut Builder, node: &Node, form: Form, axis: i64) -> Rule {
    let (numbers, scales) = (b.in_form(node.inputs[1], form)?, b.in_form(node.inputs[1], Form::RowScales)?);
    Ok(b.emit("DequantizeLinear", &[&numbers, &scales], vec![AttributeProto::int("axis", axis)]))
}

/// To 256 steps and back.
fn stepped(b: &mut Builder, x: &str, span: Span) -> String {
    let (scale, zero) = (b.scalar(Dtype::F32, f64::from(span.scale())), b.byte(span.zero()));
    let quantized = b.emit("QuantizeLinear", &[x, &scale, &zero], Vec::new());
    b.emit("DequantizeLinear", &[&quantized, &scale, &zero], Vec::new())
}

/// A convolution between steps, which ONNX Runtime makes one of 8-bit numbers.
fn between(b: &mut Builder, node: &Node, input: Span, output: Span) -> Rule {
    let Op::Conv2d(conv) = &node.op else { return Err("is no convolution".into()) };
    let x = b.operand(node.inputs[0])?;
    let x = stepped(b, &x, input);
    let weight = rows(b, node, Form::Rows, 0)?;
    let mut operands = vec![x, weight];
    if let Some(&bias) = node.inputs.get(2) {
        let product = Product::new(node.inputs[1], input.scale());
        let numbers = b.in_form(bias, Form::WideBias(product))?;
        let scales = b.in_form(bias, Form::WideBiasScales(product))?;
        operands.push(b.emit("DequantizeLinear", &[&numbers, &scales], vec![AttributeProto::int("axis", 0)]));
    }
    let y = rules::conv2d(b, node, conv, operands)?;
    Ok(stepped(b, &y, output))
}

fn dynamic(b: &mut Builder, node: &Node) -> Rule {
    let x = b.operand(node.inputs[0])?;
    let (numbers, scales) =
        (b.in_form(node.inputs[1], Form::RowsTransposed)?, b.in_form(node.inputs[1], Form::RowScales)?);
    let mut inputs = vec![x, numbers, scales];
    if let Some(&bias) = node.inputs.get(2) {
        // No zero points: the numbers are symmetric.
        inputs.extend([String::new(), b.operand(bias)?]);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    Ok(b.emit_in(MICROSOFT, "DynamicQuantizeMatMul", &inputs, Vec::new(), 1).swap_remove(0))
}

fn block_forms(b: &mut Builder, node: &Node) -> Rule<[String; 3]> {
    let weight = node.inputs[1];
    Ok([b.in_form(weight, Form::Blocks)?, b.in_form(weight, Form::BlockScales)?, b.in_form(weight, Form::BlockZeros)?])
}

fn blocks(b: &mut Builder, node: &Node) -> Rule {
    let x = b.operand(node.inputs[0])?;
    let shape: Option<Vec<usize>> = b.fact(node.inputs[1]).known();
    let &[outputs, inputs] = shape.as_deref().unwrap_or_default() else { return Err("needs a known matrix".into()) };
    let attributes = vec![
        AttributeProto::int("K", inputs as i64),
        AttributeProto::int("N", outputs as i64),
        AttributeProto::int("bits", 4),
        AttributeProto::int("block_size", BLOCK as i64),
        AttributeProto::int("accuracy_level", ACCURACY_LEVEL),
    ];
    let [numbers, scales, zeros] = block_forms(b, node)?;
    let product = b.emit_in(MICROSOFT, "MatMulNBits", &[&x, &numbers, &scales, &zeros], attributes, 1).swap_remove(0);
    rules::biased(b, node, product)
}

/// With a matrix `[in, out]`.
fn product(b: &mut Builder, node: &Node, weight: &str) -> Rule {
    let x = b.operand(node.inputs[0])?;
    let product = b.emit("MatMul", &[&x, weight], Vec::new());
    rules::biased(b, node, product)
}

/// Rows looked up, then made wide.
fn table(b: &mut Builder, node: &Node) -> Rule {
    let &[table, ids] = node.inputs.as_slice() else { return Err("takes two operands".into()) };
    let (numbers, scales) = (b.in_form(table, Form::Rows)?, b.in_form(table, Form::RowScaleColumn)?);
    let ids = b.operand(ids)?;
    let axis = || vec![AttributeProto::int("axis", 0)];
    let (rows, scales) = (b.emit("Gather", &[&numbers, &ids], axis()), b.emit("Gather", &[&scales, &ids], axis()));
    let rows = b.emit("Cast", &[&rows], vec![AttributeProto::int("to", DataType::Float as i64)]);
    Ok(b.emit("Mul", &[&rows, &scales], Vec::new()))
}
