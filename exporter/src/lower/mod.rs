//! From a graph to ONNX: a pure function of graph and target, which reads no weights.
//!
//! The forms are those that measured best or were taken by most execution providers; each rule says why where it is not the
//! obvious one. Nothing is optimised beyond that: ONNX Runtime does it better when it knows the machine.

mod attention;
mod builder;
mod layout;
mod rules;
mod target;
mod tensors;

pub use layout::{ALIGNMENT, Form, INLINE_BELOW, Layout, Place, Weight};
pub use target::{AttentionForm, Target};
pub use tensors::constant_bytes;

use crate::{
    error::{Error, Result},
    graph::{Graph, Output},
};
use builder::{Builder, MICROSOFT};
use pleach_model::shape::{Dim, Fact};
use pleach_runtime::onnx::{
    Bytes, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    ValueInfoProto,
};
use std::collections::HashMap;

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
pub fn lower(graph: &Graph, layout: &Layout, target: &Target, about: About) -> Result<ModelProto> {
    let mut builder = Builder::new(graph, layout, target);
    for node in &graph.nodes {
        builder.enter(&node.path);
        let failed = |reason| Error::Lowering { path: node.path.to_string(), op: node.op.name(), reason };
        let name = rules::lower(&mut builder, node).map_err(failed)?;
        builder.define(node.output, name);
    }
    for output in &graph.outputs {
        bind_output(&mut builder, output)?;
    }
    let outputs = graph.outputs.iter().map(|output| value_info(&output.name, graph.fact(output.value))).collect();
    let weights = layout.weights.iter().map(|weight| initializer(weight, about.data_file));
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

fn initializer(weight: &Weight, data_file: &str) -> TensorProto {
    let (data_type, dims) = (tensors::data_type(weight.dtype), tensors::signed(&weight.dims));
    let external =
        |file, offset| TensorProto::external(&weight.name, data_type, dims.clone(), file, offset, weight.bytes());
    match &weight.place {
        Place::Graph => TensorProto::inline(&weight.name, data_type, dims, Bytes::new()),
        Place::Data { offset } => external(data_file, *offset),
        Place::Shared { file, offset } => external(file, *offset),
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
