//! The folder of a study.
//!
//! ```text
//! steps/KEY/            step.json, log.txt, out/: a step that is done
//! steps/KEY.partial/    one that is being done, or was when the study was stopped
//! steps/KEY.failed/     one that failed, with its log
//! locks/KEY             held by whoever does it
//! report/               study.json, index.html, ...
//! ```

use super::{Error, Record, Result};
use pleach_model::files::{self, Sha256, read_bounded};
use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Records hold arguments, prompts among them.
const MAX_RECORD: u64 = 64 << 20;
/// How long to wait before asking for a lock again.
const PATIENCE: Duration = Duration::from_millis(50);
/// Bytes of a log's end that are told.
const TAIL: usize = 4096;
/// Lines of a log's end that are told.
const TAIL_LINES: usize = 20;

/// The folder of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// The study in `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path: std::path::absolute(&path).unwrap_or(path) }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a step that is done.
    pub fn step(&self, key: Sha256) -> PathBuf {
        self.steps().join(key.to_string())
    }

    /// What a step made.
    pub fn out(&self, key: Sha256) -> PathBuf {
        self.step(key).join("out")
    }

    /// The folder of a step that is being done.
    pub fn partial(&self, key: Sha256) -> PathBuf {
        self.steps().join(format!("{key}.partial"))
    }

    /// The folder of a step that failed.
    pub fn failed(&self, key: Sha256) -> PathBuf {
        self.steps().join(format!("{key}.failed"))
    }

    /// Where reports are written.
    pub fn report(&self) -> PathBuf {
        self.path.join("report")
    }

    /// Whether a step is done.
    pub fn is_done(&self, key: Sha256) -> bool {
        self.step(key).is_dir()
    }

    /// What `step.json` says of a step that is done, or that failed; none where it is neither.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn record(&self, key: Sha256) -> Result<Option<Record>> {
        let folder = [self.step(key), self.failed(key)].into_iter().find(|folder| folder.is_dir());
        let Some(folder) = folder else { return Ok(None) };
        let path = folder.join("step.json");
        let bytes = read_bounded(&path, MAX_RECORD)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Json { path, source })
    }

    /// Holds a step for whoever does it: other threads and other processes wait. None where `stopped` says so first.
    ///
    /// # Errors
    /// A lock that cannot be made.
    pub fn lock(&self, key: Sha256, stopped: impl Fn() -> bool) -> Result<Option<File>> {
        let folder = self.path.join("locks");
        for folder in [&folder, &self.steps()] {
            fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        }
        let path = folder.join(key.to_string());
        let opened = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = opened.map_err(|source| Error::Io { path: path.clone(), source })?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if stopped() => return Ok(None),
                Err(TryLockError::WouldBlock) => thread::sleep(PATIENCE),
                Err(TryLockError::Error(source)) => return Err(Error::Io { path, source }),
            }
        }
    }

    /// Writes the record of a step into the folder in which it is done, and gives the folder its name: that of a step that is done, or
    /// that failed.
    ///
    /// # Errors
    /// Files that cannot be written or moved.
    pub fn settle(&self, key: Sha256, record: &Record) -> Result<()> {
        let (partial, failed) = (self.partial(key), self.failed(key));
        let path = partial.join("step.json");
        let mut bytes =
            serde_json::to_vec_pretty(record).map_err(|source| Error::Json { path: path.clone(), source })?;
        bytes.push(b'\n');
        files::write(&path, &bytes)?;
        remove(&failed)?;
        let target = if record.failure.is_some() { failed } else { self.step(key) };
        fs::rename(&partial, &target).map_err(|source| Error::Io { path: target, source })
    }

    fn steps(&self) -> PathBuf {
        self.path.join("steps")
    }
}

/// Removes a folder, if it is there.
pub fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    }
    Ok(())
}

/// The end of a log; empty where there is none.
pub fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
