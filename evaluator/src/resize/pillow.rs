//! Pillow's `Image.resize` on 8-bit pictures (`Resample.c`): a horizontal and a vertical pass, rounded to bytes after each, with
//! weights of 22 bits.
//!
//! As Pillow did it up to version 12, with which published numbers were computed: always the horizontal pass first. Pillow 13 begins
//! with the vertical one where the height shrinks more than the width (its pull request 9549), which rounds differently. For squares there is no
//! difference.

use image::RgbImage;

/// Bits of a weight after the point: 32, less those of a byte and two for sums above 1.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Pillow's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// `BILINEAR`.
    Bilinear,
    /// `BICUBIC`.
    Bicubic,
    /// `LANCZOS`.
    Lanczos,
}

impl Window {
    /// How far it reaches.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        match (self, x.abs()) {
            (Self::Bilinear, x) if x < 1.0 => 1.0 - x,
            (Self::Bicubic, x) if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            (Self::Bicubic, x) if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            (Self::Lanczos, _) if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// Resizes a picture. One without pixels, or to none, becomes black.
pub fn resize(picture: &RgbImage, width: u32, height: u32, window: Window) -> RgbImage {
    if picture.is_empty() || width == 0 || height == 0 {
        return RgbImage::new(width, height);
    }
    let across = if picture.width() == width { picture.clone() } else { horizontal(picture, width, window) };
    if across.height() == height { across } else { vertical(&across, height, window) }
}

/// The pixels that one pixel is made of: the first, and the weights of it and those after.
struct Share {
    first: usize,
    weights: Vec<i32>,
}

fn shares(from: u32, to: u32, window: Window) -> Vec<Share> {
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let support = window.support() * stretch;
    let share = |i: u32| {
        let center = (f64::from(i) + 0.5) * scale;
        // C's conversion to an integer, towards 0.
        let first = ((center - support + 0.5) as i64).max(0);
        let end = ((center + support + 0.5) as i64).min(i64::from(from));
        let weights: Vec<f64> =
            (first..end).map(|x| window.weight((x as f64 - center + 0.5) * (1.0 / stretch))).collect();
        let mut sum = 0.0;
        weights.iter().for_each(|weight| sum += weight);
        let fixed = |weight: f64| {
            let weight = if sum == 0.0 { weight } else { weight / sum };
            let scaled = weight * f64::from(1u32 << PRECISION_BITS);
            (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        };
        Share { first: first as usize, weights: weights.into_iter().map(fixed).collect() }
    };
    (0..to).map(share).collect()
}

/// The byte that a sum of weighted bytes stands for.
fn byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

fn horizontal(picture: &RgbImage, width: u32, window: Window) -> RgbImage {
    let shares = shares(picture.width(), width, window);
    let row_bytes = 3 * picture.width() as usize;
    let mut resized = RgbImage::new(width, picture.height());
    let rows = picture.as_raw().chunks_exact(row_bytes).zip(resized.chunks_exact_mut(3 * width as usize));
    for (from, to) in rows {
        for (share, pixel) in shares.iter().zip(to.chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (weight, from) in share.weights.iter().zip(from[3 * share.first..].chunks_exact(3)) {
                for (sum, &value) in sums.iter_mut().zip(from) {
                    *sum = sum.wrapping_add(i32::from(value) * weight);
                }
            }
            pixel.copy_from_slice(&sums.map(byte));
        }
    }
    resized
}

fn vertical(picture: &RgbImage, height: u32, window: Window) -> RgbImage {
    let shares = shares(picture.height(), height, window);
    let row_bytes = 3 * picture.width() as usize;
    let mut resized = RgbImage::new(picture.width(), height);
    let mut sums = vec![0; row_bytes];
    for (share, to) in shares.iter().zip(resized.chunks_exact_mut(row_bytes)) {
        sums.fill(HALF);
        let rows = picture.as_raw()[row_bytes * share.first..].chunks_exact(row_bytes);
        for (weight, from) in share.weights.iter().zip(rows) {
            for (sum, &value) in sums.iter_mut().zip(from) {
                *sum = i32::wrapping_add(*sum, i32::from(value) * weight);
            }
        }
        to.iter_mut().zip(&sums).for_each(|(value, &sum)| *value = byte(sum));
    }
    resized
}
