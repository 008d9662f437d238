//! SHA-256 of large files, remembered.

use super::HostCache;
use pleach_model::files::{self, Digest, Sha256};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, Metadata},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file whose times are closer to now than this may be written to once more without a difference in them: clocks of file
/// systems tick this slowly at worst.
const TICK: Duration = Duration::from_secs(2);

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    bytes: u64,
    /// Nanoseconds since 1970, as text where JSON's numbers end.
    modified: String,
    /// When the file system last changed anything about the file: unlike `modified`, no program can set it.
    changed: String,
    device: u64,
    inode: u64,
}

/// A file of the folder `hashes`.
#[derive(Serialize, Deserialize)]
struct Remembered {
    path: PathBuf,
    state: State,
    sha256: Sha256,
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        let modified =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        #[cfg(unix)]
        let (changed, device, inode) = {
            use std::os::unix::fs::MetadataExt as _;
            (format!("{}.{:09}", metadata.ctime(), metadata.ctime_nsec()), metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, device, inode) = (String::new(), 0, 0);
        Self { bytes: metadata.len(), modified: modified.as_nanos().to_string(), changed, device, inode }
    }
}

impl HostCache {
    /// Size and SHA-256 of a file.
    ///
    /// Hashing several gigabytes takes seconds, so what was computed once is remembered in the cache folder together with the
    /// file's path, size, inode and times of modification and change, and believed as long as these are the same. That trusts
    /// the file system to notice writing, and whoever may write into the cache folder: both hold for everything else that the
    /// user runs. A disk that loses bits by itself is noticed only by a cache that is off.
    ///
    /// # Errors
    /// [`files::Error::Read`]. A cache that cannot be read or written costs time only.
    pub fn digest(&self, path: &Path) -> files::Result<Digest> {
        let failed = |source| files::Error::Read { path: path.to_owned(), source };
        let path = &fs::canonicalize(path).map_err(failed)?;
        let Some(memory) = self.memory(path) else { return files::digest_file(path) };
        let begun = SystemTime::now();
        let metadata = fs::metadata(path).map_err(failed)?;
        let state = State::of(&metadata);
        if let Some(sha256) = recall(&memory, path, &state) {
            return Ok(Digest { bytes: state.bytes, sha256 });
        }
        let digest = files::digest_file(path)?;
        let unchanged = fs::metadata(path).is_ok_and(|metadata| State::of(&metadata) == state);
        if unchanged && is_settled(&metadata, begun) {
            remember(&memory, &Remembered { path: path.clone(), state, sha256: digest.sha256 });
        }
        Ok(digest)
    }

    /// Notes the hash of a file that nobody else can have written to since it was hashed.
    pub(super) fn remember(&self, path: &Path, digest: Digest) {
        let Ok(path) = fs::canonicalize(path) else { return };
        if let (Some(memory), Ok(metadata)) = (self.memory(&path), fs::metadata(&path)) {
            let state = State::of(&metadata);
            remember(&memory, &Remembered { path, state, sha256: digest.sha256 });
        }
    }

    /// Where the hash of the file with this canonical path is noted.
    fn memory(&self, path: &Path) -> Option<PathBuf> {
        let name = Sha256::of(path.as_os_str().as_encoded_bytes());
        Some(self.folder()?.join("hashes").join(format!("{name}.json")))
    }
}

/// Whether the file's last change lies so far before `begun` that another one would show.
fn is_settled(metadata: &Metadata, begun: SystemTime) -> bool {
    #[cfg(unix)]
    let changed = {
        use std::os::unix::fs::MetadataExt as _;
        u64::try_from(metadata.ctime()).ok().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
    };
    #[cfg(not(unix))]
    let changed = metadata.modified().ok();
    changed.and_then(|changed| begun.duration_since(changed).ok()).is_some_and(|age| age > TICK)
}

fn recall(memory: &Path, path: &Path, state: &State) -> Option<Sha256> {
    let remembered: Remembered = serde_json::from_slice(&files::read_bounded(memory, 1 << 16).ok()?).ok()?;
    (remembered.path == path && remembered.state == *state).then_some(remembered.sha256)
}

fn remember(memory: &Path, remembered: &Remembered) {
    let write = || -> Result<(), Box<dyn std::error::Error>> {
        if let Some(folder) = memory.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(files::write(memory, &serde_json::to_vec_pretty(remembered)?)?)
    };
    if let Err(error) = write() {
        tracing::debug!("the hash of {} is not remembered: {error}", remembered.path.display());
    }
}
