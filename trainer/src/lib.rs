//! Learns, prunes and suppresses with libtorch.

pub mod cli;
pub mod data;
pub mod diffusion;
pub mod doctor;
pub mod encoders;
pub mod finetune;
pub mod learn;
pub mod libtorch;
pub mod native;
pub mod pretrain;
pub mod probe;
pub mod prune;
pub mod random;
pub mod run;
pub mod sampling;
pub mod suppress;
#[cfg(test)]
mod testing;
pub mod torch;
pub mod world;
