//! Keeping the cache small.

use super::{HostCache, entry::HEADER};
use pleach_model::files::Sha256;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How old something unfinished must be before it is taken for the remains of a process that died.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// An optimised graph on the disk.
struct Occupant {
    folder: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl HostCache {
    /// Bytes that the cache takes up.
    pub fn size(&self) -> u64 {
        self.folder().map_or(0, |folder| size_of(folder).unwrap_or_default())
    }

    /// Removes what was not used for longest until the limit is kept, except for `keep`, and what dead processes left behind.
    pub(super) fn trim(&self, keep: &Path) {
        let Some(entries) = self.graphs().and_then(|graphs| fs::read_dir(graphs).ok()) else { return };
        let mut occupants = Vec::new();
        for folder in entries.flatten().map(|entry| entry.path()) {
            let is_entry = folder.file_name().and_then(|name| name.to_str()?.parse::<Sha256>().ok()).is_some();
            let used = modified(&folder.join(HEADER)).or_else(|| modified(&folder)).unwrap_or(SystemTime::UNIX_EPOCH);
            if is_entry {
                let bytes = size_of(&folder).unwrap_or_default();
                occupants.push(Occupant { folder, bytes, used });
            } else if used.elapsed().is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_dir_all(&folder);
            }
        }
        occupants.sort_by_key(|occupant| occupant.used);
        let mut total: u64 = occupants.iter().map(|occupant| occupant.bytes).sum();
        for occupant in occupants.iter().filter(|occupant| occupant.folder != keep) {
            if total <= self.limit() {
                break;
            }
            tracing::info!("the cached graph in {} makes room", occupant.folder.display());
            self.remove(&occupant.folder);
            total -= occupant.bytes;
        }
    }

    /// Removes an entry at once: nobody finds half of it. Who has it open keeps it until it is closed.
    pub(super) fn remove(&self, folder: &Path) {
        let aside = folder.with_extension(format!("removed-{}", std::process::id()));
        let removed = fs::rename(folder, &aside).and_then(|()| fs::remove_dir_all(&aside));
        if let Err(error) =
            removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            tracing::warn!("the cached graph in {} cannot be removed: {error}", folder.display());
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Bytes of all files in a folder.
fn size_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
