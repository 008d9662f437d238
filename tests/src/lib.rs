//! What the end-to-end tests and the benchmarks share: one suite for every engine.
//!
//! [`networks::Networks`] is a Stable Diffusion pipeline as an engine computes it; [`parity`] holds one against what diffusers
//! computed, [`pipeline`] draws with it. [`cases`] are operations at random shapes, [`random`] networks with random weights, [`stepping`] times
//! one step of a UNet, [`world`] is the small world's base model.

pub mod cases;
pub mod family;
pub mod fixtures;
pub mod memory;
pub mod networks;
pub mod parity;
pub mod pipeline;
pub mod random;
pub mod stepping;
pub mod tensor;
pub mod world;
