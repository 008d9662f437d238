//! Walks a whole model for what ONNX Runtime would act on by itself: versions, and files that the model names.

use super::{GraphError, external::External};
use crate::onnx::{
    AttributeProto, DataLocation, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Format versions that ONNX Runtime 1.30 takes.
const IR_VERSIONS: (i64, i64) = (3, 13);
/// Versions of the standard operators that ONNX Runtime 1.30 takes.
const OPSETS: (i64, i64) = (7, 26);

/// What a check finds out.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Version of the standard operators.
    pub opset: i64,
    /// The files beside the graph that tensors lie in.
    pub locations: BTreeMap<String, Location>,
}

/// What a graph takes from a file beside it.
#[derive(Debug, Default)]
pub(super) struct Location {
    /// How long it must be at least.
    pub end: u64,
    /// The tensor that ends there.
    pub tensor: String,
    /// Where tensors begin and end.
    ranges: BTreeSet<(u64, u64)>,
}

impl Location {
    /// Bytes that are taken; those of tensors in the same place once.
    pub fn taken(&self) -> u64 {
        self.ranges.iter().fold(0, |sum, (start, end)| sum.saturating_add(end - start))
    }
}

/// Checks `model`, read from `file`.
pub(super) fn check(file: &str, model: &ModelProto) -> Result<Findings, GraphError> {
    let mut walk = Walk { file, locations: BTreeMap::new() };
    if model.ir_version == 0 {
        return Err(walk.problem("names no version of the ONNX format: it is not an ONNX graph, or not all of one"));
    }
    walk.in_range("ONNX IR version", model.ir_version, IR_VERSIONS)?;
    let standard = model.opset_import.iter().find(|opset| matches!(opset.domain.as_str(), "" | "ai.onnx"));
    let opset = standard.map_or(0, |opset| opset.version);
    walk.in_range("ONNX opset", opset, OPSETS)?;
    if !model.training_info.is_empty() {
        return Err(walk.problem("holds training graphs: export it for inference"));
    }
    walk.graph(model.graph.as_ref().ok_or_else(|| walk.problem("holds no graph"))?)?;
    model.functions.iter().try_for_each(|function| walk.function(function))?;
    Ok(Findings { opset, locations: walk.locations })
}

struct Walk<'a> {
    file: &'a str,
    locations: BTreeMap<String, Location>,
}

impl Walk<'_> {
    fn problem(&self, problem: impl Into<String>) -> GraphError {
        GraphError::Model { file: self.file.to_owned(), problem: problem.into() }
    }

    fn in_range(&self, what: &'static str, found: i64, (oldest, newest): (i64, i64)) -> Result<(), GraphError> {
        if (oldest..=newest).contains(&found) {
            return Ok(());
        }
        Err(GraphError::Version { file: self.file.to_owned(), what, found, oldest, newest })
    }

    fn graph(&mut self, graph: &GraphProto) -> Result<(), GraphError> {
        graph.initializer.iter().try_for_each(|tensor| self.tensor(tensor))?;
        graph.sparse_initializer.iter().try_for_each(|tensor| self.sparse(tensor))?;
        graph.node.iter().try_for_each(|node| self.node(node))
    }

    fn function(&mut self, function: &FunctionProto) -> Result<(), GraphError> {
        function.attribute_proto.iter().try_for_each(|attribute| self.attribute(attribute))?;
        function.node.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &NodeProto) -> Result<(), GraphError> {
        // Such a node names a compiled binary, which its provider opens.
        if node.op_type == "EPContext" {
            return Err(self.problem(format!("holds the compiled node {:?}, which names a file of its own", node.name)));
        }
        node.attribute.iter().try_for_each(|attribute| self.attribute(attribute))
    }

    fn attribute(&mut self, attribute: &AttributeProto) -> Result<(), GraphError> {
        attribute.t.iter().chain(&attribute.tensors).try_for_each(|tensor| self.tensor(tensor))?;
        let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
        sparse.into_iter().try_for_each(|tensor| self.sparse(tensor))?;
        attribute.g.iter().chain(&attribute.graphs).try_for_each(|graph| self.graph(graph))
    }

    fn sparse(&mut self, tensor: &SparseTensorProto) -> Result<(), GraphError> {
        tensor.values.iter().chain(&tensor.indices).try_for_each(|tensor| self.tensor(tensor))
    }

    fn tensor(&mut self, tensor: &TensorProto) -> Result<(), GraphError> {
        // External data counts only if the tensor says so, but whoever writes a path otherwise has something in mind.
        if tensor.data_location == i32::from(DataLocation::Default) && tensor.external_data.is_empty() {
            return Ok(());
        }
        let failed =
            |problem| GraphError::External { graph: self.file.to_owned(), tensor: tensor.name.clone(), problem };
        let external = External::read(tensor).map_err(failed)?;
        let Range { start, end } = external.bytes;
        let found = self.locations.entry(external.location).or_default();
        found.ranges.insert((start, end));
        if found.end <= end {
            (found.end, found.tensor) = (end, tensor.name.clone());
        }
        Ok(())
    }
}
