//! Judges what a bundle generates.
//!
//! - [`stats`]: how sure a count is, whether two models differ, and what many comparisons at once leave of it.
//! - [`frechet`]: the distance between two sets of features, of which FID is the one over Inception's.

mod error;
pub mod frechet;
pub mod stats;

pub use error::{Error, Result};
