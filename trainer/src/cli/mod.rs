//! The subcommands of `pleach-train`, one file each.

pub mod cache;
mod checkpoint;
pub mod concept_images;
mod concepts;
mod drawing;
pub mod erase;
pub mod finetune;
pub mod forget;
pub mod grid;
pub mod import_aptp;
mod model;
mod place;
pub mod pretrain;
pub mod probe;
pub mod prune;
pub mod report;
pub mod route;
mod runs;
mod source;
pub mod suppress;
mod watch;
pub mod world;
