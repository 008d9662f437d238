//! Studies with programs that copy a tiny pipeline and change a number of it, in place of training.

#![cfg(unix)]

mod ground;
mod reports;
mod resuming;
#[path = "../support/mod.rs"]
mod support;
mod wishes;
