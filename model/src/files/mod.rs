//! Files that appear whole or not at all, what they hash to, and where a name may lead.
//!
//! A writer fills a temporary sibling ([`AtomicFile`], [`AtomicFolder`]); only when it says so is that synced to the disk and
//! renamed into place. A reader trusts no name that stands in a file: [`resolve_inside`] follows it only as far as the folder
//! it belongs to.

mod atomic;
mod hash;
#[cfg(test)]
mod tests;

pub use atomic::{AtomicFile, AtomicFolder, Overwrite, can_write, write};
pub use hash::{Digest, HashingWriter, ParseSha256Error, Sha256, digest_file};

use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    fmt, fs,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a file or a folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder cannot be made, written into or renamed.
    #[error("cannot write into the folder {}: {source}", folder.display())]
    Folder {
        /// The folder that was to be written into.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file as the user named it, not its temporary sibling.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that is read at once is larger than anything of its kind.
    #[error("{} is {}, more than the {} that such a file may have", path.display(), HumanSize(*bytes), HumanSize(*limit))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size accepted.
        limit: u64,
    },
    /// Something that is not a regular file stands where one is expected.
    #[error("{} is not a file", path.display())]
    NotAFile {
        /// What was found.
        path: PathBuf,
    },
    /// A file stands where a folder is to be written.
    #[error("{} is a file, not a folder: choose another place", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The folder to be written exists, is not empty and may not be replaced.
    #[error("the folder {} is not empty: choose another or ask to overwrite it", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder to be replaced is not one that this project wrote.
    #[error("the folder {} is not empty and holds no {mark}: it is not overwritten, choose another", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// The file that every folder of the kind holds.
        mark: &'static str,
    },
    /// A name in a file is not a plain path inside its folder.
    #[error("{name:?} is not a plain path inside {}", folder.display())]
    NotPlain {
        /// The name as it was read.
        name: String,
        /// The folder that it must stay inside.
        folder: PathBuf,
    },
    /// A link leads out of the folder that it lies in.
    #[error("{} leads to {}, outside of {}", path.display(), target.display(), folder.display())]
    Outside {
        /// The link, or a file behind one.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
        /// The folder that it must stay inside.
        folder: PathBuf,
    },
}

/// Reads a whole file that should be small (a config, a manifest, a tokenizer).
///
/// # Errors
/// [`Error::Read`], [`Error::NotAFile`], and [`Error::TooLarge`] above `limit` bytes.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    if metadata.len() > limit {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: metadata.len(), limit });
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes)
}

/// What a JSON object says. Unlike plain serde it takes no list, which would pass for an object whose keys are left out.
///
/// # Errors
/// Text that is not JSON, not an object, or an object of another kind.
pub fn json_object<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    T::deserialize(Value::Object(serde_json::from_slice(json)?))
}

/// Whether `name` is one plain file name on every system: no separator, no drive, no `.` or `..`, no control character.
pub fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(|c: char| matches!(c, '/' | '\\' | ':') || c.is_control())
}

/// Whether `path` is a chain of plain names joined by `/`.
pub fn is_plain_path(path: &str) -> bool {
    path.split('/').all(is_plain_name)
}

/// The regular file that the name `path` (found in some file of `folder`) stands for, with every link resolved.
///
/// Links may lead to other places inside `folder`. They may also lead into the `blobs` folder of the same repository where
/// `folder` is a snapshot in a Hugging Face cache (`models--ORG--NAME/snapshots/COMMIT/...`), whose files are links into it.
///
/// # Errors
/// [`Error::NotPlain`], [`Error::Read`], [`Error::NotAFile`], [`Error::Outside`].
pub fn resolve_inside(folder: &Path, path: &str) -> Result<PathBuf> {
    if !is_plain_path(path) {
        return Err(Error::NotPlain { name: path.to_owned(), folder: folder.to_owned() });
    }
    let path = folder.join(path);
    let canonical =
        |path: &Path| fs::canonicalize(path).map_err(|source| Error::Read { path: path.to_owned(), source });
    let (home, target) = (canonical(folder)?, canonical(&path)?);
    let is_blob = || cache_blobs(&home).is_some_and(|blobs| target.parent() == Some(&blobs));
    if !target.starts_with(&home) && !is_blob() {
        return Err(Error::Outside { path, target, folder: folder.to_owned() });
    }
    if !target.is_file() {
        return Err(Error::NotAFile { path });
    }
    Ok(target)
}

/// The `blobs` folder of the cached Hugging Face repository that `folder` is a snapshot of, or lies in a snapshot of.
fn cache_blobs(folder: &Path) -> Option<PathBuf> {
    let snapshots = folder.ancestors().skip(1).find(|ancestor| ancestor.ends_with("snapshots"))?;
    let repository = snapshots.parent()?;
    repository.file_name()?.to_str()?.starts_with("models--").then(|| repository.join("blobs"))
}

/// A number of bytes as people read it: decimal units and three digits, as Hugging Face shows file sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanSize(pub u64);

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1e3;
        let mut unit = "kB";
        for larger in ["MB", "GB", "TB", "PB", "EB"] {
            if value < 999.5 {
                break;
            }
            (value, unit) = (value / 1e3, larger);
        }
        let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
        write!(f, "{value:.decimals$} {unit}")
    }
}
