//! The subcommands of `pleach-train`, one file each.

pub mod cache;
mod checkpoint;
pub mod finetune;
mod place;
pub mod pretrain;
pub mod prune;
mod source;
mod watch;
pub mod world;
