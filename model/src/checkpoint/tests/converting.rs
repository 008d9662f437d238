//! Precision changed on the way: against `half`'s own conversion of single numbers.

use super::*;
use half::{bf16, f16};

/// A checkpoint of one tensor `x`.
fn one(dtype: Dtype, bytes: &[u8]) -> (TempDir, Checkpoint) {
    let folder = TempDir::new().unwrap();
    let tensor = NewTensor::new("x", dtype, &[bytes.len() / dtype.size()], bytes);
    write_safetensors(&folder.path().join("model.safetensors"), vec![tensor], &BTreeMap::new()).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    (folder, checkpoint)
}

fn converted(from: Dtype, bytes: &[u8], to: Dtype) -> Result<Vec<u8>> {
    let (_folder, checkpoint) = one(from, bytes);
    let mut out = Vec::new();
    checkpoint.get("x")?.copy_as(to, &mut out)?;
    Ok(out)
}

/// 300,000 numbers (more than a piece holds) of every magnitude that f16 has, and ties between its neighbours.
fn numbers() -> Vec<f32> {
    (0..300_000_u32)
        .map(|i| {
            let bits = i.wrapping_mul(2_654_435_761);
            let value = f16::from_bits((bits >> 16) as u16).to_f32();
            if !value.is_finite() {
                return -0.0;
            }
            // Every third lies exactly between two numbers of f16, every third elsewhere between them.
            let between = [0, 1 << 12, bits & 0x1fff][i as usize % 3];
            f32::from_bits(value.to_bits() | between).clamp(-65519.0, 65519.0)
        })
        .collect()
}

#[test]
fn every_conversion_is_halfs() {
    let values = numbers();
    let le = |f: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|&value| f(value)).collect::<Vec<u8>>();
    let f32s = le(&|x| x.to_le_bytes().to_vec());
    let f16s = le(&|x| f16::from_f32(x).to_le_bytes().to_vec());
    let bf16s = le(&|x| bf16::from_f32(x).to_le_bytes().to_vec());
    assert!(converted(Dtype::F32, &f32s, Dtype::F32).unwrap() == f32s);
    assert!(converted(Dtype::F32, &f32s, Dtype::F16).unwrap() == f16s);
    assert!(converted(Dtype::F32, &f32s, Dtype::Bf16).unwrap() == bf16s);
    assert!(
        converted(Dtype::F16, &f16s, Dtype::F32).unwrap() == le(&|x| f16::from_f32(x).to_f32().to_le_bytes().to_vec())
    );
    let narrowed = le(&|x| bf16::from_f32(f16::from_f32(x).to_f32()).to_le_bytes().to_vec());
    assert!(converted(Dtype::F16, &f16s, Dtype::Bf16).unwrap() == narrowed);
    assert!(
        converted(Dtype::Bf16, &bf16s, Dtype::F32).unwrap()
            == le(&|x| bf16::from_f32(x).to_f32().to_le_bytes().to_vec())
    );
}

#[test]
fn to_f32_gives_the_numbers() {
    let values = numbers();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let (_folder, checkpoint) = one(Dtype::F32, &bytes);
    assert!(checkpoint.get("x").unwrap().to_f32().unwrap() == values);
}

#[test]
fn what_f16_cannot_hold() {
    let below = 65519.996_f32;
    assert_eq!(converted(Dtype::F32, &below.to_le_bytes(), Dtype::F16).unwrap(), f16::MAX.to_le_bytes());
    let mut values = numbers();
    values[299_999] = -65520.0;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let error = converted(Dtype::F32, &bytes, Dtype::F16).unwrap_err();
    assert_eq!(error.to_string(), "the tensor x holds -6.552e4, which f16 cannot represent: keep it in f32");
}

#[test]
fn what_bf16_cannot_hold() {
    let below = f32::from_bits(0x7f7f_7fff);
    assert_eq!(converted(Dtype::F32, &below.to_le_bytes(), Dtype::Bf16).unwrap(), bf16::MAX.to_le_bytes());
    let error = converted(Dtype::F32, &f32::MAX.to_le_bytes(), Dtype::Bf16).unwrap_err();
    assert_eq!(error.to_string(), "the tensor x holds 3.4028235e38, which bf16 cannot represent: keep it in f32");
}

#[test]
fn what_is_not_finite_stays_so() {
    let values = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN].map(f32::to_le_bytes).concat();
    let halves = converted(Dtype::F32, &values, Dtype::F16).unwrap();
    let halves: Vec<f16> = halves.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes)).collect();
    assert_eq!(halves[..2], [f16::INFINITY, f16::NEG_INFINITY]);
    assert!(halves[2].is_nan());
}

#[test]
fn integers_are_copied_but_not_converted() {
    let bytes = 7_i64.to_le_bytes();
    assert_eq!(converted(Dtype::I64, &bytes, Dtype::I64).unwrap(), bytes);
    let error = converted(Dtype::I64, &bytes, Dtype::F32).unwrap_err();
    assert_eq!(error.to_string(), "the tensor x cannot be converted from i64 to f32");
}

#[test]
fn a_full_sink_is_told_with_the_tensor() {
    let (_folder, checkpoint) = one(Dtype::F32, &[0; 8]);
    let error = checkpoint.get("x").unwrap().copy_as(Dtype::F16, &mut [0_u8; 2].as_mut_slice()).unwrap_err();
    assert_eq!(error.to_string(), "cannot copy the tensor x: failed to write whole buffer");
}
