//! The subcommands of `pleach-train`, one file each.

pub mod cache;
mod checkpoint;
pub mod finetune;
pub mod import_aptp;
mod place;
pub mod pretrain;
pub mod prune;
pub mod report;
pub mod route;
mod source;
mod watch;
pub mod world;
