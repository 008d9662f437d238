//! The networks, written once; noise schedules, samplers and file formats.

pub mod tensor;
