//! Every way in which a judgement can fail.

use pleach_model::files;
use pleach_runtime::{classifier, png};
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The classifier cannot be opened, or does not run.
    #[error(transparent)]
    Classifier(#[from] classifier::Error),
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
