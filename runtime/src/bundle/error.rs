//! Why a folder is not one that can be drawn with.

use crate::engine::GraphError;
use pleach_model::{error::Error as ConfigError, files, manifest, pipeline, schedule::ScheduleError};
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a folder is not one that can be drawn with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not a pipeline, or not all of one.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// It is a pipeline of checkpoints.
    #[error(
        "{0} is a diffusers checkpoint, and only ONNX is run: export it first with `pleach export {0} --out BUNDLE`",
        folder.display()
    )]
    Checkpoint {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest is wrong, or a file is not what it says.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A graph that is not opened.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A network without its configuration.
    #[error("{} is missing: it says what the network is", path.display())]
    NoConfig {
        /// Where it should be.
        path: PathBuf,
    },
    /// A network that is not supported.
    #[error("{}: {source}", path.display())]
    Config {
        /// The configuration.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A noise schedule that is not supported.
    #[error("{}: {source}", path.display())]
    Schedule {
        /// The configuration.
        path: PathBuf,
        /// What is wrong with it.
        source: ScheduleError,
    },
    /// An expert that the bundle does not have.
    #[error("{} has no expert {name:?}; it has: {}", folder.display(), if known.is_empty() { "one, without a name".to_owned() } else { known.join(", ") })]
    Expert {
        /// The bundle.
        folder: PathBuf,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
}

impl Error {
    /// Whether a file is not what its manifest says: a question of integrity, not of usage.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Manifest(error) if error.is_integrity())
    }
}
