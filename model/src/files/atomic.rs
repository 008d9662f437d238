//! Writing whole or not at all: a temporary sibling, synced to the disk, then renamed.

use super::{Error, Result};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use tempfile::{Builder, NamedTempFile, TempDir};

/// A file that appears under its name only with [`persist`](Self::persist); dropped before, it leaves nothing.
///
/// An existing file of the name is replaced, and stays as it is until then.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins to write `path`. Its folder must exist.
    ///
    /// # Errors
    /// [`Error::Folder`] where its folder cannot be written into.
    pub fn create(path: &Path) -> Result<Self> {
        let (folder, name) = split(path)?;
        let temporary = temporary(&format!("{name}.partial-"), 0o666)
            .tempfile_in(folder)
            .map_err(|error| Error::Folder { folder: folder.to_owned(), source: without_path(&error) })?;
        Ok(Self { temporary: BufWriter::with_capacity(1 << 16, temporary), path: path.to_owned() })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file has everything: syncs it to the disk and gives it its name.
    ///
    /// # Errors
    /// [`Error::Write`], where nothing is left behind.
    pub fn persist(self) -> Result<()> {
        let Self { temporary, path } = self;
        let persist = || {
            let temporary = temporary.into_inner().map_err(io::IntoInnerError::into_error)?;
            temporary.as_file().sync_all()?;
            temporary.persist(&path)?;
            sync_folder(folder_of(&path))
        };
        persist().map_err(|source| Error::Write { path: path.clone(), source })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.temporary.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

/// Writes a small file at once, whole or not at all.
///
/// # Errors
/// [`Error::Folder`], [`Error::Write`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|source| Error::Write { path: path.to_owned(), source })?;
    file.persist()
}

/// What becomes of a folder that exists already and is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and the new one is refused.
    Never,
    /// It is replaced if it holds a file of this name, which marks it as written by this project: a mistyped path must not
    /// cost somebody a folder of their own.
    IfItHolds(&'static str),
}

/// A folder that appears under its name only with [`persist`](Self::persist); dropped before, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFolder {
    partial: TempDir,
    target: PathBuf,
    overwrite: Overwrite,
}

impl AtomicFolder {
    /// Begins to write the folder `target`, in a folder `NAME.partial-XXXXXX` beside it; folders above it are made.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::NotAFolder`], [`Error::Occupied`], [`Error::Foreign`].
    pub fn create(target: &Path, overwrite: Overwrite) -> Result<Self> {
        // A link to a folder stays a link: what it leads to is replaced.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let (parent, name) = split(&target)?;
        is_replaced(&target, overwrite)?;
        let failed = |source| Error::Folder { folder: parent.to_owned(), source };
        fs::create_dir_all(parent).map_err(failed)?;
        let partial = temporary(&format!("{name}.partial-"), 0o777)
            .tempdir_in(parent)
            .map_err(|error| failed(without_path(&error)))?;
        Ok(Self { partial, target, overwrite })
    }

    /// The temporary folder, to be filled.
    pub fn path(&self) -> &Path {
        self.partial.path()
    }

    /// The folder has everything: syncs it to the disk and gives it its name, which is returned.
    ///
    /// # Errors
    /// As [`create`](Self::create); what was there before is there still.
    pub fn persist(mut self) -> Result<PathBuf> {
        let replaced = is_replaced(&self.target, self.overwrite)?;
        let (parent, name) = split(&self.target)?;
        let persist = || {
            sync_tree(self.partial.path())?;
            if replaced {
                let aside = temporary(&format!("{name}.replaced-"), 0o700).tempdir_in(parent)?;
                let old = aside.path().join(&name);
                fs::rename(&self.target, &old)?;
                fs::rename(self.partial.path(), &self.target).inspect_err(|_| {
                    // Nothing better can be done if this fails too; the first error is the one that is told.
                    let _ = fs::rename(&old, &self.target);
                })?;
            } else {
                fs::rename(self.partial.path(), &self.target)?;
            }
            sync_folder(parent)
        };
        persist().map_err(|source| Error::Folder { folder: self.target.clone(), source })?;
        self.partial.disable_cleanup(true);
        Ok(self.target)
    }
}

/// Whether a folder with something in it will be replaced; an error where it may not be.
fn is_replaced(target: &Path, overwrite: Overwrite) -> Result<bool> {
    let folder = || target.to_owned();
    let mut entries = match fs::read_dir(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory && target.is_file() => {
            return Err(Error::NotAFolder { path: folder() });
        }
        Err(source) => return Err(Error::Folder { folder: folder(), source }),
    };
    match overwrite {
        _ if entries.next().is_none() => Ok(false),
        Overwrite::Never => Err(Error::Occupied { folder: folder() }),
        Overwrite::IfItHolds(mark) if target.join(mark).is_file() => Ok(true),
        Overwrite::IfItHolds(mark) => Err(Error::Foreign { folder: folder(), mark }),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The folder and the name of something to be written; `..` and `/` have no name to write under.
fn split(path: &Path) -> Result<(&Path, String)> {
    let name = path.file_name().ok_or_else(|| Error::Folder {
        folder: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "the path has no name at its end"),
    })?;
    Ok((folder_of(path), name.to_string_lossy().into_owned()))
}

/// A temporary name that tells what it belongs to. Without `mode`, only its owner could read it: right for a scratch file,
/// wrong for one that stays.
fn temporary(prefix: &str, mode: u32) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// Whether files can be made in `folder`; leaves nothing behind.
///
/// # Errors
/// Why not.
pub fn can_write(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop).map_err(|error| without_path(&error))
}

/// `tempfile` adds the temporary name to its errors, which tells nobody anything.
fn without_path(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let reason = text.split_once(" at path ").map_or(text.as_str(), |(reason, _)| reason);
    io::Error::new(error.kind(), reason)
}

/// Makes a rename durable. Folders can be opened for that on Unix only.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}
