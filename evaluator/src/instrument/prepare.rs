//! From a picture of any size to the tensor that a graph takes.

use super::Error;
use crate::resize::Filter;
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// How a picture becomes `[1, 3, height, width]`.
///
/// Values are `(v / 255 - mean) / std`, and means and deviations are in the order of the channels that the graph takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Pixels that the graph takes.
    pub width: u32,
    /// Pixels that the graph takes.
    pub height: u32,
    /// What becomes of pictures of another shape.
    pub fit: Fit,
    /// How pictures are resized.
    pub filter: Filter,
    /// The order of the channels.
    #[serde(default)]
    pub channels: Channels,
    /// Subtracted from each channel.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Each channel is divided by it.
    #[serde(default = "one")]
    pub std: [f32; 3],
}

fn one() -> [f32; 3] {
    [1.0; 3]
}

/// What becomes of a picture of another shape than the input's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// It is resized to the input, whatever that does to it.
    Squash,
    /// Its shorter side is resized to the input's, and the middle is taken, as torchvision's `Resize` and `CenterCrop` do.
    Crop,
    /// It is padded with zeros on the right or at the bottom to a square, which is resized (NudeNet 3.4).
    Pad,
    /// Its longer side is resized to the input's, and zeros are put on both sides of the shorter one (NudeNet 3.0).
    Letterbox,
}

/// The order of the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// The most pixels that a picture may have on its way to the graph.
const LARGEST: u64 = 1 << 27;
/// The longest side of an input.
const LONGEST: u32 = 4096;

/// A picture as the graph takes it.
#[derive(Debug)]
pub(super) struct Prepared {
    /// `[3, height, width]`
    pub(super) values: Vec<f32>,
    /// Where it came to lie.
    pub(super) frame: Frame,
}

/// Where a picture came to lie in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    /// Pixels of the picture.
    pub(super) width: u32,
    /// Pixels of the picture.
    pub(super) height: u32,
    /// How it was placed.
    pub(super) placed: Placed,
}

/// How a picture was placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Placed {
    /// In the upper left corner: so many pixels of the picture, with padding, were resized to the input.
    Corner { across: u32, down: u32 },
    /// So many pixels of the input are left of it and above; one pixel of the input is `factor` of the picture.
    Centered { left: u32, top: u32, factor: f64 },
    /// Part of it is missing.
    Cropped,
}

impl Preparation {
    /// Whether the settings make sense; the error is the reason why not.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { width, height, fit, .. } = *self;
        if ![width, height].iter().all(|side| (1..=LONGEST).contains(side)) {
            return Err(format!("its input is {width} x {height} pixels; 1 to {LONGEST} each way are possible"));
        }
        if width != height && fit != Fit::Squash {
            return Err(format!(
                "its input is {width} x {height} pixels; only fit = \"squash\" takes one that is not square"
            ));
        }
        if fit == Fit::Letterbox && self.filter == Filter::TorchBilinear {
            return Err("fit = \"letterbox\" resizes to bytes, which filter = \"torch-bilinear\" does not".into());
        }
        if !self.mean.iter().chain(&self.std).all(|value| value.is_finite()) || self.std.contains(&0.0) {
            return Err("mean and std are finite numbers, and std is not 0".into());
        }
        Ok(())
    }

    /// Prepares a picture for the instrument `name`.
    pub(super) fn apply(&self, name: &str, picture: &RgbImage) -> Result<Prepared, Error> {
        let (width, height) = picture.dimensions();
        let refused = || Error::Size { name: name.to_owned(), width, height, side: self.width };
        let fits = |width: u32, height: u32| u64::from(width) * u64::from(height) <= LARGEST && width > 0 && height > 0;
        if !fits(width, height) {
            return Err(refused());
        }
        let side = self.width;
        let (planes, placed) = match self.fit {
            Fit::Squash => {
                let placed = Placed::Corner { across: width, down: height };
                (self.filter.planes(picture, side, self.height), placed)
            }
            Fit::Pad => {
                let longer = width.max(height);
                if !fits(longer, longer) {
                    return Err(refused());
                }
                let mut padded = RgbImage::new(longer, longer);
                image::imageops::replace(&mut padded, picture, 0, 0);
                (self.filter.planes(&padded, side, side), Placed::Corner { across: longer, down: longer })
            }
            Fit::Crop => {
                let longer =
                    |longer: u32, shorter: u32| u32::try_from(u64::from(side) * u64::from(longer) / u64::from(shorter));
                let (wide, tall) = if width <= height {
                    (side, longer(height, width).map_err(|_| refused())?)
                } else {
                    (longer(width, height).map_err(|_| refused())?, side)
                };
                if !fits(wide, tall) {
                    return Err(refused());
                }
                let planes = self.filter.planes(picture, wide, tall);
                (crop(&planes, wide as usize, tall as usize, side as usize), Placed::Cropped)
            }
            Fit::Letterbox => {
                let (boxed, placed) = letterbox(picture, side, self.filter).ok_or_else(refused)?;
                (self.filter.planes(&boxed, side, side), placed)
            }
        };
        Ok(Prepared { values: self.normalized(planes), frame: Frame { width, height, placed } })
    }

    fn normalized(&self, planes: Vec<f32>) -> Vec<f32> {
        let size = self.width as usize * self.height as usize;
        let order: [usize; 3] = match self.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
        };
        let scaled = order.iter().zip(self.mean.iter().zip(&self.std)).flat_map(|(&channel, (mean, std))| {
            planes[channel * size..][..size].iter().map(move |value| (value / 255.0 - mean) / std)
        });
        scaled.collect()
    }
}

/// The square in the middle of planes, where torchvision's `CenterCrop` takes it: half of what is too much, rounded as Python rounds.
fn crop(planes: &[f32], width: usize, height: usize, side: usize) -> Vec<f32> {
    let before = |length: usize| {
        let excess = length - side;
        excess / 2 + usize::from(excess % 4 == 3)
    };
    let (left, top) = (before(width), before(height));
    let rows = planes.chunks_exact(width * height).flat_map(|plane| plane.chunks_exact(width).skip(top).take(side));
    rows.flat_map(|row| &row[left..][..side]).copied().collect()
}

/// What NudeNet 3.0 makes of a picture before the last resizing: where the padding is odd, a line is missing, and that resizing
/// stretches the picture to fill it.
fn letterbox(picture: &RgbImage, side: u32, filter: Filter) -> Option<(RgbImage, Placed)> {
    let (width, height) = picture.dimensions();
    let aspect = f64::from(width) / f64::from(height);
    let length = f64::from(side);
    let (wide, tall) = if height > width {
        ((length * aspect).round_ties_even() as u32, side)
    } else {
        (side, (length / aspect).round_ties_even() as u32)
    };
    if wide == 0 || tall == 0 {
        return None;
    }
    let square = |width: u32, height: u32| f64::from(width).powi(2) + f64::from(height).powi(2);
    let factor = (square(width, height) / square(wide, tall)).sqrt();
    let (left, top) = ((side - wide) / 2, (side - tall) / 2);
    let mut boxed = RgbImage::new(wide + 2 * left, tall + 2 * top);
    image::imageops::replace(&mut boxed, &filter.resize(picture, wide, tall), left.into(), top.into());
    Some((boxed, Placed::Centered { left, top, factor }))
}
