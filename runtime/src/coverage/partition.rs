//! How many pieces a graph falls into.

use super::Frozen;
use std::collections::HashMap;

/// Sizes, in nodes, of the partitions that ONNX Runtime makes of the nodes for which `taken` is true, one per node of `graph`.
///
/// ONNX Runtime (`CreateSupportedPartitionNodeGroups` in `core/providers/partitioning_utils.cc`; its mobile usability checker has the same)
/// goes over the graph in waves. A wave takes every node that can be computed by now, whether connected to the others or not, and stops in
/// front of nodes that are not taken and that use what this wave's taken nodes make; these open the next wave. The taken nodes of a wave
/// are one partition. So a node's wave is the last one among its producers', and one more if it is not taken and a taken producer is of
/// that wave: it does not depend on the order in which nodes are visited.
pub fn partitions(graph: &Frozen, taken: &[bool]) -> Vec<usize> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    let mut waves: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    let mut sizes: Vec<usize> = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let is_taken = |i: usize| taken.get(i).copied().unwrap_or(false);
        let producers = node.input.iter().filter_map(|input| makers.get(input.as_str()).copied());
        let mut wave = producers.clone().map(|producer| waves[producer]).max().unwrap_or(0);
        if !is_taken(i) && producers.into_iter().any(|producer| is_taken(producer) && waves[producer] == wave) {
            wave += 1;
        }
        if is_taken(i) {
            sizes.resize(sizes.len().max(wave + 1), 0);
            sizes[wave] += 1;
        }
        waves.push(wave);
        makers.extend(node.output.iter().filter(|output| !output.is_empty()).map(|output| (output.as_str(), i)));
    }
    sizes.retain(|&size| size > 0);
    sizes
}
