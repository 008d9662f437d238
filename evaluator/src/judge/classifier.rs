//! The classifier that judges, over decoded pictures.

pub use pleach_runtime::classifier::Seen;

use super::Result;
use image::RgbImage;
use pleach_model::vision::Head;
use pleach_runtime::{
    classifier::{self, Pixels},
    engine::Engine,
};
use std::path::Path;

/// A classifier as `pleach export` writes it, opened in ONNX Runtime.
#[derive(Debug)]
pub struct Classifier(classifier::Classifier);

impl Classifier {
    /// Opens the classifier in `folder`.
    ///
    /// # Errors
    /// Those of [`classifier::Classifier::open`].
    pub fn open(engine: &Engine, folder: &Path) -> Result<Self> {
        Ok(Self(classifier::Classifier::open(engine, folder)?))
    }

    /// What it distinguishes.
    pub fn heads(&self) -> &[Head] {
        self.0.heads()
    }

    /// Looks at pictures of one size.
    ///
    /// # Errors
    /// ONNX Runtime fails, or gives something of another shape.
    pub fn look(&mut self, pictures: &[&RgbImage]) -> Result<Vec<Seen>> {
        let pictures: Vec<Pixels<'_>> = pictures.iter().map(|picture| pixels(picture)).collect();
        Ok(self.0.look(&pictures)?)
    }
}

fn pixels(picture: &RgbImage) -> Pixels<'_> {
    let (width, height) = picture.dimensions();
    Pixels { width, height, rgb: picture.as_raw() }
}
