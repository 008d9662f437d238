//! An unfinished cache: a folder beside the place of the finished one, with the shards that are done.

use super::{
    FILE_NAME, Key,
    error::{Error, Result},
};
use pleach_model::{
    files::{self, AtomicFolder, Overwrite},
    tensor::Dtype,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// What an unfinished cache is to become; the file marks it as one.
const PLAN: &str = "plan.json";
const MAX_PLAN: u64 = 1 << 20;

/// What decides the shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub key: Key,
    pub precision: Dtype,
    pub flip: bool,
    pub rows_per_shard: usize,
}

/// An unfinished cache that nobody else writes.
pub(super) struct Partial {
    pub folder: PathBuf,
    /// Held until the cache is done.
    lock: File,
}

impl Partial {
    /// Goes on with what an earlier run left, or begins anew where that was something else.
    ///
    /// # Errors
    /// [`Error::File`] for a folder of somebody else, [`Error::Busy`].
    pub fn open(out: &Path, plan: &Plan) -> Result<Self> {
        let out = fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let folder = out.with_file_name(name);
        let failed = |source| files::Error::Folder { folder: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let path = folder.join(PLAN);
        let is_empty = fs::read_dir(&folder).map_err(failed)?.next().is_none();
        if !is_empty && !path.is_file() {
            return Err(files::Error::Foreign { folder, mark: PLAN }.into());
        }
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { folder }),
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let bytes = files::read_bounded(&path, MAX_PLAN)?;
        if serde_json::from_slice::<Plan>(&bytes).ok().as_ref() != Some(plan) {
            Self::clear(&folder).map_err(failed)?;
            // Written in place: renaming another file there would lose the lock.
            let text = serde_json::to_vec(plan).map_err(io::Error::from).map_err(failed)?;
            fs::write(&path, text).map_err(failed)?;
        }
        Ok(Self { folder, lock })
    }

    /// Removes the shards of another plan.
    fn clear(folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if !path.ends_with(PLAN) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Everything is there: gives the folder its name.
    pub fn finish(self, out: &Path, overwrite: bool, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let finished = AtomicFolder::create(out, replaced(overwrite))?;
        let failed = |source| files::Error::Folder { folder: self.folder.clone(), source };
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != PLAN {
                fs::rename(entry.path(), finished.path().join(entry.file_name())).map_err(failed)?;
            }
        }
        write(finished.path())?;
        finished.persist()?;
        drop(self.lock);
        Ok(fs::remove_dir_all(&self.folder).map_err(failed)?)
    }
}

/// Says early whether there is room for the cache.
pub(super) fn check_room(out: &Path, overwrite: bool) -> Result<()> {
    AtomicFolder::create(out, replaced(overwrite))?;
    Ok(())
}

fn replaced(overwrite: bool) -> Overwrite {
    if overwrite { Overwrite::IfItHolds(FILE_NAME) } else { Overwrite::Never }
}
