//! Reading a tokenizer's files, and what can be wrong with them.

use crate::files::read_bounded;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A tokenizer file larger than this is not a tokenizer: the largest vocabularies in use take 20 MB.
const MAX_BYTES: u64 = 64_000_000;

/// Why a tokenizer could not be opened or a text not encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither form of a CLIP tokenizer is there.
    #[error("{}: no tokenizer here: expected tokenizer.json, or vocab.json with merges.txt", folder.display())]
    Missing {
        /// The folder searched.
        folder: PathBuf,
    },
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] crate::files::Error),
    /// A file does not hold what its name says.
    #[error("{}: {reason}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer failed on a text.
    #[error("the tokenizer failed: {0}")]
    Encode(tokenizers::Error),
}

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `file` is wrong for `reason`.
    pub(super) fn invalid(file: &Path, reason: impl ToString) -> Self {
        Self::Invalid { file: file.into(), reason: reason.to_string() }
    }
}

/// A text file of bounded size.
pub(super) fn read_text(file: &Path) -> Result<String> {
    String::from_utf8(read_bounded(file, MAX_BYTES)?).map_err(|e| Error::invalid(file, e))
}

/// A JSON file of bounded size.
pub(super) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T> {
    serde_json::from_slice(&read_bounded(file, MAX_BYTES)?).map_err(|e| Error::invalid(file, e))
}

/// A JSON file that need not exist.
pub(super) fn read_optional<T: DeserializeOwned + Default>(file: &Path) -> Result<T> {
    if file.is_file() { read_json(file) } else { Ok(T::default()) }
}
