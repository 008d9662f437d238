//! A network as data: typed values, operations, parameters by name, and the inputs and outputs that were declared.
//!
//! [`record`] runs a network over a `Recorder` and checks what came of it. Nothing is optimised here.

mod recorder;

pub use recorder::{Parameters, Recording, record};

use pleach_model::{backend::Constant, op::Op, shape::Fact, tensor::TensorSpec};
use std::sync::Arc;

/// Index into [`Graph::values`].
pub type ValueId = usize;

/// A recorded network. Values and nodes stand in the order of execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Everything that an operation takes or gives.
    pub values: Vec<Value>,
    /// The operations.
    pub nodes: Vec<Node>,
    /// The values that the caller gives, in the order of declaration.
    pub inputs: Vec<ValueId>,
    /// The values that the caller gets.
    pub outputs: Vec<Output>,
}

/// A value of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Element type and shape.
    pub fact: Fact,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Declared under this name; the caller gives it.
    Input(String),
    /// A parameter; its numbers stay in the checkpoint until they are written.
    Parameter(TensorSpec),
    /// Numbers that the network brings with it.
    Constant(Constant),
    /// The result of the operation with this index into [`Graph::nodes`].
    Node(usize),
}

/// An operation of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Path of the module, as in the checkpoint; empty at the root.
    pub path: Arc<str>,
    /// What is done.
    pub op: Op,
    /// With what.
    pub inputs: Vec<ValueId>,
    /// The result.
    pub output: ValueId,
}

/// An output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The name declared.
    pub name: String,
    /// What it gives.
    pub value: ValueId,
}

impl Graph {
    /// Type and shape of a value.
    pub fn fact(&self, value: ValueId) -> &Fact {
        &self.values[value].fact
    }

    /// The parameter that a value is, if it is one.
    pub fn parameter(&self, value: ValueId) -> Option<&TensorSpec> {
        match &self.values[value].origin {
            Origin::Parameter(spec) => Some(spec),
            _ => None,
        }
    }

    /// The graph's inputs with their names.
    pub fn named_inputs(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.inputs.iter().filter_map(|&id| match &self.values[id] {
            Value { origin: Origin::Input(name), fact } => Some((name.as_str(), fact)),
            _ => None,
        })
    }

    /// The parameters in the order of construction.
    pub fn parameters(&self) -> impl Iterator<Item = &TensorSpec> {
        (0..self.values.len()).filter_map(|id| self.parameter(id))
    }
}
