//! What may be written on a device to save time and memory; losing it costs time only.
//!
//! - `graphs/`: networks as ONNX Runtime has optimised them for this machine, see [`entry`];
//! - `hashes/`: SHA-256 of large files, see [`HostCache::digest`].
//!
//! The folder belongs to the user, and what lies in it is trusted as the user's other files are: a graph is opened only if it is
//! what its header says, which notices damage and mistakes, not somebody who may write there and wants to deceive.

mod align;
mod entry;
mod hashes;
mod key;
mod limit;
mod mapped;
#[cfg(test)]
mod tests;

pub(super) use align::align;
pub(super) use entry::{Entry, GRAPH, WEIGHTS};
pub(super) use key::Key;
pub use key::cpu_features;
pub(super) use mapped::free_zero_points;

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "PLEACH_CACHE";

/// How large the cache may grow unless told otherwise: 20 GB.
pub const CACHE_LIMIT: u64 = 20_000_000_000;

/// The smallest graph, with its weights, that is worth an entry: smaller ones are optimised in the time it takes to look.
const SMALLEST: u64 = 32_000_000;

/// The host cache, or its absence.
#[derive(Clone, Debug, Default)]
pub struct HostCache(Option<Arc<Settings>>);

#[derive(Clone, Debug)]
struct Settings {
    folder: PathBuf,
    limit: u64,
    smallest: u64,
    maps_all: bool,
}

impl HostCache {
    /// No cache: nothing is written, everything is computed anew.
    pub fn off() -> Self {
        Self(None)
    }

    /// The cache in `folder`, made when it is first needed, and kept under `limit` bytes by removing what was not used for
    /// longest.
    pub fn at(folder: impl Into<PathBuf>, limit: u64) -> Self {
        Self(Some(Arc::new(Settings { folder: folder.into(), limit, smallest: SMALLEST, maps_all: false })))
    }

    /// The user's cache: in `$PLEACH_CACHE`, or `$XDG_CACHE_HOME/pleach`, or `~/.cache/pleach`; off where none of these is known.
    pub fn of_user(limit: u64) -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set(CACHE_VARIABLE)
            .or_else(|| Some(set("XDG_CACHE_HOME")?.join("pleach")))
            .or_else(|| Some(env::home_dir()?.join(".cache").join("pleach")));
        folder.map_or_else(Self::off, |folder| Self::at(folder, limit))
    }

    /// Its folder; none if it is off.
    pub fn folder(&self) -> Option<&Path> {
        self.0.as_ref().map(|settings| settings.folder.as_path())
    }

    /// How large it may grow, in bytes.
    pub fn limit(&self) -> u64 {
        self.0.as_ref().map_or(0, |settings| settings.limit)
    }

    /// The same cache, which takes graphs from `bytes` on, weights included. Unless told otherwise, 32 MB are worth an entry.
    #[must_use]
    pub fn taking_from(mut self, bytes: u64) -> Self {
        if let Some(settings) = &mut self.0 {
            Arc::make_mut(settings).smallest = bytes;
        }
        self
    }

    /// The same cache, from whose files the weights of 8-bit convolutions are mapped as all others are. Otherwise ONNX Runtime packs them at every
    /// start for its fastest kernels, into memory of the process's own. What is computed is the same, more slowly.
    #[must_use]
    pub fn mapping_all(mut self) -> Self {
        if let Some(settings) = &mut self.0 {
            Arc::make_mut(settings).maps_all = true;
        }
        self
    }

    /// Whether the weights of 8-bit convolutions are mapped, too.
    pub(super) fn maps_all(&self) -> bool {
        self.0.as_ref().is_some_and(|settings| settings.maps_all)
    }

    /// Whether a graph of so many bytes, weights included, is worth an entry and has room.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        self.0.as_ref().is_some_and(|settings| (settings.smallest..=settings.limit).contains(&bytes))
    }
}
