//! Routes, samples and decodes ONNX bundles with ONNX Runtime.

#[cfg(feature = "cli")]
pub mod args;
pub mod bundle;
pub mod classifier;
pub mod coverage;
pub mod doctor;
pub mod engine;
pub mod image;
pub mod measure;
pub mod onnx;
pub mod pipeline;
pub mod png;
