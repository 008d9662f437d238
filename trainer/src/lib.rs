//! Learns, prunes and suppresses with libtorch.

pub mod cli;
pub mod data;
pub mod doctor;
pub mod encoders;
pub mod libtorch;
pub mod random;
pub mod torch;
pub mod world;
