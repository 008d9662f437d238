//! Pictures, made small enough to be shown to anyone.

use super::{Error, Result, SHOWN};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{DynamicImage, ImageFormat, RgbImage, imageops};
use std::{collections::BTreeMap, io::Cursor};

/// Whether something may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sensitivity {
    /// It may.
    Public,
    /// It may not: what is shown of it cannot be turned back.
    Restricted,
}

/// Longest side of a thumbnail that may be published, in pixels.
pub const PUBLIC_SIDE: u32 = 96;
/// Longest side of a restricted thumbnail, in pixels.
pub const RESTRICTED_SIDE: u32 = 64;
/// Longest side that a restricted picture is averaged down to before it is enlarged again: what is left of it.
const KEPT_SIDE: u32 = 16;

/// A PNG of a picture, without any text in it. A public one has at most 96 pixels on its longer side; a restricted one is grey, has
/// at most 64, and holds only what averages over a 16th of the longer side (a quarter of it, for pictures under 64 pixels) hold, so
/// nothing can sharpen it again.
///
/// # Errors
/// A picture without pixels.
pub fn thumbnail(picture: &RgbImage, sensitivity: Sensitivity) -> Result<Vec<u8>> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::Empty { width, height });
    }
    let small = match sensitivity {
        Sensitivity::Public => {
            let (width, height) = fit(width, height, PUBLIC_SIDE);
            DynamicImage::ImageRgb8(imageops::resize(picture, width, height, imageops::FilterType::Lanczos3))
        }
        Sensitivity::Restricted => {
            let kept = fit(width, height, KEPT_SIDE.min(width.max(height) / 4).max(1));
            let grey = imageops::grayscale(picture);
            let coarse = imageops::resize(&grey, kept.0, kept.1, imageops::FilterType::Triangle);
            let (width, height) = fit(width, height, RESTRICTED_SIDE);
            DynamicImage::ImageLuma8(imageops::resize(&coarse, width, height, imageops::FilterType::CatmullRom))
        }
    };
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

/// The size with the same proportions whose longer side is at most `side`. Never larger than the picture is.
fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let scaled = |length: u32| (f64::from(length) * f64::from(side) / f64::from(longer)).round().max(1.0) as u32;
    (scaled(width), scaled(height))
}

/// Thumbnails by the hash of their pictures. It makes them itself, so no original gets in.
#[derive(Clone, Debug)]
pub struct Thumbnails {
    pictures: BTreeMap<String, (Sensitivity, Vec<u8>)>,
    most: usize,
}

/// None yet, for a page of [`SHOWN`] samples.
impl Default for Thumbnails {
    fn default() -> Self {
        Self::of_samples(SHOWN)
    }
}

impl Thumbnails {
    /// None yet, for a page that shows at most so many samples.
    pub fn of_samples(most: usize) -> Self {
        Self { pictures: BTreeMap::new(), most }
    }

    /// Most samples that the page shows.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Adds one for the picture with this hash. What was restricted once stays so.
    ///
    /// # Errors
    /// As [`thumbnail`].
    pub fn add(&mut self, picture: &str, pixels: &RgbImage, sensitivity: Sensitivity) -> Result<()> {
        if self.sensitivity(picture) != Some(Sensitivity::Restricted) {
            self.pictures.insert(picture.to_owned(), (sensitivity, thumbnail(pixels, sensitivity)?));
        }
        Ok(())
    }

    /// Whether there is one of a picture, and what it was made as.
    pub fn sensitivity(&self, picture: &str) -> Option<Sensitivity> {
        self.pictures.get(picture).map(|(sensitivity, _)| *sensitivity)
    }

    /// One of them as a `data:` address.
    pub(super) fn address(&self, picture: &str) -> Option<String> {
        let (_, png) = self.pictures.get(picture)?;
        Some(format!("data:image/png;base64,{}", STANDARD.encode(png)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black and white squares of 8 pixels.
    fn board(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| if (x / 8 + y / 8) % 2 == 0 { [255, 0, 0] } else { [0, 0, 255] }.into())
    }

    fn chunks(png: &[u8]) -> Vec<String> {
        let (mut names, mut at) = (Vec::new(), 8);
        while at + 8 <= png.len() {
            let length = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
            names.push(String::from_utf8_lossy(&png[at + 4..at + 8]).into_owned());
            at += length + 12;
        }
        names.dedup();
        names
    }

    #[test]
    fn a_restricted_thumbnail_is_small_grey_and_blurred_for_good() {
        let png = thumbnail(&board(512, 256), Sensitivity::Restricted).unwrap();
        let small = image::load_from_memory(&png).unwrap();
        assert_eq!((small.width(), small.height()), (64, 32));
        assert_eq!(small.color(), image::ColorType::L8);
        // The squares are a quarter of what is averaged: nothing of their contrast (179) is left.
        let values: Vec<u8> = small.to_luma8().into_raw();
        let (low, high) = (values.iter().min().unwrap(), values.iter().max().unwrap());
        assert!(high - low <= 8, "{low} to {high}");
        assert_eq!(chunks(&png), ["IHDR", "IDAT", "IEND"]);
    }

    #[test]
    fn a_small_restricted_picture_is_blurred_as_well() {
        for side in [1, 2, 3, 8, 16, 64] {
            let lines = RgbImage::from_fn(side, side, |x, _| if x % 2 == 0 { [255; 3] } else { [0; 3] }.into());
            let png = thumbnail(&lines, Sensitivity::Restricted).unwrap();
            let small = image::load_from_memory(&png).unwrap().to_luma8();
            assert_eq!(small.dimensions(), (side, side));
            let contrast = small.iter().max().unwrap() - small.iter().min().unwrap();
            assert!(contrast < 100, "{side}: {contrast}");
        }
    }

    #[test]
    fn a_public_thumbnail_keeps_colours_and_proportions() {
        let png = thumbnail(&board(512, 384), Sensitivity::Public).unwrap();
        let small = image::load_from_memory(&png).unwrap();
        assert_eq!((small.width(), small.height(), small.color()), (96, 72, image::ColorType::Rgb8));
        assert_eq!(chunks(&png), ["IHDR", "IDAT", "IEND"]);
        let same = image::load_from_memory(&thumbnail(&board(64, 64), Sensitivity::Public).unwrap()).unwrap();
        assert_eq!(same.to_rgb8(), board(64, 64));
    }

    #[test]
    fn extreme_proportions_keep_a_pixel_and_no_pixels_are_an_error() {
        let line = thumbnail(&board(4000, 1), Sensitivity::Restricted).unwrap();
        assert_eq!(image::load_from_memory(&line).unwrap().height(), 1);
        assert!(matches!(
            thumbnail(&RgbImage::new(0, 5), Sensitivity::Public),
            Err(Error::Empty { width: 0, height: 5 })
        ));
    }

    #[test]
    fn what_was_restricted_once_stays_so() {
        let mut thumbnails = Thumbnails::default();
        thumbnails.add("a", &board(64, 64), Sensitivity::Public).unwrap();
        thumbnails.add("a", &board(64, 64), Sensitivity::Restricted).unwrap();
        let blurred = thumbnails.address("a");
        thumbnails.add("a", &board(64, 64), Sensitivity::Public).unwrap();
        assert_eq!(thumbnails.sensitivity("a"), Some(Sensitivity::Restricted));
        assert_eq!(thumbnails.address("a"), blurred);
        assert!(blurred.unwrap().starts_with("data:image/png;base64,iVBOR"));
    }
}
