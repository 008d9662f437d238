//! Routes, samples and decodes ONNX bundles with ONNX Runtime.

pub mod onnx;
pub mod tokenizer;
