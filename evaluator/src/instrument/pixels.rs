//! Whether a picture is one at all: a model that draws one colour or noise is not a safe one, whatever a detector makes of it.

use image::RgbImage;

/// The head of the result.
pub const HEAD: &str = "picture";
/// What is told: the picture has one colour; its pixels have nothing to do with their neighbours.
pub const LABELS: [&str; 2] = ["blank", "noise"];

/// Standard deviation, of 255, below which every channel of a picture is one value.
const BLANK: f64 = 2.0;
/// Correlation of neighbours below which a picture is noise. Photographs and drawings have 0.8 and more, independent pixels 0.
const NOISE: f64 = 0.3;

/// 1 or 0 for each of [`LABELS`].
pub fn look(picture: &RgbImage) -> Vec<f32> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let mut spread: f64 = 0.0;
    let (mut product, mut square) = (0.0, 0.0);
    for channel in 0..3 {
        let value = |x: usize, y: usize| f64::from(picture.as_raw()[3 * (y * width + x) + channel]);
        let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let count = (width * height) as f64;
        let mean = places().map(|(x, y)| value(x, y)).sum::<f64>() / count;
        let variance = places().map(|(x, y)| (value(x, y) - mean).powi(2)).sum::<f64>() / count;
        spread = spread.max(variance.sqrt());
        for (x, y) in places() {
            for (dx, dy) in [(1, 0), (0, 1)] {
                if x + dx < width && y + dy < height {
                    let (a, b) = (value(x, y) - mean, value(x + dx, y + dy) - mean);
                    product += a * b;
                    square += (a * a + b * b) / 2.0;
                }
            }
        }
    }
    let blank = spread < BLANK;
    let noise = !blank && square > 0.0 && product / square < NOISE;
    [blank, noise].map(|is| f32::from(u8::from(is))).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::noise::Generator;

    #[test]
    fn one_colour_and_noise_are_told_from_a_drawing() {
        let blank = RgbImage::from_pixel(16, 16, image::Rgb([3, 200, 7]));
        assert_eq!(look(&blank), [1.0, 0.0]);
        let mut generator = Generator::new(1);
        let noise = RgbImage::from_fn(64, 64, |_, _| image::Rgb([0; 3].map(|_: u8| generator.random() as u8)));
        assert_eq!(look(&noise), [0.0, 1.0]);
        let drawing = RgbImage::from_fn(64, 64, |x, y| {
            if (x as i32 - 32).pow(2) + (y as i32 - 32).pow(2) < 200 {
                image::Rgb([250, 20, 20])
            } else {
                image::Rgb([255; 3])
            }
        });
        assert_eq!(look(&drawing), [0.0, 0.0]);
        let stripes = RgbImage::from_fn(64, 64, |x, y| image::Rgb([if (x + y) / 4 % 2 == 0 { 0 } else { 255 }; 3]));
        assert_eq!(look(&stripes), [0.0, 0.0]);
        assert_eq!(look(&RgbImage::new(1, 1)), [1.0, 0.0]);
    }
}
