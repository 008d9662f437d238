//! 8-bit pictures, as the decoder's floating-point output becomes them.

use std::fmt;

/// An 8-bit RGB picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Image {
    /// A picture from interleaved rows, top first; `None` where there are not `3 * width * height` bytes.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        let bytes = 3 * u64::from(width) * u64::from(height);
        (rgb.len() as u64 == bytes).then_some(Self { width, height, rgb })
    }

    /// A picture from the decoder's planes `[3, height, width]` in -1 to 1, as diffusers' `VaeImageProcessor` makes it:
    /// `x / 2 + 0.5` clamped to 0 to 1, times 255, rounded half to even. `None` where the number of values is another.
    pub fn from_planes(width: u32, height: u32, planes: &[f32]) -> Option<Self> {
        let pixels = width as usize * height as usize;
        if planes.len() != 3 * pixels {
            return None;
        }
        let mut rgb = vec![0; planes.len()];
        for (channel, plane) in planes.chunks_exact(pixels.max(1)).enumerate() {
            for (pixel, value) in rgb.chunks_exact_mut(3).zip(plane) {
                pixel[channel] = ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
            }
        }
        Some(Self { width, height, rgb })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Peak signal-to-noise ratio against a picture of the same size, in decibels; none where they are the same.
    pub fn psnr(&self, other: &Self) -> Option<f64> {
        let difference = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
        let squares: f64 = self.rgb.iter().zip(&other.rgb).map(difference).sum();
        let mean = squares / self.rgb.len().max(1) as f64;
        (mean > 0.0).then(|| 10.0 * (255.0 * 255.0 / mean).log10())
    }

    /// Interleaved rows, top first: `3 * width * height` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decibels_by_hand() {
        let picture = |value| Image::new(2, 1, vec![value; 6]).unwrap();
        assert_eq!(picture(7).psnr(&picture(7)), None);
        // A mean square of 25 under the square of 255.
        assert!((picture(10).psnr(&picture(15)).unwrap() - 34.151_403_521_958_7).abs() < 1e-9);
    }

    #[test]
    fn planes_to_pixels() {
        // 0.00392157 * 2 - 1 is one step of 255; half a step rounds to even
        let value = |byte: f32| byte / 255.0 * 2.0 - 1.0;
        let planes = [value(1.0), -7.0, 7.0, value(0.4), f32::NAN, value(254.6)];
        let image = Image::from_planes(2, 1, &planes).unwrap();
        assert_eq!(image.rgb(), [1, 255, 0, 0, 0, 255]);
        assert_eq!(Image::from_planes(2, 2, &planes), None);
        assert_eq!(Image::new(2, 1, vec![0; 5]), None);
    }
}
