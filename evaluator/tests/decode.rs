//! Files to pictures.

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};
use pleach_evaluator::decode::{Error, MOST_PIXELS, decode, decode_file};
use std::{io::Cursor, path::PathBuf};

fn form(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/fixtures/pictures/forms", name].iter().collect()
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// `imread` of OpenCV 4.10 and 5.0 gives these very pixels, but for the PNG with an orientation, which it turns.
#[test]
fn every_form_becomes_what_opencv_makes_of_it() {
    for name in ["alpha.png", "bits.png", "grey.png", "grey_alpha.png", "palette.png", "grey.jpg", "turned.jpg"] {
        let expected = image::open(form(&format!("{name}.rgb.png"))).unwrap().into_rgb8();
        let found = decode_file(&form(name)).unwrap();
        assert_eq!(found.dimensions(), expected.dimensions(), "{name}");
        // JPEG leaves the last bit of the transform to the decoder.
        let allowed = if name.ends_with(".jpg") { 3 } else { 0 };
        let furthest = found.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(furthest <= allowed, "{name}: {furthest}");
    }
    assert_eq!(decode_file(&form("turned.png")).unwrap().dimensions(), (20, 12));
}

/// As `imread` does: 0x12ff is 0x12, not 0x13.
#[test]
fn of_sixteen_bits_the_upper_eight_are_kept() {
    let pixels = [Rgb([0x12, 0xff, 0x80])];
    let check = |deep: DynamicImage, expected: [u8; 3]| {
        let found = decode(&encoded(deep, ImageFormat::Png), MOST_PIXELS).unwrap();
        assert_eq!(found, RgbImage::from_pixel(2, 1, Rgb(expected)));
    };
    let [Rgb(rgb)] = pixels;
    check(ImageBuffer::from_pixel(2, 1, Rgb([0x12ffu16, 0xffff, 0x80ff])).into(), rgb);
    check(ImageBuffer::from_pixel(2, 1, Rgba([0x12ffu16, 0xffff, 0x80ff, 7])).into(), rgb);
    check(ImageBuffer::from_pixel(2, 1, Luma([0x12ffu16])).into(), [0x12; 3]);
    check(ImageBuffer::from_pixel(2, 1, LumaA([0x12ffu16, 0])).into(), [0x12; 3]);
}

#[test]
fn what_is_below_transparency_shows() {
    let png = encoded(image::RgbaImage::from_pixel(3, 2, Rgba([10, 20, 30, 0])), ImageFormat::Png);
    assert_eq!(decode(&png, MOST_PIXELS).unwrap(), RgbImage::from_pixel(3, 2, Rgb([10, 20, 30])));
}

/// A PNG whose header claims this size, and which ends there.
fn claims(width: u32, height: u32) -> Vec<u8> {
    let mut png = encoded(RgbImage::new(1, 1), ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = png_crc(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

fn png_crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

#[test]
fn what_is_too_large_is_refused_by_its_header() {
    let error = decode(&claims(65_536, 65_536), MOST_PIXELS).unwrap_err();
    assert!(matches!(error, Error::TooLarge { width: 65_536, height: 65_536, most: MOST_PIXELS }), "{error}");
    assert_eq!(error.to_string(), "has 65536 x 65536 pixels, more than the 67108864 that are decoded");
    let small = encoded(RgbImage::new(20, 10), ImageFormat::Png);
    assert!(matches!(decode(&small, 199).unwrap_err(), Error::TooLarge { .. }));
    assert!(decode(&small, 200).is_ok());
}

#[test]
fn damage_is_an_error() {
    let whole = encoded(RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8, y as u8, 3])), ImageFormat::Png);
    for length in 0..whole.len() - 20 {
        let error = decode(&whole[..length], MOST_PIXELS).unwrap_err();
        assert!(matches!(error, Error::Format | Error::Damaged(_)), "{length}: {error}");
    }
    assert!(matches!(decode(&claims(0, 5), MOST_PIXELS).unwrap_err(), Error::NoPixels | Error::Damaged(_)));
    assert!(matches!(decode(b"a text", MOST_PIXELS).unwrap_err(), Error::Format));
    assert!(matches!(decode_file(&form("palette.gif")).unwrap_err(), Error::Format));
    assert!(matches!(decode_file(&form("missing.png")).unwrap_err(), Error::File(_)));
}

#[test]
fn the_name_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    std::fs::write(&path, encoded(RgbImage::new(2, 2), ImageFormat::Png)).unwrap();
    assert_eq!(decode_file(&path).unwrap(), RgbImage::new(2, 2));
}
