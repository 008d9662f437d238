//! From a picture of any size to the network's input.

use super::PictureError;
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};
use image::RgbImage;

/// Which square of a picture is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crop {
    /// The one in the middle.
    #[default]
    Center,
    /// Any.
    Random,
}

/// What diffusers' training scripts do to a picture: the shorter side is resized (bilinear, antialiased, as Pillow does it), a square is
/// taken, mirrored or not, and brought to [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Side of the square.
    pub resolution: usize,
    /// Which square.
    pub crop: Crop,
    /// Whether half of the pictures are mirrored.
    pub flip: bool,
}

/// What is chosen at random for a picture. [`Transform`] says what of it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// Chooses the square's left side.
    pub left: u64,
    /// Chooses the square's upper side.
    pub top: u64,
    /// Whether the square is mirrored.
    pub flip: bool,
}

impl Transform {
    /// The square in the middle, not mirrored.
    pub fn center(resolution: usize) -> Self {
        Self { resolution, crop: Crop::Center, flip: false }
    }

    /// Number of values that [`apply`](Self::apply) gives.
    pub fn numel(&self) -> usize {
        3 * self.resolution * self.resolution
    }

    /// `[3, resolution, resolution]` in [-1, 1].
    ///
    /// # Errors
    /// A picture so narrow that it cannot be resized.
    pub fn apply(&self, picture: &RgbImage, draw: &Draw) -> Result<Vec<f32>, PictureError> {
        let side = self.resolution;
        let resized = resize(picture, side)?;
        let (width, height) = (resized.width() as usize, resized.height() as usize);
        let place = |length: usize, draw: u64| match self.crop {
            Crop::Center => middle(length - side),
            Crop::Random => ((u128::from(draw) * (length - side + 1) as u128) >> 64) as usize,
        };
        let (left, top, flip) = (place(width, draw.left), place(height, draw.top), self.flip && draw.flip);
        let mut values = vec![0.0; self.numel()];
        let rows = resized.as_raw().chunks_exact(3 * width).skip(top).take(side);
        for (y, row) in rows.enumerate() {
            for (x, pixel) in row.chunks_exact(3).skip(left).take(side).enumerate() {
                let x = if flip { side - 1 - x } else { x };
                for (channel, &value) in pixel.iter().enumerate() {
                    values[(channel * side + y) * side + x] = scale(value);
                }
            }
        }
        Ok(values)
    }
}

/// torchvision's `ToTensor` and `Normalize([0.5], [0.5])`.
fn scale(value: u8) -> f32 {
    (f32::from(value) / 255.0 - 0.5) / 0.5
}

/// Half of it, rounded as Python rounds: torchvision's `CenterCrop` does.
fn middle(excess: usize) -> usize {
    let half = excess / 2;
    half + usize::from(excess % 2 == 1 && half % 2 == 1)
}

/// The picture with `side` as its shorter side; the other is cut to whole pixels, as torchvision does.
fn resize(picture: &RgbImage, side: usize) -> Result<RgbImage, PictureError> {
    let (width, height) = picture.dimensions();
    let (short, long) = (width.min(height), width.max(height));
    if short == 0 || side == 0 {
        return Err(PictureError::NoPixels);
    }
    let too_large = || PictureError::TooLarge { size: Some((width, height)) };
    let longer = side as u64 * u64::from(long) / u64::from(short);
    let size = |of: u32| if of == short { side as u64 } else { longer };
    let (wide, high) = (size(width), size(height));
    // A picture of one row can become as wide as the resolution times its width.
    if wide.saturating_mul(high).saturating_mul(3) > super::MAX_ALLOCATION {
        return Err(too_large());
    }
    let (wide, high) = (u32::try_from(wide).map_err(|_| too_large())?, u32::try_from(high).map_err(|_| too_large())?);
    if (wide, high) == (width, height) {
        return Ok(picture.clone());
    }
    let failed = |error: &dyn std::fmt::Display| PictureError::Decode(format!("resizing: {error}"));
    let source = ImageRef::new(width, height, picture.as_raw(), PixelType::U8x3).map_err(|error| failed(&error))?;
    let mut resized = Image::new(wide, high, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
    Resizer::new().resize(&source, &mut resized, &options).map_err(|error| failed(&error))?;
    RgbImage::from_raw(wide, high, resized.into_vec()).ok_or(PictureError::NoPixels)
}

#[cfg(test)]
mod tests;
