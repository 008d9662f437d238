//! The subcommands of `pleach-train`, one file each.

pub mod cache;
mod checkpoint;
pub mod finetune;
pub mod pretrain;
mod watch;
pub mod world;
