//! Reading a tokenizer's files, and what can be wrong with them.

use serde::de::DeserializeOwned;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A tokenizer file larger than this is not a tokenizer: the largest vocabularies in use take 20 MB.
const MAX_BYTES: u64 = 64 << 20;

/// Why a tokenizer could not be opened or a text not encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither form of a CLIP tokenizer is there.
    #[error("{folder}: no tokenizer here: expected tokenizer.json, or vocab.json with merges.txt")]
    Missing {
        /// The folder searched.
        folder: PathBuf,
    },
    /// A file could not be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is too large to be what its name says.
    #[error("{file}: {bytes} bytes are more than any tokenizer needs (at most {MAX_BYTES})")]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A file does not hold what its name says.
    #[error("{file}: {reason}")]
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

/// The text of a file of bounded size.
pub(super) fn read_text(file: &Path) -> Result<String> {
    let failed = |source| Error::Read { file: file.into(), source };
    let bytes = fs::metadata(file).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(Error::TooLarge { file: file.into(), bytes });
    }
    fs::read_to_string(file).map_err(failed)
}

/// A JSON file of bounded size.
pub(super) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T> {
    serde_json::from_str(&read_text(file)?).map_err(|e| Error::invalid(file, e))
}

/// A JSON file that need not exist.
pub(super) fn read_optional<T: DeserializeOwned + Default>(file: &Path) -> Result<T> {
    if file.is_file() { read_json(file) } else { Ok(T::default()) }
}
