//! Why a study does not go on.

use crate::{instrument, protocol, report, run, score};
use pleach_model::files;
use std::{io, path::PathBuf};

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a study does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipe that asks for what cannot be done.
    #[error("the study's recipe: {0}")]
    Asked(String),
    /// A name in braces that stands for nothing.
    #[error("{at}: {{{name}}} stands for nothing; what stands for something here: {known}")]
    Placeholder {
        /// Where it is.
        at: String,
        /// The name.
        name: String,
        /// Names that could have been meant.
        known: String,
    },
    /// A program that cannot be found.
    #[error("{program} is not in {}: build it, or say with --programs where it is", folder.display())]
    Program {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A program that cannot be started.
    #[error("cannot run {}: {source}", program.display())]
    Spawn {
        /// Its file.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A command that did not end well.
    #[error("{program} ended with {status}; its log: {}\n{tail}", log.display())]
    Command {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The log's end.
        tail: String,
    },
    /// A command that made nothing.
    #[error("{program} ended well and made no {}", out.display())]
    Nothing {
        /// The program.
        program: &'static str,
        /// What it should have made.
        out: PathBuf,
    },
    /// A file that cannot be moved, opened, locked or removed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the study that is no such JSON.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A step that failed before, in this run.
    #[error("a step that it needs failed: {0}")]
    Needed(String),
    /// Stopped: the same command goes on.
    #[error("stopped; the same command goes on")]
    Stopped,
    /// A file.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A protocol.
    #[error(transparent)]
    Protocol(#[from] protocol::Error),
    /// A run of an audit.
    #[error(transparent)]
    Run(Box<run::Error>),
    /// An instrument.
    #[error(transparent)]
    Instrument(#[from] instrument::Error),
    /// Numbers of an audit.
    #[error(transparent)]
    Score(#[from] score::Error),
    /// Numbers that no statistic can be made of.
    #[error(transparent)]
    Statistics(#[from] crate::Error),
    /// A report.
    #[error(transparent)]
    Report(#[from] report::Error),
}

impl From<run::Error> for Error {
    fn from(error: run::Error) -> Self {
        match error {
            run::Error::Stopped => Self::Stopped,
            other => Self::Run(Box::new(other)),
        }
    }
}
