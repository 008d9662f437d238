//! Which form of a data set a path has.

use super::{CocoCaptions, Dataset, Error, ImageFolder, Warning, error::Result, folder::METADATA};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a path alone does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The pictures of a captions file, where they are not found beside it.
    pub images: Option<PathBuf>,
    /// The column of an image folder's metadata that holds captions; `text` if none is named.
    pub caption_column: Option<String>,
}

/// A data set, and what is worth knowing about it.
pub struct Opened {
    /// The data set.
    pub dataset: Arc<dyn Dataset>,
    /// What was left out.
    pub warnings: Vec<Warning>,
}

/// Opens a data set: a folder with metadata, or a captions file.
///
/// # Errors
/// [`Error::Form`] for anything else, which says what was found; all errors of the forms.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Opened> {
    let opened = |dataset: Arc<dyn Dataset>, warnings: &[Warning]| Opened { dataset, warnings: warnings.to_vec() };
    if path.is_file() {
        let name = path.file_name().unwrap_or_default();
        if METADATA.iter().any(|metadata| name == *metadata) {
            return open(path.parent().unwrap_or(Path::new(".")), options);
        }
        if !name.to_string_lossy().ends_with(".json") {
            return Err(Error::Form { path: path.to_owned(), found: "is a file of another kind".to_owned() });
        }
        let captions = CocoCaptions::open(path, options.images.as_deref())?;
        let warnings = captions.warnings().to_vec();
        return Ok(opened(Arc::new(captions), &warnings));
    }
    if !METADATA.iter().any(|name| path.join(name).is_file()) {
        return Err(Error::Form { path: path.to_owned(), found: what_is_there(path) });
    }
    let folder = ImageFolder::open(path, options.caption_column.as_deref())?;
    let warnings = folder.warnings().to_vec();
    Ok(opened(Arc::new(folder), &warnings))
}

/// What a path that is no data set is, as near as can be told.
fn what_is_there(path: &Path) -> String {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return "does not exist".to_owned(),
        Err(error) => return format!("cannot be read ({error})"),
    };
    let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    names.sort();
    if names.is_empty() {
        return "is empty".to_owned();
    }
    let has_metadata = |folder: &&PathBuf| METADATA.iter().any(|name| folder.join(name).is_file());
    if let Some(split) = names.iter().find(has_metadata) {
        return format!("holds a data set in {}", split.display());
    }
    let is_captions = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("captions_") && name.ends_with(".json")
    };
    let annotations = fs::read_dir(path.join("annotations")).into_iter().flatten();
    let mut files = names.into_iter().chain(annotations.filter_map(|entry| Some(entry.ok()?.path())));
    match files.find(|file| is_captions(file)) {
        Some(captions) => format!("holds a captions file, {}, which is to be named itself", captions.display()),
        None => "has no metadata".to_owned(),
    }
}
