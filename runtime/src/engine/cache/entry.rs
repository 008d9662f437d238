//! Optimised graphs, each in a folder that is named by the hash of its key.
//!
//! A folder holds the graph, its weights in the layouts that the processor wants, and a header with the key and the hashes of both.
//! It appears whole (written beside, synced, renamed) and is believed only if everything in it is what the header says; the hash of
//! the weights, which are large, is remembered as that of any large file.

use super::{HostCache, key::Key};
use crate::engine::Cancellation;
use pleach_model::files::{self, AtomicFolder, Digest, Overwrite, Sha256};
use serde::{Deserialize, Serialize};
use std::{
    error::Error,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

/// The optimised graph.
pub(in crate::engine) const GRAPH: &str = "graph.onnx";
/// Its weights.
pub(in crate::engine) const WEIGHTS: &str = "graph.onnx_data";
/// Says whose the others are and what they must be.
pub(super) const HEADER: &str = "entry.json";

/// The largest header, and the largest graph; that one holds no weights.
const LIMITS: [u64; 2] = [1 << 20, 1 << 28];

/// How long another process is left alone before it is looked again whether it is done.
const PATIENCE: Duration = Duration::from_millis(50);

/// An optimised graph that can be opened.
#[derive(Debug)]
pub(in crate::engine) struct Entry {
    /// Its bytes.
    pub graph: Vec<u8>,
    /// The folder that its weights lie in.
    pub folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: String,
    graph: Stored,
    weights: Option<Stored>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Stored {
    bytes: u64,
    sha256: Sha256,
}

impl From<Digest> for Stored {
    fn from(Digest { bytes, sha256 }: Digest) -> Self {
        Self { bytes, sha256 }
    }
}

/// Holds other processes off while an entry is made.
#[derive(Debug)]
pub(in crate::engine) struct Lock {
    _file: File,
}

pub(super) type Problem = Box<dyn Error + Send + Sync>;

impl HostCache {
    /// The folder of the optimised graphs.
    pub(super) fn graphs(&self) -> Option<PathBuf> {
        Some(self.folder()?.join("graphs"))
    }

    fn place(&self, key: &Key<'_>) -> Result<(PathBuf, String), Problem> {
        let text = key.text()?;
        let graphs = self.graphs().ok_or("there is no cache")?;
        Ok((graphs.join(Sha256::of(text.as_bytes()).to_string()), text))
    }

    /// The optimised graph for `key`. One that cannot be believed is removed.
    pub(in crate::engine) fn find(&self, key: &Key<'_>) -> Option<Entry> {
        let (folder, text) = self.place(key).ok()?;
        if !folder.exists() {
            return None;
        }
        match self.read(&folder, &text) {
            Ok(entry) => {
                // The time of its last use; a cache that cannot be written to is still good to read.
                let _ = File::options()
                    .append(true)
                    .open(folder.join(HEADER))
                    .and_then(|file| file.set_modified(SystemTime::now()));
                Some(entry)
            }
            Err(problem) => {
                tracing::warn!("the cached graph in {} is made anew: {problem}", folder.display());
                self.remove(&folder);
                None
            }
        }
    }

    fn read(&self, folder: &Path, key: &str) -> Result<Entry, Problem> {
        let plain = |name: &str| {
            let path = folder.join(name);
            if fs::symlink_metadata(&path)?.is_file() {
                Ok(path)
            } else {
                Err(Problem::from(format!("{name} is no file")))
            }
        };
        let header: Header = serde_json::from_slice(&files::read_bounded(&plain(HEADER)?, LIMITS[0])?)?;
        if header.key != key {
            return Err("it was made for something else".into());
        }
        let graph = files::read_bounded(&plain(GRAPH)?, LIMITS[1])?;
        if header.graph != (Stored { bytes: graph.len() as u64, sha256: Sha256::of(&graph) }) {
            return Err(format!("{GRAPH} has changed").into());
        }
        if let Some(weights) = header.weights {
            let path = plain(WEIGHTS)?;
            if path.metadata()?.len() != weights.bytes || Stored::from(self.digest(&path)?) != weights {
                return Err(format!("{WEIGHTS} has changed").into());
            }
        }
        Ok(Entry { graph, folder: folder.to_owned() })
    }

    /// Makes the optimised graph for `key`: `write` writes [`GRAPH`], and [`WEIGHTS`] if it has any, into a folder.
    pub(in crate::engine) fn store<E: Into<Problem>>(
        &self,
        key: &Key<'_>,
        write: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Entry, Problem> {
        let (folder, text) = self.place(key)?;
        let partial = AtomicFolder::create(&folder, Overwrite::Never)?;
        write(partial.path()).map_err(Into::into)?;
        let graph = files::digest_file(&partial.path().join(GRAPH))?;
        let weights = partial.path().join(WEIGHTS);
        let weights = weights.exists().then(|| files::digest_file(&weights)).transpose()?;
        let header = Header { key: text.clone(), graph: graph.into(), weights: weights.map(Into::into) };
        fs::write(partial.path().join(HEADER), serde_json::to_vec_pretty(&header)?)?;
        let folder = partial.persist()?;
        if let Some(weights) = weights {
            // Nobody else has seen the file yet, so it is what was hashed.
            self.remember(&folder.join(WEIGHTS), weights);
        }
        self.trim(&folder);
        self.read(&folder, &text)
    }

    /// Removes the optimised graph for `key`.
    pub(in crate::engine) fn forget(&self, key: &Key<'_>) {
        if let Ok((folder, _)) = self.place(key) {
            self.remove(&folder);
        }
    }

    /// Waits until no other process makes an entry: two would need the memory of both, for one result. None without a cache that
    /// can be locked, or where it was cancelled.
    pub(in crate::engine) fn lock(&self, cancellation: Option<&Cancellation>) -> Option<Lock> {
        let folder = self.folder()?;
        fs::create_dir_all(folder).ok()?;
        let file = File::options().create(true).append(true).open(folder.join("lock")).ok()?;
        let mut waiting = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if cancellation.is_none_or(|switch| !switch.is_cancelled()) => {
                    if !waiting {
                        tracing::info!("another process writes to the cache: waiting until it is done");
                    }
                    waiting = true;
                    thread::sleep(PATIENCE);
                }
                Err(_) => return None,
            }
        }
    }
}
