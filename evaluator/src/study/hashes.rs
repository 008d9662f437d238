//! Hashes of files and folders, each taken once.

use super::{Error, Result};
use pleach_model::files::{Sha256, digest_file};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// What says something about a folder, to people.
const CARD: &str = "README.md";

/// Hashes that were taken.
#[derive(Debug, Default)]
pub struct Hashes {
    known: HashMap<PathBuf, Sha256>,
}

impl Hashes {
    /// The hash of a file's bytes; of a folder, that of the names and hashes of all files in it. Its model card (`README.md`) is no part of
    /// that: no program reads it, and a word in it would train everything anew.
    ///
    /// # Errors
    /// What is not there, or cannot be read.
    pub fn of(&mut self, path: &Path) -> Result<Sha256> {
        if let Some(known) = self.known.get(path) {
            return Ok(*known);
        }
        let hash = if path.is_dir() {
            let mut files = Vec::new();
            walk(path, path, &mut files)?;
            files.retain(|(name, _)| name != CARD);
            files.sort();
            let mut lines = String::new();
            for (name, file) in &files {
                lines.push_str(&format!("{} {name}\n", digest_file(file)?.sha256));
            }
            Sha256::of(lines.as_bytes())
        } else {
            digest_file(path)?.sha256
        };
        self.known.insert(path.to_owned(), hash);
        Ok(hash)
    }
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let failed = |source| Error::Io { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            walk(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push((name, path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_its_files_are_called_and_hold() {
        let of = |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Hashes::default().of(folder.path()).unwrap()
        };
        let one = of(&[("a/b", "1"), ("c", "2")]);
        assert_eq!(one, of(&[("c", "2"), ("a/b", "1")]));
        assert_ne!(one, of(&[("a/b", "1"), ("d", "2")]));
        assert_ne!(one, of(&[("a/b", "1"), ("c", "3")]));
        assert_eq!(one, of(&[("a/b", "1"), ("c", "2"), ("README.md", "a card")]));
        assert_ne!(one, of(&[("a/b", "1"), ("c", "2"), ("a/README.md", "a card")]));
        assert!(Hashes::default().of(Path::new("/nowhere/at/all")).is_err());
    }
}
