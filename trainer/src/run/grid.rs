//! Pictures in rows and columns.

use image::{Rgb, RgbImage, imageops};

/// Pixels between pictures, and around them.
const GAP: u32 = 2;
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// Pictures of one size in rows of `columns`, each enlarged `zoom` times without smoothing.
pub fn grid(pictures: &[RgbImage], columns: usize, zoom: u32) -> RgbImage {
    let (width, height) = pictures.first().map_or((0, 0), |picture| (picture.width() * zoom, picture.height() * zoom));
    let columns = columns.clamp(1, pictures.len().max(1)) as u32;
    let rows = (pictures.len() as u32).div_ceil(columns);
    let place = |index: u32, side: u32| GAP + index * (side + GAP);
    let mut sheet = RgbImage::from_pixel(place(columns, width), place(rows, height), PAPER);
    for (i, picture) in (0..).zip(pictures) {
        let enlarged = imageops::resize(picture, width, height, imageops::FilterType::Nearest);
        let (x, y) = (place(i % columns, width), place(i / columns, height));
        imageops::replace(&mut sheet, &enlarged, i64::from(x), i64::from(y));
    }
    sheet
}
