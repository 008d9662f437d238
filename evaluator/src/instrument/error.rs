//! Every way in which an instrument can fail.

use crate::judge;
use pleach_model::{
    files::{self, Sha256},
    tokenizer,
};
use pleach_runtime::engine;
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. `name` is the instrument's.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The graph is refused or does not run.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The tokenizer cannot be read or fails.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// The judge cannot be opened or fails.
    #[error(transparent)]
    Judge(Box<judge::Error>),
    /// A description that is not one.
    #[error("{}: {reason}", path.display())]
    Description { path: PathBuf, reason: String },
    /// A name that is no built-in description's.
    #[error("there is no built-in instrument {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
    /// A description that contradicts itself.
    #[error("the description of {name}: {reason}")]
    Settings { name: String, reason: String },
    /// A file that is not the one that the description pins.
    #[error("{name}: {file} has the SHA-256 {found}, its description pins {expected}: it is another file, or damaged")]
    Pinned { name: String, file: String, found: Sha256, expected: Sha256 },
    /// The graph does not take or give what the description says.
    #[error("{name}: {file} {problem}")]
    Graph { name: String, file: String, problem: String },
    /// A safetensors file without the matrix that is wanted.
    #[error("{name}: {file} {problem}")]
    Weights { name: String, file: String, problem: String },
    /// A result that is not a finite number.
    #[error("{name}: what it gives for item {item} is not finite: it cannot be scored")]
    NotFinite { name: String, item: usize },
    /// A picture without pixels, or so narrow that nothing is left of it.
    #[error("{name}: a picture of {width} x {height} pixels cannot be brought to {side} pixels")]
    Size { name: String, width: u32, height: u32, side: u32 },
    /// An instrument for texts was shown a picture, or the other way round.
    #[error("{name} is of the kind {kind}, which does not look at {what}")]
    Wrong { name: String, kind: &'static str, what: &'static str },
}

impl From<judge::Error> for Error {
    fn from(error: judge::Error) -> Self {
        Self::Judge(Box::new(error))
    }
}

impl Error {
    /// Whether a file is not what it is pinned to be: a question of integrity, not of usage.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Pinned { .. } => true,
            Self::Engine(error) => error.is_integrity(),
            _ => false,
        }
    }
}
