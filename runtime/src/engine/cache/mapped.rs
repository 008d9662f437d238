//! Lets ONNX Runtime keep what it packs of the weights of 8-bit convolutions.
//!
//! `QLinearConv` of ONNX Runtime 1.30 looks whether the zero points of its weights are constant zeros. If they are, it takes its symmetric
//! kernels, packs the weights for them at every start, and gives ONNX Runtime nothing to write to the cache's file. If they could be anything,
//! it packs for its matrix product, and that is written, as of any matrix. The integers are the same, and so is what comes out.

use super::entry::Problem;
use crate::onnx::{Bytes, DataType, GraphProto, Message as _, ModelProto, ValueInfoProto};
use std::collections::HashSet;

/// The input of `QLinearConv` that holds the zero points of its weights.
const ZERO_POINT: usize = 5;

/// The bytes of an optimised graph in which the zero points of 8-bit convolutions' weights are constants no more but the defaults of inputs,
/// which nobody gives.
pub(in crate::engine) fn free_zero_points(model: &[u8]) -> Result<Bytes, Problem> {
    let graph = ModelProto::decode(model)?.graph.unwrap_or_default();
    let convolutions = graph.node.iter().filter(|node| node.op_type == "QLinearConv");
    let mut names: HashSet<&str> =
        convolutions.filter_map(|node| node.input.get(ZERO_POINT)).map(String::as_str).collect();
    for input in &graph.input {
        names.remove(input.name.as_str());
    }
    let inputs = graph.initializer.iter().filter(|tensor| names.contains(tensor.name.as_str())).map(|tensor| {
        let kind = DataType::try_from(tensor.data_type)?;
        Ok(ValueInfoProto::tensor(&tensor.name, kind, tensor.dims.iter().map(|&size| size.into())))
    });
    let input = inputs.collect::<Result<_, Problem>>()?;
    let more = ModelProto { graph: Some(GraphProto { input, ..GraphProto::default() }), ..ModelProto::default() };
    // A message behind another is merged into it, its lists at the end of the other's: what is not known here stays as it is.
    Ok([model, &more.encode_to_vec()].concat().into())
}
