//! Resizing as the libraries do it that metrics are defined with, to the bit.
//!
//! Two resizers of the same name differ by more than metrics can bear: Pillow widens its filter when a picture shrinks, OpenCV and
//! PyTorch do not; Pillow and OpenCV round to bytes in fixed point, each in its own.

mod opencv;
mod pillow;
mod torch;

pub use opencv::linear as opencv_linear;
pub use pillow::{Window, resize as pillow};
pub use torch::bilinear as torch_bilinear;

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// How a picture is resized: which library's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Pillow's `BILINEAR`: a triangle, widened when a picture shrinks.
    PillowBilinear,
    /// Pillow's `BICUBIC` (a = -0.5), widened when a picture shrinks.
    PillowBicubic,
    /// Pillow's `LANCZOS` (three lobes), widened when a picture shrinks.
    PillowLanczos,
    /// OpenCV's `INTER_LINEAR` on bytes: two neighbours each way, never widened.
    OpencvLinear,
    /// PyTorch's `interpolate(mode="bilinear", align_corners=False)` in single precision: two neighbours each way, never widened,
    /// never rounded to bytes.
    TorchBilinear,
}

impl Filter {
    /// Resizes a picture, to bytes: [`Filter::TorchBilinear`] is rounded to the nearest.
    pub fn resize(self, picture: &RgbImage, width: u32, height: u32) -> RgbImage {
        match self {
            Self::PillowBilinear => pillow(picture, width, height, Window::Bilinear),
            Self::PillowBicubic => pillow(picture, width, height, Window::Bicubic),
            Self::PillowLanczos => pillow(picture, width, height, Window::Lanczos),
            Self::OpencvLinear => opencv_linear(picture, width, height),
            Self::TorchBilinear => {
                let planes = torch_bilinear(picture, width, height);
                let size = width as usize * height as usize;
                RgbImage::from_fn(width, height, |x, y| {
                    let at = y as usize * width as usize + x as usize;
                    image::Rgb([0, 1, 2].map(|channel| planes[channel * size + at].round() as u8))
                })
            }
        }
    }

    /// Resizes a picture to `[3, height, width]`, values 0 to 255. Where a side is 0, there are no values.
    pub fn planes(self, picture: &RgbImage, width: u32, height: u32) -> Vec<f32> {
        if self == Self::TorchBilinear {
            return torch_bilinear(picture, width, height);
        }
        let resized = self.resize(picture, width, height);
        (0..3).flat_map(|channel| resized.pixels().map(move |pixel| f32::from(pixel.0[channel]))).collect()
    }
}
