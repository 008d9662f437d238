//! Every way in which a judgement can fail.

use pleach_model::{error, files, pipeline};
use pleach_runtime::{classifier, engine, png};
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The classifier's configuration cannot be read.
    #[error(transparent)]
    Folder(#[from] pipeline::Error),
    /// The classifier's configuration is not one.
    #[error(transparent)]
    Network(#[from] error::Error),
    /// The classifier does not run.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The classifier's graph does not give what its configuration says.
    #[error("{}: the graph gives {found}, the configuration beside it expects {expected}", folder.display())]
    Graph {
        /// The classifier's folder.
        folder: PathBuf,
        /// What the configuration says.
        expected: String,
        /// What the graph declares or gives.
        found: String,
    },
    /// A line of the labels is not one.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A label that the classifier does not know.
    #[error("{}, line {line}: {head} {class:?} is asked for, and the classifier distinguishes {}", path.display(), known.join(", "))]
    Class {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The head.
        head: String,
        /// The class.
        class: String,
        /// The classes of the head.
        known: Vec<String>,
    },
    /// A picture cannot be decoded.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        source: image::ImageError,
    },
    /// A picture's text cannot be read.
    #[error(transparent)]
    Png(#[from] png::Error),
    /// A picture that no line belongs to.
    #[error("{}: {} neither names this picture nor has the prompt that it carries", picture.display(), truth.display())]
    Unasked {
        /// The picture.
        picture: PathBuf,
        /// The labels.
        truth: PathBuf,
    },
    /// No statistic can be made.
    #[error(transparent)]
    Statistics(#[from] crate::Error),
}

impl From<classifier::Error> for Error {
    fn from(error: classifier::Error) -> Self {
        match error {
            classifier::Error::Folder(error) => Self::Folder(error),
            classifier::Error::Config(error) => Self::Network(error),
            classifier::Error::Engine(error) => Self::Engine(error),
            classifier::Error::Graph { folder, expected, found } => Self::Graph { folder, expected, found },
        }
    }
}
