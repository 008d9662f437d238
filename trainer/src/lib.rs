//! Learns, prunes and suppresses with libtorch.

pub mod doctor;
pub mod libtorch;
pub mod torch;
