//! Training data in the forms that people have it: pictures with captions, read ahead in a reproducible order.
//!
//! A [`Dataset`] gives pictures and captions by index; [`open`] finds out which form a path has. A [`Transform`] brings a picture to
//! the network's size. A [`Loader`] decodes in the background and gives batches; where it stands is a [`Position`], from which another
//! loader goes on exactly. [`cache`] keeps what frozen encoders make of a data set.

pub mod cache;
mod coco;
mod error;
mod files;
mod folder;
mod loader;
mod open;
mod order;
mod picture;
mod subset;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transform;

pub use coco::CocoCaptions;
pub use error::{Error, Result, Warning};
pub use folder::ImageFolder;
pub use loader::{Batch, Loader, LoaderOptions};
pub use open::{OpenOptions, Opened, open};
pub use order::Position;
pub use picture::{Broken, MAX_ALLOCATION, MAX_SIDE, PictureError, decode};
pub use subset::{Part, Subset};
pub use transform::{Crop, Draw, Transform};

use image::RgbImage;
use pleach_model::files::Sha256;
use std::borrow::Cow;

/// Pictures, each with one or more captions. Many threads read at once.
pub trait Dataset: Send + Sync {
    /// Number of pictures.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Captions of a picture; none for an index that is too large.
    fn captions(&self, index: usize) -> Cow<'_, [String]>;

    /// Captions of all pictures, one after the other.
    fn all_captions(&self) -> Vec<String> {
        (0..self.len()).flat_map(|index| self.captions(index).into_owned()).collect()
    }

    /// The picture, decoded now.
    ///
    /// # Errors
    /// The file cannot be read or is not a picture.
    fn picture(&self, index: usize) -> Result<RgbImage, PictureError>;

    /// What messages call the picture: its file's name.
    fn name(&self, index: usize) -> Cow<'_, str>;

    /// A hash of everything that the data set is. It may read every file.
    ///
    /// # Errors
    /// A file cannot be read.
    fn fingerprint(&self) -> Result<Sha256>;
}
