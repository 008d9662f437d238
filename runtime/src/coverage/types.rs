//! Element types by their short names, and which floating-point type a node gives.

use crate::onnx::{AttributeProto, DataType, NodeProto, TensorProto};

/// The types that are written by name, in rules and in reports.
const NAMES: [(&str, DataType); 12] = [
    ("f32", DataType::Float),
    ("f16", DataType::Float16),
    ("bf16", DataType::Bfloat16),
    ("f64", DataType::Double),
    ("i64", DataType::Int64),
    ("i32", DataType::Int32),
    ("i16", DataType::Int16),
    ("i8", DataType::Int8),
    ("u32", DataType::Uint32),
    ("u16", DataType::Uint16),
    ("u8", DataType::Uint8),
    ("bool", DataType::Bool),
];

/// The type called `name`.
pub(super) fn parse(name: &str) -> Option<DataType> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// What a type is called.
pub(super) fn name(kind: DataType) -> String {
    let known = NAMES.iter().find(|(_, other)| *other == kind);
    known.map_or_else(|| format!("{kind:?}").to_lowercase(), |(name, _)| (*name).to_owned())
}

/// The type with the number `number`; `Undefined` for one that is not known.
pub(super) fn of(number: i32) -> DataType {
    DataType::try_from(number).unwrap_or(DataType::Undefined)
}

/// Whether a type is one of half precision, for which ONNX Runtime's processor kernels are few.
pub(super) fn is_half(kind: DataType) -> bool {
    matches!(kind, DataType::Float16 | DataType::Bfloat16)
}

/// Whether it is a floating-point type that networks compute in.
pub(super) fn is_float(kind: DataType) -> bool {
    is_half(kind) || kind == DataType::Float
}

/// The attribute `name` of a node.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Operators whose outputs are whole numbers or truth values, whatever they take.
const NEVER_FLOAT: [&str; 16] = [
    "ArgMax",
    "ArgMin",
    "Shape",
    "Size",
    "NonZero",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "And",
    "Or",
    "Not",
    "IsNaN",
    "IsInf",
    "QuantizeLinear",
];

/// The floating-point type of a node's outputs, if they are floating-point numbers: what it casts to, the type of its constant, that of
/// its scale, or that of the first of its inputs that has one. `known` gives the types of values.
pub(super) fn output(node: &NodeProto, known: impl Fn(&str) -> Option<DataType>) -> Option<DataType> {
    if NEVER_FLOAT.contains(&node.op_type.as_str()) {
        return None;
    }
    let kind = match node.op_type.as_str() {
        "Cast" => of(i32::try_from(attribute(node, "to")?.i?).ok()?),
        "Constant" | "ConstantOfShape" => {
            let tensor: &TensorProto = attribute(node, "value")?.t.as_ref()?;
            of(tensor.data_type)
        }
        "DequantizeLinear" => known(node.input.get(1)?)?,
        _ => node.input.iter().filter_map(|input| known(input)).find(|&kind| is_float(kind))?,
    };
    is_float(kind).then_some(kind)
}
