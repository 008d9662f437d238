//! Judges what a bundle generates.
//!
//! - [`document`]: what an audit found, as types: `audit.json`.
//! - [`gate`]: what is demanded of a model, and the verdict.
//! - [`stats`]: how sure a count is, whether two models differ, and what many comparisons at once leave of it.
//! - [`judge`]: whether pictures show what was asked for.
//! - [`frechet`]: the distance between two sets of features, of which FID is the one over Inception's.

pub mod document;
mod error;
pub mod frechet;
pub mod gate;
pub mod judge;
pub mod stats;

pub use error::{Error, Result};
