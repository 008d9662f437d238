//! The networks, written once; noise schedules, samplers and file formats.

pub mod backend;
pub mod error;
pub mod infer;
pub mod op;
pub mod params;
pub mod shape;
pub mod sites;
pub mod tensor;
pub mod trace;
