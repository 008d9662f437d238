use super::*;
use image::{ImageReader, Rgb};
use std::path::Path;

fn fixture(name: &str) -> RgbImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pictures").join(name);
    ImageReader::open(path).unwrap().decode().unwrap().into_rgb8()
}

#[test]
fn resizing_agrees_with_pillow() {
    for (name, sides) in [("wide", &[24, 31, 64][..]), ("tall", &[16, 24, 37]), ("tiny", &[16, 33])] {
        let picture = fixture(&format!("{name}.png"));
        for &side in sides {
            let expected = fixture(&format!("{name}.{side}.png"));
            let found = resize(&picture, side).unwrap();
            assert_eq!(found.dimensions(), expected.dimensions(), "{name} {side}");
            let worst = found.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= 1, "{name} {side}: {worst}");
        }
    }
}

/// A picture whose red tells the column and whose green tells the row.
fn grid(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 255]))
}

/// Left column, upper row, and whether columns run backwards.
fn place(transform: &Transform, picture: &RgbImage, draw: &Draw) -> (usize, usize, bool) {
    let values = transform.apply(picture, draw).unwrap();
    let plane = transform.resolution * transform.resolution;
    let level = |value: f32| ((value * 0.5 + 0.5) * 255.0).round() as usize;
    let (first, last) = (level(values[0]), level(values[transform.resolution - 1]));
    assert!(values[2 * plane..].iter().all(|&value| value == 1.0));
    (first.min(last), level(values[plane]), first > last)
}

#[test]
fn the_middle_is_rounded_as_python_rounds() {
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(middle), [0, 0, 1, 2, 2, 2, 3, 4]);
    let center = Transform::center(10);
    let draw = Draw { left: u64::MAX, top: u64::MAX, flip: true };
    assert_eq!(place(&center, &grid(17, 10), &draw), (4, 0, false));
    assert_eq!(place(&center, &grid(10, 13), &draw), (0, 2, false));
}

#[test]
fn random_squares_reach_every_place_and_are_mirrored() {
    let transform = Transform { resolution: 10, crop: Crop::Random, flip: true };
    let at = |left, flip| place(&transform, &grid(14, 10), &Draw { left, top: 77, flip });
    let fifth = u64::MAX / 5;
    for place in 0..5 {
        assert_eq!(at(place * fifth + 9, place % 2 == 0), (place as usize, 0, place % 2 == 0));
    }
    assert_eq!(at(u64::MAX, true), (4, 0, true));
}

#[test]
fn values_are_those_of_to_tensor_and_normalize() {
    assert_eq!([0, 51, 255].map(scale), [-1.0, -0.6, 1.0]);
    assert!(scale(127) < 0.0 && scale(128) > 0.0);
}

#[test]
fn what_cannot_be_resized_is_an_error() {
    let message = |picture: &RgbImage| resize(picture, 512).unwrap_err().to_string();
    assert_eq!(
        message(&RgbImage::new(16_384, 1)),
        "of 16384 x 1 pixels is too large: at most 16384 pixels on a side and 512 MB are decoded"
    );
    assert_eq!(message(&RgbImage::new(0, 0)), "has no pixels");
}
