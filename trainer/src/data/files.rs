//! Pictures in files, whatever listed them.

use super::{Error, PictureError, Warning, error::Result, picture};
use image::RgbImage;
use pleach_model::files::{self, Sha256, digest_file, resolve_inside};
use rayon::prelude::*;
use sha2::Digest as _;
use std::{
    io,
    path::{Path, PathBuf},
};

/// A picture and its captions.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it is listed.
    pub name: String,
    pub path: PathBuf,
    pub captions: Vec<String>,
}

/// Pictures that are there.
#[derive(Debug)]
pub(super) struct Files(Vec<Entry>);

/// Collects what is listed, until all is known.
pub(super) struct Listing<'a> {
    /// The file that lists.
    pub path: &'a Path,
    /// The folder of the pictures.
    pub folder: &'a Path,
    entries: Vec<Entry>,
    missing: Vec<String>,
}

impl<'a> Listing<'a> {
    pub fn new(path: &'a Path, folder: &'a Path) -> Self {
        Self { path, folder, entries: Vec::new(), missing: Vec::new() }
    }

    /// A picture is listed.
    ///
    /// # Errors
    /// A name that leads out of the folder.
    pub fn push(&mut self, name: String, captions: Vec<String>) -> Result<(), files::Error> {
        match resolve_inside(self.folder, name.strip_prefix("./").unwrap_or(&name)) {
            Ok(path) => self.entries.push(Entry { name, path, captions }),
            Err(files::Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.missing.push(name);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Everything is listed: one picture of a hundred may be missing.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Empty`].
    pub fn finish(self) -> Result<(Files, Vec<Warning>)> {
        let Self { path, folder, entries, missing: names } = self;
        let total = entries.len() + names.len();
        if is_too_much(names.len(), total) {
            return Err(Error::Missing { path: path.to_owned(), folder: folder.to_owned(), names, total });
        }
        if entries.is_empty() {
            return Err(Error::Empty { path: path.to_owned() });
        }
        let warning = (!names.is_empty()).then_some(Warning::Missing { names, total });
        Ok((Files(entries), warning.into_iter().collect()))
    }
}

/// More than one of a hundred.
pub(super) fn is_too_much(part: usize, total: usize) -> bool {
    part > total / 100
}

impl Files {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn captions(&self, index: usize) -> &[String] {
        self.0.get(index).map_or(&[], |entry| &entry.captions)
    }

    pub fn name(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |entry| &entry.name)
    }

    pub fn picture(&self, index: usize) -> Result<RgbImage, PictureError> {
        picture::decode(&self.0.get(index).ok_or(PictureError::Index)?.path)
    }

    /// Of names, captions, sizes and contents, in their order.
    pub fn fingerprint(&self) -> Result<Sha256> {
        let digests = self.0.par_iter().map(|entry| digest_file(&entry.path));
        let digests: Vec<_> = digests.collect::<Result<_, files::Error>>()?;
        let mut hasher = sha2::Sha256::new();
        // Each text with its length before it, so that no two lists give the same bytes.
        let text = |hasher: &mut sha2::Sha256, text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        for (entry, digest) in self.0.iter().zip(digests) {
            text(&mut hasher, &entry.name);
            hasher.update(digest.bytes.to_le_bytes());
            hasher.update(digest.sha256.0);
            hasher.update((entry.captions.len() as u64).to_le_bytes());
            entry.captions.iter().for_each(|caption| text(&mut hasher, caption));
        }
        Ok(Sha256(hasher.finalize().into()))
    }
}

/// A data set that is nothing but files.
macro_rules! dataset_of_files {
    ($type:ty) => {
        impl $crate::data::Dataset for $type {
            fn len(&self) -> usize {
                self.files.len()
            }

            fn captions(&self, index: usize) -> std::borrow::Cow<'_, [String]> {
                self.files.captions(index).into()
            }

            fn picture(&self, index: usize) -> Result<image::RgbImage, $crate::data::PictureError> {
                self.files.picture(index)
            }

            fn name(&self, index: usize) -> std::borrow::Cow<'_, str> {
                self.files.name(index).into()
            }

            fn fingerprint(&self) -> $crate::data::Result<pleach_model::files::Sha256> {
                self.files.fingerprint()
            }
        }
    };
}

pub(super) use dataset_of_files;
