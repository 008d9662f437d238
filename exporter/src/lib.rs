//! Writes, shrinks and verifies ONNX bundles.
