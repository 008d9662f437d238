//! Short ways to write messages whose parts belong together: an attribute and its type, a tensor's reference to a file.

use super::{
    AttributeProto, AttributeType, DataLocation, DataType, Dimension, DimensionValue, GraphProto, NodeProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};
use prost::bytes::Bytes;

impl StringStringEntryProto {
    /// A key and its value.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

impl NodeProto {
    /// An operator of the standard domain, without attributes.
    pub fn new(op_type: &str, name: &str, input: &[&str], output: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            op_type: op_type.into(),
            name: name.into(),
            input: owned(input),
            output: owned(output),
            ..Self::default()
        }
    }

    /// The node with one attribute more.
    pub fn with(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }
}

impl AttributeProto {
    fn of(name: &str, kind: AttributeType) -> Self {
        Self { name: name.into(), r#type: kind.into(), ..Self::default() }
    }

    /// An integer.
    pub fn int(name: &str, value: i64) -> Self {
        Self { i: Some(value), ..Self::of(name, AttributeType::Int) }
    }

    /// A number.
    pub fn float(name: &str, value: f32) -> Self {
        Self { f: Some(value), ..Self::of(name, AttributeType::Float) }
    }

    /// A text.
    pub fn string(name: &str, value: &str) -> Self {
        Self { s: Some(Bytes::copy_from_slice(value.as_bytes())), ..Self::of(name, AttributeType::String) }
    }

    /// A list of integers.
    pub fn ints(name: &str, values: impl Into<Vec<i64>>) -> Self {
        Self { ints: values.into(), ..Self::of(name, AttributeType::Ints) }
    }

    /// A list of numbers.
    pub fn floats(name: &str, values: impl Into<Vec<f32>>) -> Self {
        Self { floats: values.into(), ..Self::of(name, AttributeType::Floats) }
    }

    /// A constant.
    pub fn tensor(name: &str, value: TensorProto) -> Self {
        Self { t: Some(value), ..Self::of(name, AttributeType::Tensor) }
    }

    /// A sub-graph: the body of an `If` or a `Loop`.
    pub fn graph(name: &str, value: GraphProto) -> Self {
        Self { g: Some(value), ..Self::of(name, AttributeType::Graph) }
    }
}

impl TensorProto {
    /// A constant whose elements lie in the message: row-major, little-endian.
    pub fn inline(name: &str, data_type: DataType, dims: impl Into<Vec<i64>>, raw_data: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            data_type: data_type.into(),
            dims: dims.into(),
            raw_data: raw_data.into(),
            ..Self::default()
        }
    }

    /// A constant whose elements lie in the file `location` beside the model: `length` bytes from `offset`.
    pub fn external(
        name: &str,
        data_type: DataType,
        dims: impl Into<Vec<i64>>,
        location: &str,
        offset: u64,
        length: u64,
    ) -> Self {
        Self {
            name: name.into(),
            data_type: data_type.into(),
            dims: dims.into(),
            external_data: vec![
                StringStringEntryProto::new("location", location),
                StringStringEntryProto::new("offset", offset.to_string()),
                StringStringEntryProto::new("length", length.to_string()),
            ],
            data_location: DataLocation::External.into(),
            ..Self::default()
        }
    }
}

impl ValueInfoProto {
    /// A tensor.
    pub fn tensor(name: &str, data_type: DataType, shape: impl IntoIterator<Item = DimensionValue>) -> Self {
        let dim = shape.into_iter().map(|value| Dimension { value: Some(value), ..Dimension::default() }).collect();
        let tensor = TensorTypeProto { elem_type: data_type.into(), shape: Some(TensorShapeProto { dim }) };
        let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), ..TypeProto::default() };
        Self { name: name.into(), r#type: Some(r#type), ..Self::default() }
    }
}

impl From<i64> for DimensionValue {
    fn from(size: i64) -> Self {
        Self::DimValue(size)
    }
}

impl From<&str> for DimensionValue {
    fn from(name: &str) -> Self {
        Self::DimParam(name.into())
    }
}
