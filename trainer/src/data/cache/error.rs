//! Every way in which a cache can be wrong, or not be made.

use super::{Part, SCHEMA};
use crate::{data, encoders};
use pleach_model::{checkpoint, files, pipeline};
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A shard cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The weights of an encoder are not there.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The data set is wrong.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// An encoder fails.
    #[error(transparent)]
    Encoder(#[from] encoders::Error),
    /// The manifest is not as it should be.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Which field, and what is wrong with it.
        reason: String,
    },
    /// The manifest was written by a later version.
    #[error("{}: schema {schema} is newer than this version reads ({SCHEMA}): update pleach", path.display())]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its schema.
        schema: u64,
    },
    /// The cache was made of something else.
    #[error(
        "the cache {} was made with another {}: make it again with `pleach-train cache --overwrite`",
        folder.display(),
        parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", another ")
    )]
    Stale {
        /// The cache.
        folder: PathBuf,
        /// What is another one.
        parts: Vec<Part>,
    },
    /// A shard is not as the manifest says.
    #[error("{} is damaged or was changed: it {reason}", path.display())]
    Shard {
        /// The shard.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A picture or a caption is not in the cache.
    #[error("the cache {} has no {tensor} of number {row}", folder.display())]
    NoRow {
        /// The cache.
        folder: PathBuf,
        /// What was looked for.
        tensor: &'static str,
        /// Its number.
        row: usize,
    },
    /// Mirrored pictures are asked for and were not cached.
    #[error("the cache {} holds no mirrored pictures: make it again with `pleach-train cache --flip`", folder.display())]
    NoFlipped {
        /// The cache.
        folder: PathBuf,
    },
    /// The autoencoder cannot encode squares of this side.
    #[error("the resolution {resolution} is not a multiple of {factor}, by which the autoencoder shrinks pictures")]
    Resolution {
        /// The side.
        resolution: usize,
        /// Picture sides are this many times as long as latent sides.
        factor: usize,
    },
    /// A number that the precision cannot hold.
    #[error("the {tensor} of {of} are not finite in {precision}: use --precision f32, or look at the weights")]
    NotFinite {
        /// What was computed.
        tensor: &'static str,
        /// Of which picture or caption.
        of: String,
        /// The precision.
        precision: pleach_model::tensor::Dtype,
    },
    /// Numbers are cached in two precisions only.
    #[error("a cache holds f16 or f32, not {0}")]
    Precision(pleach_model::tensor::Dtype),
    /// Another process makes the same cache.
    #[error("another process is writing {}: wait for it, or choose another folder", folder.display())]
    Busy {
        /// The unfinished cache.
        folder: PathBuf,
    },
    /// Interrupted. What was computed is kept.
    #[error("interrupted: the same command goes on where it stopped")]
    Interrupted,
}
