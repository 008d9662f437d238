//! Routes, samples and decodes ONNX bundles with ONNX Runtime.

pub mod tokenizer;
