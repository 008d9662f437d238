//! Every way in which a protocol can fail.

use pleach_model::files;
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// Not text.
    #[error("{}: this is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// Neither a preset nor a path.
    #[error("there is no protocol {id:?}; there are {}, and files by their path, such as ./{id}.toml", known.join(", "))]
    Unknown {
        /// What was asked for.
        id: String,
        /// The presets.
        known: Vec<String>,
    },
    /// Not TOML, or not what a protocol consists of.
    #[error("{name}: {reason}")]
    Toml {
        /// Where the text is from.
        name: String,
        /// Where and what is wrong.
        reason: String,
    },
    /// A value that cannot be.
    #[error("{name}: {reason}")]
    Invalid {
        /// Where the text is from.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A row without what the protocol takes from rows.
    #[error("{file}, row {row}: the protocol {protocol} takes the {what} from the row, which has none")]
    RowLacks {
        /// The protocol.
        protocol: String,
        /// The file of the prompts.
        file: String,
        /// The row, from 0.
        row: usize,
        /// `seed` or `guidance`.
        what: &'static str,
    },
    /// Another file than the strict protocol is about.
    #[error(
        "the protocol {protocol} is strict, and {file} is none of its files: it has {rows} rows and the hash {sha256}"
    )]
    OtherFile {
        /// The protocol.
        protocol: String,
        /// The file of the prompts.
        file: String,
        /// Its rows.
        rows: usize,
        /// Its hash.
        sha256: String,
    },
}
