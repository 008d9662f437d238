//! Where pictures are written to. Nothing that is there already is lost.

use super::names::names;
use anyhow::{Result, bail};
use pleach_console::ResultExt;
use pleach_model::files::{self, AtomicFile};
use pleach_runtime::{
    pipeline::Picture,
    png::{self, Recipe},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files of all pictures, in a folder that can be written into.
#[derive(Debug)]
pub struct Output {
    files: Vec<PathBuf>,
    /// The folder, if it was made for them: it goes again if none was written.
    made: Option<PathBuf>,
}

impl Output {
    /// Chooses the files, and makes sure that they can be written before anything expensive begins. `out` is a folder, or
    /// the file of a single picture if it ends in `.png`.
    pub fn prepare(out: &Path, pictures: &[Picture]) -> Result<Self> {
        let is_file = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) && !out.is_dir();
        let (folder, files) = if is_file {
            if pictures.len() > 1 {
                bail!("{} is one file for {} pictures: give a folder", out.display(), pictures.len());
            }
            let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (folder, vec![out.to_owned()])
        } else {
            (out, names(pictures).into_iter().map(|name| out.join(name)).collect())
        };
        let made = (!folder.exists()).then(|| folder.to_owned());
        fs::create_dir_all(folder).map_err(|source| files::Error::Folder { folder: folder.to_owned(), source })?;
        let output = Self { files, made };
        if let Some(file) = output.files.first() {
            AtomicFile::create(file)?;
        }
        Ok(output)
    }

    /// The file of each picture.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Which pictures are there already, drawn by the same recipes; none if they are to be drawn again. A file that holds
    /// anything else is an error, unless it may be replaced.
    pub fn drawn_before(&self, recipes: &[Recipe], overwrite: bool) -> Result<Vec<bool>> {
        if overwrite {
            return Ok(vec![false; recipes.len()]);
        }
        let drawn = |(file, recipe): (&PathBuf, &Recipe)| match png::describe(file) {
            Ok(found) => (found.recipe.as_ref() == Some(recipe), true),
            Err(_) => (false, fs::symlink_metadata(file).is_ok()),
        };
        let found: Vec<(bool, bool)> = self.files.iter().zip(recipes).map(drawn).collect();
        let mut others =
            self.files.iter().zip(&found).filter(|(_, (same, exists))| *exists && !same).map(|(file, _)| file);
        if let Some(first) = others.next() {
            let more = match others.count() {
                0 => String::new(),
                count => format!(" (and {count} more)"),
            };
            return Err(anyhow::anyhow!("{}{more} exists and was not drawn in this way", first.display()))
                .hint("write elsewhere with --out, or give --overwrite to replace it");
        }
        Ok(found.into_iter().map(|(same, _)| same).collect())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(folder) = &self.made {
            // Fails where there is something in it, as it should.
            let _ = fs::remove_dir(folder);
        }
    }
}
