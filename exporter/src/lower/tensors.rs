//! Constants as ONNX tensors.

use half::{bf16, f16};
use pleach_model::{backend::Constant, tensor::Dtype};
use pleach_runtime::onnx::{DataType, TensorProto};

/// ONNX's name of an element type.
pub(super) fn data_type(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::F32 => DataType::Float,
        Dtype::F16 => DataType::Float16,
        Dtype::Bf16 => DataType::Bfloat16,
        Dtype::I64 => DataType::Int64,
        Dtype::I32 => DataType::Int32,
    }
}

/// A constant of a floating-point type.
pub(super) fn floats(name: &str, dtype: Dtype, dims: &[usize], numbers: &[f32]) -> TensorProto {
    let bytes: Vec<u8> = match dtype {
        Dtype::F16 => numbers.iter().flat_map(|&number| f16::from_f32(number).to_le_bytes()).collect(),
        Dtype::Bf16 => numbers.iter().flat_map(|&number| bf16::from_f32(number).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
    };
    TensorProto::inline(name, data_type(dtype), signed(dims), bytes)
}

/// A list of whole numbers.
pub(super) fn whole(name: &str, numbers: &[i64]) -> TensorProto {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    TensorProto::inline(name, DataType::Int64, [numbers.len() as i64], bytes)
}

/// The bytes of a network's own constant.
pub fn constant_bytes(constant: &Constant) -> Vec<u8> {
    match constant {
        Constant::F32(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        Constant::I64(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
    }
}

/// Dimensions as ONNX counts them.
pub(super) fn signed(dims: &[usize]) -> Vec<i64> {
    dims.iter().map(|&dim| dim as i64).collect()
}
