//! The folder of a run: where everything lies, and the pictures, by what they show.
//!
//! ```text
//! plan.json                    what is carried out; fixed before the first picture
//! restricted/samples.jsonl     every sample with its prompt
//! restricted/pictures/ab/ab….png
//! journal/0-of-1.journal       one for each shard
//! report/                      audit.json, samples.jsonl, index.html, ...
//! ```
//!
//! `restricted` is its owner's alone: it holds what must not be published.

use super::{Error, Result, Shard};
use crate::decode::decode_file;
use image::RgbImage;
use pleach_model::files::{self, Sha256};
use pleach_runtime::{image::Image, png};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The run in `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The plan.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// The samples of the plan, with prompts.
    pub fn samples(&self) -> PathBuf {
        self.restricted().join("samples.jsonl")
    }

    /// What must not be published.
    pub fn restricted(&self) -> PathBuf {
        self.path.join("restricted")
    }

    /// Where reports are written.
    pub fn report(&self) -> PathBuf {
        self.path.join("report")
    }

    /// The journal of a shard.
    pub fn journal(&self, shard: Shard) -> PathBuf {
        self.journals_folder().join(format!("{}-of-{}.journal", shard.index, shard.count))
    }

    /// Every journal that is there, by shard.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn journals(&self) -> Result<Vec<(Shard, PathBuf)>> {
        let folder = self.journals_folder();
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let failed = |source| files::Error::Read { path: folder.clone(), source };
        let mut journals = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".journal"));
            let shard = name.and_then(|name| name.replace("-of-", "/").parse().ok());
            journals.extend(shard.map(|shard| (shard, path)));
        }
        journals.sort();
        Ok(journals)
    }

    /// Makes the folders.
    ///
    /// # Errors
    /// One that cannot be made.
    pub fn create(&self) -> Result<()> {
        for folder in [self.pictures(), self.journals_folder()] {
            fs::create_dir_all(&folder).map_err(|source| files::Error::Folder { folder, source })?;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let folder = self.restricted();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(|source| files::Error::Folder { folder, source })?;
        }
        Ok(())
    }

    /// The file of a picture.
    pub fn picture(&self, picture: Sha256) -> PathBuf {
        let name = picture.to_string();
        self.pictures().join(&name[..2]).join(format!("{name}.png"))
    }

    /// Keeps a picture, and says by what it is found again. No text goes into its file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep(&self, image: &Image) -> Result<Sha256> {
        let picture = identity(image.width(), image.height(), image.rgb());
        let path = self.picture(picture);
        if !path.exists() {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)
                    .map_err(|source| files::Error::Folder { folder: folder.to_owned(), source })?;
            }
            let png = png::encode(image, None).map_err(|error| Error::Picture {
                path: path.clone(),
                reason: format!("it cannot be written as PNG: {error}"),
            })?;
            files::write(&path, &png)?;
        }
        Ok(picture)
    }

    /// A picture that was kept; it must show what it is found by.
    ///
    /// # Errors
    /// [`Error::Picture`] where it is gone or another one.
    pub fn open_picture(&self, picture: Sha256) -> Result<RgbImage> {
        open_showing(&self.picture(picture), picture)
    }

    fn pictures(&self) -> PathBuf {
        self.restricted().join("pictures")
    }

    fn journals_folder(&self) -> PathBuf {
        self.path.join("journal")
    }
}

/// The picture in a file, which must show what is expected.
pub(super) fn open_showing(path: &Path, picture: Sha256) -> Result<RgbImage> {
    let wrong = |reason: String| Error::Picture { path: path.to_owned(), reason };
    let image = decode_file(path).map_err(|error| wrong(error.to_string()))?;
    if identity(image.width(), image.height(), image.as_raw()) != picture {
        return Err(wrong("it does not show what it is known by".to_owned()));
    }
    Ok(image)
}

/// What a picture shows: its size and its pixels, however they are stored.
pub(super) fn identity(width: u32, height: u32, rgb: &[u8]) -> Sha256 {
    Sha256::of(&[&width.to_le_bytes()[..], &height.to_le_bytes(), rgb].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_found_by_what_it_shows() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::new(folder.path());
        run.create().unwrap();
        let image = Image::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let kept = run.keep(&image).unwrap();
        assert_eq!(run.keep(&image).unwrap(), kept);
        assert_eq!(run.open_picture(kept).unwrap().as_raw(), image.rgb());
        let other = run.keep(&Image::new(1, 2, vec![1, 2, 3, 4, 5, 6]).unwrap()).unwrap();
        assert_ne!(kept, other);
        fs::copy(run.picture(other), run.picture(kept)).unwrap();
        let error = run.open_picture(kept).unwrap_err();
        assert!(error.is_integrity() && error.to_string().contains("does not show"), "{error}");
        fs::remove_file(run.picture(other)).unwrap();
        assert!(run.open_picture(other).unwrap_err().is_integrity());
    }

    #[test]
    fn journals_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::new(folder.path());
        assert_eq!(run.journals().unwrap(), []);
        run.create().unwrap();
        let shards = [Shard { index: 0, count: 2 }, Shard { index: 1, count: 2 }];
        for shard in shards {
            fs::write(run.journal(shard), "").unwrap();
        }
        fs::write(run.path().join("journal/notes.txt"), "").unwrap();
        assert_eq!(run.journals().unwrap().into_iter().map(|(shard, _)| shard).collect::<Vec<_>>(), shards);
    }
}
