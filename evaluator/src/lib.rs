//! Judges what a bundle generates.
//!
//! - [`document`]: what an audit found, as types: `audit.json`.
//! - [`gate`]: what is demanded of a model, and the verdict.
//! - [`stats`]: how sure a count is, whether two models differ, and what many comparisons at once leave of it.
//! - [`judge`]: whether pictures show what was asked for.
//! - [`instrument`]: detectors, classifiers and embeddings that look at pictures or read texts.
//! - [`decode`]: files to pictures, within limits.
//! - [`resize`]: resizing as Pillow, OpenCV and PyTorch do it, which instruments are defined with.
//! - [`suite`]: prompt sets in every form that they are published in.
//! - [`protocol`]: how a suite is drawn and what is measured on the pictures.
//! - [`run`]: the plan of an audit, and carrying it out.
//! - [`score`]: from what was drawn and seen to metrics.
//! - [`report`]: what an audit found, for people and for machines.
//! - [`study`]: methods beside each other: training, exporting and auditing a matrix of cells.
//! - [`frechet`]: the distance between two sets of features, of which FID is the one over Inception's.
//! - [`kid`]: the kernel distance between them.
//! - [`features`]: cosines, CLIP score, CP score.

pub mod decode;
pub mod document;
mod error;
pub mod features;
pub mod frechet;
pub mod gate;
pub mod instrument;
pub mod judge;
pub mod kid;
pub mod protocol;
pub mod report;
pub mod resize;
pub mod run;
pub mod score;
pub mod stats;
pub mod study;
pub mod suite;

pub use error::{Error, Result};
