//! The files of a bundle that are no networks: copied byte for byte, and the index.

use super::{index::bundle_index, source::Source};
use crate::error::Result;
use pleach_model::{files, manifest::FileEntry};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Writes configurations, tokenizer, scheduler and index into the bundle `root`, and lists them.
pub(super) fn write_others(source: &Source, root: &Path) -> Result<Vec<FileEntry>> {
    let mut entries = Vec::new();
    for part in &source.parts {
        for network in &part.networks {
            let file = network.file("config.json");
            // Experts have one configuration.
            if entries.iter().all(|entry: &FileEntry| entry.file != file) {
                entries.push(copy(&part.config_path, root, file)?);
            }
        }
    }
    entries.push(copy(&source.common.scheduler_path, root, "scheduler/scheduler_config.json".into())?);
    entries.extend(copy_tokenizer(&source.common.tokenizer, root, "tokenizer")?);
    if let Some(tokenizer) = &source.router_tokenizer {
        entries.push(copy(tokenizer, root, "router/tokenizer.json".into())?);
    }
    files::write(&root.join("model_index.json"), &bundle_index(source.folder.index()))?;
    entries.push(FileEntry::of(root, "model_index.json")?);
    Ok(entries)
}

/// Copies a tokenizer into a folder below `root`.
pub(super) fn copy_tokenizer(tokenizer: &Path, root: &Path, folder: &str) -> Result<Vec<FileEntry>> {
    files_of(tokenizer)?.into_iter().map(|(name, path)| copy(&path, root, format!("{folder}/{name}"))).collect()
}

/// The files right in a folder, by name.
fn files_of(folder: &Path) -> Result<Vec<(String, PathBuf)>, files::Error> {
    let failed = |source| files::Error::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| files::is_plain_name(name));
        if let Some(name) = name.filter(|_| path.is_file()) {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn copy(from: &Path, root: &Path, file: String) -> Result<FileEntry> {
    let to = root.join(&file);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|source| files::Error::Folder { folder: folder.to_owned(), source })?;
    }
    // Not `fs::copy`, which copies permissions too: a file that is read-only here must not be so in the bundle.
    let contents = fs::read(from).map_err(|source| files::Error::Read { path: from.to_owned(), source })?;
    files::write(&to, &contents)?;
    Ok(FileEntry::of(root, file)?)
}
