//! The folder of a run.

use super::{Error, Result};
use image::{ImageEncoder, RgbImage, codecs::png::PngEncoder};
use pleach_model::files;
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

const RECIPE: &str = "recipe.toml";
/// A recipe is a page or two.
const MAX_RECIPE: u64 = 1 << 20;

/// Whether a run begins or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In a folder that holds no run yet.
    New,
    /// From the newest checkpoint.
    Resume,
}

/// The folder of a run, its recipe written and checked.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder and writes the recipe into it, or compares the recipe with the one that the run began with.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NoRun`], [`Error::Changed`], [`Error::File`].
    pub fn open(path: &Path, recipe: &impl Serialize, start: Start) -> Result<Self> {
        let file = path.join(RECIPE);
        let invalid = |reason: String| Error::Checkpoint { path: file.clone(), reason };
        let text = toml::to_string_pretty(recipe).map_err(|error| invalid(error.to_string()))?;
        let folder = Self { path: path.to_owned() };
        match start {
            Start::New if file.exists() => return Err(Error::Exists { folder: folder.path }),
            Start::New => {
                let failed = |source| files::Error::Folder { folder: path.to_owned(), source };
                fs::create_dir_all(path).map_err(failed)?;
                files::write(&file, text.as_bytes())?;
            }
            Start::Resume if !file.is_file() => return Err(Error::NoRun { folder: folder.path }),
            Start::Resume => {
                let bytes = files::read_bounded(&file, MAX_RECIPE)?;
                let parse = |text: &str| text.parse::<Table>().map_err(|error| invalid(error.to_string()));
                let (stored, given) = (parse(&String::from_utf8_lossy(&bytes))?, parse(&text)?);
                if let Some((key, stored, given)) = difference("", &stored, &given) {
                    return Err(Error::Changed { folder: folder.path, key, stored, given });
                }
            }
        }
        Ok(folder)
    }

    /// Whether a run was begun in a folder.
    pub fn is_at(path: &Path) -> bool {
        path.join(RECIPE).is_file()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    pub(super) fn curve(&self) -> PathBuf {
        self.path.join("loss.png")
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    pub(super) fn write_sample(&self, step: u64, picture: &RgbImage) -> Result<PathBuf> {
        let path = self.path.join("samples").join(format!("{step:06}.png"));
        write_png(&path, picture)?;
        Ok(path)
    }

    /// Folders of all checkpoints, the oldest first.
    pub(super) fn list(&self) -> Result<Vec<PathBuf>> {
        let folder = self.checkpoints();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(files::Error::Folder { folder, source }.into()),
        };
        let is_step = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_step));
        found.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok()));
        Ok(found)
    }

    /// Removes all checkpoints but the newest.
    pub(super) fn forget(&self, keep: usize) -> Result<()> {
        let mut list = self.list()?;
        list.truncate(list.len().saturating_sub(keep));
        for folder in list {
            fs::remove_dir_all(&folder).map_err(|source| files::Error::Folder { folder, source })?;
        }
        Ok(())
    }
}

/// Writes a picture whole or not at all; its folder is made.
pub(crate) fn write_png(path: &Path, picture: &RgbImage) -> Result<()> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new(&mut bytes);
    encoder
        .write_image(picture, picture.width(), picture.height(), image::ExtendedColorType::Rgb8)
        .map_err(|error| Error::Picture { path: path.to_owned(), reason: error.to_string() })?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| files::Error::Folder { folder: folder.to_owned(), source })?;
    }
    Ok(files::write(path, &bytes)?)
}

/// Path, value there and value here of the first key in which two tables differ.
fn difference(above: &str, stored: &Table, given: &Table) -> Option<(String, String, String)> {
    let keys = given.keys().chain(stored.keys().filter(|key| !given.contains_key(*key)));
    keys.map(|key| (key, stored.get(key), given.get(key))).find_map(|(key, stored, given)| {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let shown = |value: Option<&Value>| value.map_or("not there".to_owned(), Value::to_string);
        match (stored, given) {
            (Some(Value::Table(stored)), Some(Value::Table(given))) => difference(&path, stored, given),
            (stored, given) if stored == given => None,
            (stored, given) => Some((path, shown(stored), shown(given))),
        }
    })
}
