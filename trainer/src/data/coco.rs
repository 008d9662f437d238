//! The captions of MS-COCO, and of the many data sets that come in its form.

use super::{
    Error, Warning,
    error::Result,
    files::{Files, Listing, dataset_of_files},
};
use pleach_model::files::read_bounded;
use serde::Deserialize;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// COCO's largest has 90 MB.
const MAX_CAPTIONS: u64 = 4 << 30;

/// A captions file and the folder of its pictures; pictures have several captions.
#[derive(Debug)]
pub struct CocoCaptions {
    files: Files,
    warnings: Vec<Warning>,
}

/// What is read of a captions file.
#[derive(Deserialize)]
struct Captions {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    caption: String,
}

/// COCO has numbers; others made in its image have texts.
#[derive(Deserialize, PartialEq, Eq, Hash)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

impl CocoCaptions {
    /// Opens a captions file. Without a folder, the pictures of `captions_NAME.json` are looked for in the folder `NAME` beside the file
    /// or beside its folder, as in COCO's own archives.
    ///
    /// # Errors
    /// [`Error::Captions`], [`Error::NoImages`], [`Error::Missing`], [`Error::Empty`], and [`Error::File`] for a name that leads elsewhere.
    pub fn open(path: &Path, images: Option<&Path>) -> Result<Self> {
        let bytes = read_bounded(path, MAX_CAPTIONS)?;
        let captions: Captions =
            serde_json::from_slice(&bytes).map_err(|source| Error::Captions { path: path.to_owned(), source })?;
        let folder = images.map_or_else(|| find_images(path), |folder| Ok(folder.to_owned()))?;
        let mut of_image: HashMap<&Id, Vec<String>> =
            captions.images.iter().map(|image| (&image.id, Vec::new())).collect();
        let mut unknown = 0;
        for Annotation { image_id, caption } in captions.annotations {
            match of_image.get_mut(&image_id) {
                Some(list) => list.push(caption),
                None => unknown += 1,
            }
        }
        let (mut listing, mut uncaptioned) = (Listing::new(path, &folder), 0);
        for image in &captions.images {
            match of_image.remove(&image.id) {
                Some(list) if !list.is_empty() => listing.push(image.file_name.clone(), list)?,
                _ => uncaptioned += 1,
            }
        }
        let (files, mut warnings) = listing.finish()?;
        warnings.extend((unknown > 0).then_some(Warning::Unknown { captions: unknown }));
        warnings.extend((uncaptioned > 0).then_some(Warning::Uncaptioned { pictures: uncaptioned }));
        Ok(Self { files, warnings })
    }

    /// What is worth knowing about it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

dataset_of_files!(CocoCaptions);

fn find_images(path: &Path) -> Result<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let split = stem.strip_prefix("captions_").unwrap_or(&stem);
    let folder = path.parent().unwrap_or(Path::new(""));
    // `annotations/captions_train2017.json` lies beside `train2017/`, or beside `images/train2017/`, or all is in one folder.
    let mut tried = vec![folder.join(split)];
    if let Some(root) = folder.parent() {
        tried.extend([root.join(split), root.join("images").join(split)]);
    }
    match tried.iter().position(|folder| folder.is_dir()) {
        Some(found) => Ok(tried.swap_remove(found)),
        None => Err(Error::NoImages { path: path.to_owned(), tried }),
    }
}
