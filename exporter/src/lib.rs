//! Networks as ONNX: recorded into a typed graph, lowered for a target, written as a bundle, verified.

pub mod error;
pub mod export;
pub mod graph;
pub mod lower;
pub mod network;
pub mod quantize;
pub mod verify;
pub mod watch;
pub mod weights;
