//! A graph with the type and shape of every value, as a provider is asked about it.

use super::types;
use crate::onnx::{DataType, DimensionValue, ModelProto, NodeProto, TypeValue, ValueInfoProto};
use std::collections::HashMap;

/// A graph with the type and shape of every value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frozen {
    /// Its nodes, each after those whose outputs it uses. What a node holds as a graph of its own is not looked into.
    pub nodes: Vec<NodeProto>,
    /// Its values by name.
    pub values: HashMap<String, Value>,
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Type of its elements; `Undefined` where it is not known.
    pub dtype: DataType,
    /// Its dimensions, none for one that is not fixed; absent where not even their number is known.
    pub dims: Option<Vec<Option<u64>>>,
    /// Whether the graph holds it.
    pub constant: bool,
}

impl Value {
    /// Whether every dimension is fixed.
    pub fn is_fixed(&self) -> bool {
        self.dims.as_ref().is_some_and(|dims| dims.iter().all(Option::is_some))
    }

    /// Number of dimensions.
    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    fn declared(value: &ValueInfoProto) -> Self {
        let Some(TypeValue::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
            return Self { dtype: DataType::Undefined, dims: None, constant: false };
        };
        let dims = tensor.shape.as_ref().map(|shape| {
            let dims = shape.dim.iter().map(|dim| match &dim.value {
                Some(DimensionValue::DimValue(size)) => u64::try_from(*size).ok(),
                _ => None,
            });
            dims.collect()
        });
        Self { dtype: types::of(tensor.elem_type), dims, constant: false }
    }
}

impl Frozen {
    /// Reads `model`: types and shapes of values are those that it declares for inputs, outputs and in between.
    pub fn read(model: ModelProto) -> Self {
        let graph = model.graph.unwrap_or_default();
        let declared = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
        let mut values: HashMap<String, Value> =
            declared.map(|value| (value.name.clone(), Value::declared(value))).collect();
        values.extend(graph.initializer.iter().map(|tensor| {
            let dims = tensor.dims.iter().map(|&size| u64::try_from(size).ok()).collect();
            let value = Value { dtype: types::of(tensor.data_type), dims: Some(dims), constant: true };
            (tensor.name.clone(), value)
        }));
        Self { nodes: graph.node, values }
    }
}
