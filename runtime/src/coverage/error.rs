//! Why a bundle's coverage cannot be told.

use super::Target;
use crate::{bundle, engine, onnx::DecodeError, pipeline::SizeError};
use std::{io, path::PathBuf};

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a bundle's coverage cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle is not one, or not all of one.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// A graph is refused, by the checks or by ONNX Runtime.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A size that the bundle cannot draw.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The rules that are built in do not read.
    #[error("the built-in rules of {target} are damaged: {source}")]
    Rules {
        /// Whose rules.
        target: Target,
        /// What is wrong with them.
        source: serde_json::Error,
    },
    /// A graph that ONNX Runtime wrote does not read.
    #[error("{network}: what ONNX Runtime wrote is not read: {source}")]
    Decode {
        /// The graph's file.
        network: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A temporary file, or a weight file that holds a shape.
    #[error("cannot use {}: {source}; TMPDIR names the folder of temporary files", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// Whether a file is not what its manifest says: a question of integrity, not of usage.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Bundle(error) => error.is_integrity(),
            Self::Engine(error) => error.is_integrity(),
            _ => false,
        }
    }
}
