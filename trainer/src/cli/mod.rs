//! The subcommands of `pleach-train`, one file each.

pub mod cache;
mod checkpoint;
pub mod finetune;
mod place;
pub mod pretrain;
mod watch;
pub mod world;
