//! Audits of tiny pipelines, through the program itself: killed, stopped, divided, tampered with, published.

#![cfg(unix)]

mod again;
mod broken;
mod disk;
#[path = "../support/mod.rs"]
mod graphs;
mod killed;
mod measures;
mod order;
mod program;
mod published;
mod shards;
mod stopped;
mod world;

use program::audit;
