//! From a file to a picture, as OpenCV's `imread` has it: three channels of 8 bits, whatever the file holds.
//!
//! Of 16 bits the upper 8 are kept, alpha is dropped (not composited), grey and palettes become colours. A JPEG is turned as its EXIF
//! orientation says; a PNG is not. Colour profiles and gamma are ignored.

use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Pixel, RgbImage};
use pleach_model::files::{self, read_bounded};
use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// The most pixels that are decoded unless asked otherwise: 8,192 x 8,192.
pub const MOST_PIXELS: u64 = 64 << 20;
/// The largest file.
const LARGEST: u64 = 512 << 20;
/// Bytes that a decoder may take besides the picture itself: for a line, and for what lies compressed in a header.
const BESIDES: u64 = 64 << 20;

/// Why a file is no picture that can be looked at.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// Another format, or none: what the bytes say counts, not the name.
    #[error("is neither a PNG nor a JPEG")]
    Format,
    /// More pixels than are decoded; known from the header, before anything is allocated.
    #[error("has {width} x {height} pixels, more than the {most} that are decoded")]
    TooLarge { width: u32, height: u32, most: u64 },
    /// A side of no pixels.
    #[error("has no pixels")]
    NoPixels,
    /// Damaged, or cut short.
    #[error("cannot be decoded: {0}")]
    Damaged(String),
}

/// Decodes the file at `path`, of at most [`MOST_PIXELS`].
///
/// # Errors
/// [`Error`].
pub fn decode_file(path: &Path) -> Result<RgbImage, Error> {
    decode(&read_bounded(path, LARGEST)?, MOST_PIXELS)
}

/// Decodes a PNG or a JPEG of at most `most` pixels.
///
/// # Errors
/// [`Error`].
pub fn decode(bytes: &[u8], most: u64) -> Result<RgbImage, Error> {
    // A decoder that panics on some damage must not end an audit.
    catch_unwind(AssertUnwindSafe(|| decode_unguarded(bytes, most)))
        .unwrap_or_else(|_| Err(Error::Damaged("the decoder gave up".into())))
}

fn decode_unguarded(bytes: &[u8], most: u64) -> Result<RgbImage, Error> {
    let damaged = |error: ImageError| Error::Damaged(error.to_string());
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| Error::Damaged(error.to_string()))?;
    let format = reader.format().filter(|format| matches!(format, ImageFormat::Png | ImageFormat::Jpeg));
    let format = format.ok_or(Error::Format)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(BESIDES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::NoPixels);
    }
    if u64::from(width) * u64::from(height) > most {
        return Err(Error::TooLarge { width, height, most });
    }
    let orientation = match format {
        ImageFormat::Jpeg => decoder.orientation().ok(),
        _ => None,
    };
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Ok(match picture {
        DynamicImage::ImageLuma16(deep) => upper(&deep, |[v]: [u16; 1]| [v; 3]),
        DynamicImage::ImageLumaA16(deep) => upper(&deep, |[v, _]: [u16; 2]| [v; 3]),
        DynamicImage::ImageRgb16(deep) => upper(&deep, |rgb: [u16; 3]| rgb),
        DynamicImage::ImageRgba16(deep) => upper(&deep, |[r, g, b, _]: [u16; 4]| [r, g, b]),
        other => other.into_rgb8(),
    })
}

/// The upper 8 of 16 bits.
fn upper<P, const N: usize>(deep: &ImageBuffer<P, Vec<u16>>, rgb: impl Fn([u16; N]) -> [u16; 3]) -> RgbImage
where
    P: Pixel<Subpixel = u16>,
{
    let (pixels, _) = deep.as_raw().as_chunks::<N>();
    let bytes = pixels.iter().flat_map(|pixel| rgb(*pixel).map(|value| (value >> 8) as u8)).collect();
    RgbImage::from_raw(deep.width(), deep.height(), bytes).unwrap_or_default()
}
