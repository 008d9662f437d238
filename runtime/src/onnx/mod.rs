//! The ONNX file format: the protobuf messages that an inference graph is made of, as `onnx.proto` of ONNX 1.18 (IR 10) numbers them.
//!
//! Written by hand, so that no protobuf compiler is needed. Fields that nothing here reads or writes (device configurations,
//! quantisation hints) are left out, and decoding drops them: what somebody else wrote is therefore passed on as the bytes that
//! were read, never encoded again. Bulk data is [`Bytes`], so decoding from [`Bytes`] copies no weights.
//!
//! `onnx.proto` is proto2. Fields for which "absent" and "zero" differ are `Option`s here; for the others the empty value stands
//! for absent, as every reader of ONNX takes it.

mod build;
mod graph;
mod model;
mod tensor;
mod types;

pub use graph::{AttributeProto, AttributeType, GraphProto, NodeProto};
pub use model::{FunctionProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TrainingInfoProto};
pub use prost::{DecodeError, Message, bytes::Bytes};
pub use tensor::{DataLocation, DataType, SparseTensorProto, TensorProto};
pub use types::{Dimension, DimensionValue, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto};

#[cfg(test)]
mod tests;
