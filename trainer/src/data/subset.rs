//! Part of a data set.

use super::{Dataset, PictureError};
use image::RgbImage;
use pleach_model::files::Sha256;
use std::{borrow::Cow, sync::Arc};

/// Which captions of which pictures of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part(Vec<(usize, Vec<usize>)>);

impl Part {
    /// These captions of each picture, by their numbers; pictures of which none is left are left out.
    pub fn new(captions: impl IntoIterator<Item = Vec<usize>>) -> Self {
        Self(captions.into_iter().enumerate().filter(|(_, captions)| !captions.is_empty()).collect())
    }

    /// Pictures that are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of a picture, and of its captions, in the whole.
    pub fn get(&self, index: usize) -> Option<(usize, &[usize])> {
        self.0.get(index).map(|(picture, captions)| (*picture, captions.as_slice()))
    }
}

/// Part of a data set, as a data set.
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    part: Arc<Part>,
}

impl Subset {
    /// This part of `dataset`.
    pub fn new(dataset: Arc<dyn Dataset>, part: Arc<Part>) -> Self {
        Self { dataset, part }
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.part.len()
    }

    fn captions(&self, index: usize) -> Cow<'_, [String]> {
        let Some((picture, captions)) = self.part.get(index) else { return Cow::Borrowed(&[]) };
        let all = self.dataset.captions(picture);
        captions.iter().filter_map(|&number| all.get(number).cloned()).collect::<Vec<_>>().into()
    }

    fn picture(&self, index: usize) -> Result<RgbImage, PictureError> {
        // An index that is too large is the other data set's to refuse.
        self.dataset.picture(self.part.get(index).map_or(usize::MAX, |(picture, _)| picture))
    }

    fn name(&self, index: usize) -> Cow<'_, str> {
        self.part.get(index).map_or(Cow::Borrowed(""), |(picture, _)| self.dataset.name(picture))
    }

    fn fingerprint(&self) -> super::Result<Sha256> {
        let whole = self.dataset.fingerprint()?;
        Ok(Sha256::of(format!("{whole} {:?}", self.part).as_bytes()))
    }
}
