//! What may be written on a device to save time: losing it costs nothing else.

mod hashes;

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "PLEACH_CACHE";

/// How large the cache may grow unless told otherwise: 20 GB.
pub const CACHE_LIMIT: u64 = 20_000_000_000;

/// The host cache, or its absence.
#[derive(Clone, Debug, Default)]
pub struct HostCache(Option<Arc<Settings>>);

#[derive(Debug)]
struct Settings {
    folder: PathBuf,
    limit: u64,
}

impl HostCache {
    /// No cache: nothing is written, everything is computed anew.
    pub fn off() -> Self {
        Self(None)
    }

    /// The cache in `folder`, made when it is first needed, and kept under `limit` bytes by removing what was not used for
    /// longest.
    pub fn at(folder: impl Into<PathBuf>, limit: u64) -> Self {
        Self(Some(Arc::new(Settings { folder: folder.into(), limit })))
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
}
