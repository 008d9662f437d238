//! Every way in which a run can fail.

use crate::{instrument, protocol, suite};
use pleach_console::RecipeError;
use pleach_model::{files, manifest};
use pleach_runtime::{args, bundle, engine, pipeline, png};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The recipe cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The recipe asks for what cannot be done.
    #[error("the recipe: {0}")]
    Asked(String),
    /// Prompts cannot be read.
    #[error(transparent)]
    Suite(Box<suite::Error>),
    /// A protocol cannot be read or does not fit.
    #[error(transparent)]
    Protocol(#[from] protocol::Error),
    /// A bundle cannot be opened.
    #[error(transparent)]
    Bundle(Box<bundle::Error>),
    /// A bundle that a recipe names cannot be opened or fetched.
    #[error(transparent)]
    Open(Box<args::OpenError>),
    /// A manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// A bundle does not draw.
    #[error(transparent)]
    Pipeline(Box<pipeline::Error>),
    /// ONNX Runtime does not start.
    #[error(transparent)]
    Engine(Box<engine::Error>),
    /// An instrument cannot be opened, or fails.
    #[error(transparent)]
    Instrument(Box<instrument::Error>),
    /// A picture cannot be read.
    #[error(transparent)]
    Png(#[from] png::Error),
    /// A file of the run is not JSON of its kind.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The run's plan is of a later version.
    #[error("{}: schema {schema} is newer than this version reads ({known}): update pleach", path.display())]
    Newer {
        /// The plan.
        path: PathBuf,
        /// Its schema.
        schema: u64,
        /// The newest that is known.
        known: u64,
    },
    /// Something is not what the plan says.
    #[error("{what} is not what the plan was made with: {found}, and the plan says {planned}")]
    Changed {
        /// What.
        what: String,
        /// What the plan says.
        planned: String,
        /// What was found.
        found: String,
    },
    /// A record of a journal is not what its seal says, or not one that can follow.
    #[error("{}, record {line}: {reason}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The journals of a run do not belong together.
    #[error("{}: {reason}", path.display())]
    Shards {
        /// The run's folder, or a journal.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something else has to be done before.
    #[error("{}: {reason}", path.display())]
    Unfinished {
        /// The run's folder, or a journal.
        path: PathBuf,
        /// What is left.
        reason: String,
    },
    /// Another process carries the same part of the run out.
    #[error("{} is being written by another process: wait for it, or stop it", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// A picture of the store is not there, or another one.
    #[error("{}: {reason}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Numbers that no statistic can be made of.
    #[error(transparent)]
    Statistics(#[from] crate::Error),
    /// The work was stopped.
    #[error("stopped")]
    Stopped,
}

/// Errors that are large stand in boxes.
macro_rules! boxed {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        })*
    };
}

boxed!(
    Bundle(bundle::Error),
    Engine(engine::Error),
    Instrument(instrument::Error),
    Open(args::OpenError),
    Pipeline(pipeline::Error),
    Suite(suite::Error),
);

impl Error {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        files::Error::Write { path: path.to_owned(), source }.into()
    }

    /// Whether a file is not what its hash, seal or plan says.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Changed { .. }
            | Self::Journal { .. }
            | Self::Shards { .. }
            | Self::Picture { .. }
            | Self::Json { .. } => true,
            Self::Bundle(error) => error.is_integrity(),
            Self::Open(error) => match &**error {
                args::OpenError::Bundle(error) => error.is_integrity(),
                args::OpenError::Hub(error) => error.is_integrity(),
            },
            Self::Manifest(error) => error.is_integrity(),
            Self::Pipeline(error) => error.is_integrity(),
            Self::Engine(error) => error.is_integrity(),
            Self::Instrument(error) => error.is_integrity(),
            _ => false,
        }
    }

    /// Whether the same command goes on later: it was stopped, something else has to be done before, or the disk is full.
    pub fn is_resumable(&self) -> bool {
        match self {
            Self::Stopped | Self::Unfinished { .. } => true,
            Self::File(error) => is_full(error),
            _ => false,
        }
    }
}

/// Whether there is no room for a file.
pub fn is_full(error: &files::Error) -> bool {
    let (files::Error::Write { source, .. } | files::Error::Folder { source, .. }) = error else { return false };
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
