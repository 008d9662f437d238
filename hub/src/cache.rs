//! One repository in the cache that all Hugging Face tools share:
//! `models--org--name/{refs/REVISION, blobs/ETAG, snapshots/COMMIT/FILE -> blob, trees/COMMIT.json}`, locks beside it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::Id;

/// What huggingface_hub keeps of a file in `trees/COMMIT.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub size: u64,
    pub blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lfs_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xet_hash: Option<String>,
}

/// All files of a repository at a commit.
pub(crate) type Tree = BTreeMap<String, Entry>;

#[derive(Serialize, Deserialize)]
struct TreeFile {
    format_version: u32,
    files: Tree,
}

const TREE_FORMAT: u32 = 1;

/// Whether a revision is the full hash of a commit, which names its content for ever.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// Whether a file's name stays below the folder that it is joined to.
pub(crate) fn is_inside(file: &str) -> bool {
    let plain = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    plain && !file.is_empty() && !file.contains(['\\', ':', '\0'])
}

/// Whether an etag can name a blob.
pub(crate) fn is_blob_name(etag: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=200).contains(&etag.len()) && etag.bytes().all(allowed)
}

pub(crate) struct Repository {
    root: PathBuf,
    locks: PathBuf,
}

impl Repository {
    pub(crate) fn new(cache: &Path, id: &Id) -> Self {
        let name = id.folder_name();
        Self { root: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// The commit that a revision was last resolved to.
    pub(crate) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let recorded = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        Some(recorded.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers the commit of a revision. A cache that cannot be written may still hold every file that is wanted.
    pub(crate) fn record_commit(&self, revision: &str, commit: &str) {
        if self.commit(revision).as_deref() != Some(commit) {
            let path = self.root.join("refs").join(revision);
            if let Err(error) = write_whole(&path, commit.as_bytes()) {
                tracing::debug!(path = %path.display(), %error, "cannot record the revision");
            }
        }
    }

    /// The folder that callers read.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    fn tree_path(&self, commit: &str) -> PathBuf {
        self.root.join("trees").join(format!("{commit}.json"))
    }

    /// The list of all files at a commit, if it was ever fetched.
    pub(crate) fn tree(&self, commit: &str) -> Option<Tree> {
        let tree: TreeFile = serde_json::from_slice(&fs::read(self.tree_path(commit)).ok()?).ok()?;
        let sound = tree.format_version == TREE_FORMAT && tree.files.keys().all(|file| is_inside(file));
        sound.then_some(tree.files)
    }

    /// Remembers the list. As for the revision, failing costs one request later on.
    pub(crate) fn record_tree(&self, commit: &str, files: Tree) {
        let path = self.tree_path(commit);
        let bytes = serde_json::to_vec_pretty(&TreeFile { format_version: TREE_FORMAT, files });
        if let Err(error) = bytes.map_err(io::Error::from).and_then(|bytes| write_whole(&path, &bytes)) {
            tracing::debug!(path = %path.display(), %error, "cannot record the list of files");
        }
    }

    /// Whether a file of a commit is there; a link whose blob was deleted does not count.
    pub(crate) fn has(&self, commit: &str, file: &str) -> bool {
        self.snapshot(commit).join(file).is_file()
    }

    /// The files of a commit that are there, in order.
    pub(crate) fn files(&self, commit: &str) -> Vec<String> {
        let mut files = Vec::new();
        walk(&self.snapshot(commit), "", &mut files);
        files.sort();
        files
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Where a blob grows.
    pub(crate) fn partial(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Makes a blob visible as a file of a commit.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let path = self.snapshot(commit).join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::cache("make the folder", folder))?;
        }
        match link_blob(&self.blob(etag), file, etag, &path) {
            // Another process was faster, or the link dangles since its blob was deleted: then it points here again.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_file() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path).map_err(Error::cache("replace", &path))?;
                link_blob(&self.blob(etag), file, etag, &path).map_err(Error::cache("write", &path))
            }
            result => result.map_err(Error::cache("write", &path)),
        }
    }

    /// Waits until no other process fetches this blob. Dropping the file unlocks. huggingface_hub takes the same lock.
    pub(crate) fn lock(&self, etag: &str) -> Result<File> {
        let path = self.locks.join(format!("{etag}.lock"));
        fs::create_dir_all(&self.locks).map_err(Error::cache("make the folder", &self.locks))?;
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(Error::cache("write", &path))?;
        let waited = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                tracing::info!(blob = etag, "another process fetches this file: waiting for it");
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        match waited {
            // Some network file systems know no locks. Then a file may be fetched twice, to the same bytes.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(Error::cache("lock", &path)(error)),
            _ => Ok(file),
        }
    }
}

/// Relative, so that the cache can be moved.
#[cfg(unix)]
fn link_blob(_blob: &Path, file: &str, etag: &str, path: &Path) -> io::Result<()> {
    let up = "../".repeat(file.split('/').count() + 1);
    std::os::unix::fs::symlink(format!("{up}blobs/{etag}"), path)
}

/// Symbolic links need a privilege here; a hard link costs no space either.
#[cfg(not(unix))]
fn link_blob(blob: &Path, _file: &str, _etag: &str, path: &Path) -> io::Result<()> {
    match fs::hard_link(blob, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::copy(blob, path).map(drop),
        result => result,
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (path, name) = (entry.path(), format!("{prefix}{name}"));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, &format!("{name}/"), files);
        } else if path.is_file() {
            files.push(name);
        }
    }
}

/// Writes a small file so that readers see the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    // A cache may be shared: what it holds is as readable as other files, where temporary files are private.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn repository() -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::new(folder.path(), &"org/name".parse().unwrap());
        (folder, repository)
    }

    #[test]
    fn revisions_are_kept_as_python_keeps_them() {
        let (folder, repository) = repository();
        assert_eq!(repository.commit("main"), None);
        repository.record_commit("main", COMMIT);
        repository.record_commit("refs/pr/1", COMMIT);
        repository.record_commit(COMMIT, COMMIT);
        let root = folder.path().join("models--org--name");
        assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
        assert_eq!(fs::read_to_string(root.join("refs/refs/pr/1")).unwrap(), COMMIT);
        assert!(!root.join("refs").join(COMMIT).exists());
        assert_eq!(repository.commit("main").as_deref(), Some(COMMIT));
        fs::write(root.join("refs/main"), "nonsense").unwrap();
        assert_eq!(repository.commit("main"), None);
    }

    #[test]
    fn links_are_relative_and_dangling_ones_are_replaced() {
        let (_folder, repository) = repository();
        fs::create_dir_all(repository.root.join("blobs")).unwrap();
        for etag in ["aa", "bb"] {
            fs::write(repository.blob(etag), etag).unwrap();
        }
        repository.link(COMMIT, "unet/config.json", "aa").unwrap();
        repository.link(COMMIT, "unet/config.json", "aa").unwrap();
        let path = repository.snapshot(COMMIT).join("unet/config.json");
        #[cfg(unix)]
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("../../../blobs/aa"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "aa");
        assert_eq!(repository.files(COMMIT), ["unet/config.json"]);
        fs::remove_file(repository.blob("aa")).unwrap();
        #[cfg(unix)]
        assert!(!repository.has(COMMIT, "unet/config.json"));
        #[cfg(unix)]
        repository.link(COMMIT, "unet/config.json", "bb").unwrap();
        #[cfg(unix)]
        assert_eq!(fs::read_to_string(&path).unwrap(), "bb");
    }

    #[test]
    fn trees_are_those_of_huggingface_hub() {
        let (folder, repository) = repository();
        let entry = |size, sha: Option<&str>| Entry {
            size,
            blob_id: "b".repeat(40),
            lfs_sha256: sha.map(str::to_owned),
            lfs_size: sha.map(|_| size),
            xet_hash: None,
        };
        let tree = Tree::from([("a.json".to_owned(), entry(3, None)), ("m.onnx".to_owned(), entry(9, Some("c")))]);
        repository.record_tree(COMMIT, tree.clone());
        assert_eq!(repository.tree(COMMIT), Some(tree));
        let path = folder.path().join(format!("models--org--name/trees/{COMMIT}.json"));
        let written: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({"format_version": 1, "files": {
            "a.json": {"size": 3, "blob_id": "b".repeat(40)},
            "m.onnx": {"size": 9, "blob_id": "b".repeat(40), "lfs_sha256": "c", "lfs_size": 9},
        }});
        assert_eq!(written, expected);
        for wrong in [
            "{",
            r#"{"format_version": 2, "files": {}}"#,
            r#"{"format_version": 1, "files": {"../x": {"size": 1, "blob_id": "b"}}}"#,
        ] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(repository.tree(COMMIT), None, "{wrong}");
        }
    }

    #[test]
    fn names_that_leave_their_folder_are_told() {
        for file in ["", "/x", "../x", "a/../../x", "a\\b", "C:x", "./x"] {
            assert!(!is_inside(file), "{file}");
        }
        assert!(is_inside("unet/model.onnx_data") && is_inside("..a"));
        assert!(is_blob_name(COMMIT) && !is_blob_name("../x") && !is_blob_name("") && !is_blob_name("a.incomplete"));
    }
}
