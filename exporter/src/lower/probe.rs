//! A graph that tells what goes through it: for calibration. It has one output more, [`PROBE`].

use super::{About, Target, builder::Builder, failed, finish, layout::Layout, node_in};
use crate::{
    error::Result,
    graph::{Graph, Node},
    quantize::Scheme,
};
use pleach_model::op::Op;
use pleach_runtime::onnx::{AttributeProto, DataType, DimensionValue, ModelProto, ValueInfoProto};

/// Name of the output.
pub const PROBE: &str = "probe";

/// What is told.
#[derive(Clone, Copy, Debug)]
pub enum Probe<'a> {
    /// Of each convolution with a stored weight: the least and the largest number that goes in, and that comes out.
    Ranges,
    /// Of each operation of a scheme: the sum of squares of what is wrong with its result when it alone is quantised, and that of the
    /// result.
    Errors(&'a Scheme),
}

/// The operations that a probe tells of, in its order.
pub fn probed(graph: &Graph, probe: Probe<'_>) -> Vec<usize> {
    let is_probed = |i: usize, node: &Node| match probe {
        Probe::Ranges => {
            matches!(node.op, Op::Conv2d(_)) && node.inputs.get(1).is_some_and(|&id| graph.parameter(id).is_some())
        }
        Probe::Errors(scheme) => scheme.get(i).is_some(),
    };
    graph.nodes.iter().enumerate().filter(|(i, node)| is_probed(*i, node)).map(|(i, _)| i).collect()
}

/// The graph, not quantised, with the probe.
///
/// # Errors
/// See [`lower`](super::lower).
pub fn lower(graph: &Graph, layout: &Layout, target: &Target, probe: Probe<'_>, about: About) -> Result<ModelProto> {
    let mut builder = Builder::new(graph, layout, target);
    let b = &mut builder;
    let (told, mut numbers) = (probed(graph, probe), Vec::new());
    for (i, node) in graph.nodes.iter().enumerate() {
        b.enter(&node.path);
        let name = node_in(b, node, None)?;
        if told.contains(&i) {
            match probe {
                Probe::Ranges => {
                    let input = node.inputs.first().map_or(Err("an operand is missing".into()), |&id| b.operand(id));
                    let input = input.map_err(|reason| failed(node, reason))?;
                    for value in [input.as_str(), &name] {
                        for op in ["ReduceMin", "ReduceMax"] {
                            numbers.push(one(b, op, value));
                        }
                    }
                }
                Probe::Errors(scheme) => {
                    let rounded = node_in(b, node, scheme.get(i))?;
                    let wrong = b.emit("Sub", &[&rounded, &name], Vec::new());
                    numbers.push(one(b, "ReduceSumSquare", &wrong));
                    numbers.push(one(b, "ReduceSumSquare", &name));
                }
            }
        }
        b.define(node.output, name);
    }
    b.enter("");
    let all: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let told = b.emit("Concat", &all, vec![AttributeProto::int("axis", 0)]);
    b.rename_node_output(&told, PROBE);
    let shape = [DimensionValue::from(numbers.len() as i64)];
    finish(builder, about, vec![ValueInfoProto::tensor(PROBE, DataType::Float, shape)])
}

/// A reduction over everything, `[1]`.
fn one(b: &mut Builder, op: &str, value: &str) -> String {
    let scalar = b.emit(op, &[value], vec![AttributeProto::int("keepdims", 0)]);
    let shape = b.whole(&[1]);
    b.emit("Reshape", &[&scalar, &shape], Vec::new())
}
