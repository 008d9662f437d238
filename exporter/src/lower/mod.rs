//! From a graph to ONNX: a pure function of graph and target, which reads no weights.
//!
//! The forms are those that measured best or were taken by most execution providers; each rule says why where it is not the
//! obvious one. Nothing is optimised beyond that: ONNX Runtime does it better when it knows the machine.

mod attention;
mod builder;
mod layout;
mod probe;
mod quantized;
mod rules;
mod target;
mod tensors;

pub use layout::{ALIGNMENT, Form, INLINE_BELOW, Layout, Place, Product, Weight};
pub use probe::{PROBE, Probe, lower as lower_probe, probed};
pub use target::{AttentionForm, NormForm, Target};
pub use tensors::constant_bytes;

use crate::{
    error::{Error, Result},
    graph::{Graph, Node, Output},
    quantize::{BLOCK, Quantized, Scheme},
};
use builder::{Builder, MICROSOFT};
use pleach_model::{
    manifest::Flavour,
    shape::{Dim, Fact},
};
use pleach_runtime::onnx::{
    Bytes, DataType, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};
use std::collections::{HashMap, HashSet};

/// What a model says about itself.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Name of the graph: the network's class.
    pub name: &'a str,
    /// Name of the data file beside the model.
    pub data_file: &'a str,
    /// Named texts, in the order in which they are written.
    pub metadata: &'a [(String, String)],
}

/// Writes a graph for a target. Inline weights have no numbers yet: [`fill_inline`] gives them theirs.
///
/// # Errors
/// [`Error::Lowering`].
pub fn lower(graph: &Graph, layout: &Layout, target: &Target, scheme: &Scheme, about: About) -> Result<ModelProto> {
    let mut builder = Builder::new(graph, layout, target);
    for (i, node) in graph.nodes.iter().enumerate() {
        builder.enter(&node.path);
        let name = node_in(&mut builder, node, scheme.get(i))?;
        builder.define(node.output, name);
    }
    finish(builder, about, Vec::new())
}

/// Writes an operation, quantised or not.
fn node_in(builder: &mut Builder, node: &Node, quantized: Option<Quantized>) -> Result<String> {
    let name = match quantized {
        Some(quantized) => quantized::lower(builder, node, quantized),
        None => rules::lower(builder, node),
    };
    name.map_err(|reason| failed(node, reason))
}

fn failed(node: &Node, reason: String) -> Error {
    Error::Lowering { path: node.path.to_string(), op: node.op.name(), reason }
}

/// The model that a builder has put together, with more outputs than the graph declares.
fn finish(mut builder: Builder, about: About, more: Vec<ValueInfoProto>) -> Result<ModelProto> {
    let (graph, layout, target) = (builder.graph, builder.layout, builder.target);
    for output in &graph.outputs {
        bind_output(&mut builder, output)?;
    }
    let outputs = graph.outputs.iter().map(|output| value_info(&output.name, graph.fact(output.value)));
    let outputs = outputs.chain(more).collect();
    // A scheme may leave some to others.
    let used: HashSet<&str> = builder.nodes.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let weights = layout.weights.iter().filter(|weight| used.contains(weight.name.as_str()));
    let weights = weights.map(|weight| initializer(weight, about.data_file, target));
    let domains = [("", target.opset), (MICROSOFT, 1)];
    let used = |domain: &str| domain.is_empty() || builder.nodes.iter().any(|node| node.domain == domain);
    let opset_import = domains.into_iter().filter(|(domain, _)| used(domain));
    Ok(ModelProto {
        ir_version: target.ir,
        opset_import: opset_import
            .map(|(domain, version)| OperatorSetIdProto { domain: domain.into(), version })
            .collect(),
        producer_name: "pleach".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        metadata_props: about.metadata.iter().map(|(key, value)| StringStringEntryProto::new(key, value)).collect(),
        graph: Some(GraphProto {
            name: about.name.into(),
            input: graph.named_inputs().map(|(name, fact)| value_info(name, fact)).collect(),
            output: outputs,
            initializer: weights.chain(builder.constants).collect(),
            node: builder.nodes,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    })
}

/// Gives an output of the graph the name declared for it, by renaming the value or, where that is an input, stored, or another
/// output too, by a node that passes it on.
fn bind_output(builder: &mut Builder, output: &Output) -> Result<()> {
    if builder.rename(output.value, &output.name) {
        return Ok(());
    }
    let failed = |reason| Error::Lowering { path: output.name.clone(), op: "output", reason };
    let name = builder.operand(output.value).map_err(failed)?;
    let node = NodeProto::new("Identity", &format!("/{}/Identity", output.name), &[&name], &[&output.name]);
    builder.nodes.push(node);
    Ok(())
}

fn initializer(weight: &Weight, data_file: &str, target: &Target) -> TensorProto {
    let (data_type, dims) = declared(weight, target);
    let dims = tensors::signed(&dims);
    let external =
        |file, offset| TensorProto::external(&weight.name, data_type, dims.clone(), file, offset, weight.bytes());
    match &weight.place {
        Place::Graph => TensorProto::inline(&weight.name, data_type, dims, Bytes::new()),
        Place::Data { offset } => external(data_file, *offset),
        Place::Shared { file, offset } => external(file, *offset),
    }
}

/// Type and shape of a weight as a target reads it. CUDA's norms take vectors. Two 4-bit numbers in a byte are that to ONNX Runtime's own operator, and are
/// one number each to the standard one; the bytes are the same.
fn declared(weight: &Weight, target: &Target) -> (DataType, Vec<usize>) {
    let (data_type, dims) = (weight.data_type(), weight.dims.clone());
    match (weight.form, target.flavour, dims.as_slice()) {
        (Form::PerChannel, Flavour::Cuda, &[channels, 1, 1]) => (data_type, vec![channels]),
        (Form::Blocks, Flavour::Cpu, &[rows, inputs]) => (DataType::Uint8, vec![rows, inputs / BLOCK, BLOCK / 2]),
        (Form::BlockZeros, Flavour::Cpu, &[rows, blocks]) => (DataType::Uint8, vec![rows * blocks / 2]),
        (Form::BlockScales, Flavour::Cpu, &[rows, blocks]) => (data_type, vec![rows * blocks]),
        _ => (data_type, dims),
    }
}

fn value_info(name: &str, fact: &Fact) -> ValueInfoProto {
    let dims = fact.shape.iter().map(|dim| match dim {
        Dim::Known(n) => DimensionValue::DimValue(*n as i64),
        symbolic => DimensionValue::DimParam(symbolic.to_string()),
    });
    ValueInfoProto::tensor(name, tensors::data_type(fact.dtype), dims)
}

/// Puts the numbers of small weights into a model, by their names.
pub fn fill_inline(model: &mut ModelProto, numbers: &HashMap<String, Bytes>) {
    for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        if let Some(bytes) = numbers.get(&tensor.name) {
            tensor.raw_data = bytes.clone();
        }
    }
}
