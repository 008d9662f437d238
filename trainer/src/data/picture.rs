//! A file to a picture, whatever its format, within limits.

use super::Dataset;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage, error::LimitErrorKind};
use std::{
    any::Any,
    fmt,
    fs::File,
    io::{self, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// The longest side that is decoded.
pub const MAX_SIDE: u32 = 16_384;
/// Bytes that decoding one picture may take.
pub const MAX_ALLOCATION: u64 = 512 << 20;

/// Why a picture cannot be used. The name of its file is known to whoever asked for it.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not in any format that is known.
    #[error("is not a picture in a format that is read (PNG, JPEG, WebP, GIF, TIFF, BMP)")]
    Format,
    /// More pixels than are decoded.
    #[error(
        "{}is too large: at most {MAX_SIDE} pixels on a side and {} MB are decoded",
        size.map(|(width, height)| format!("of {width} x {height} pixels ")).unwrap_or_default(),
        MAX_ALLOCATION >> 20
    )]
    TooLarge {
        /// Width and height where the header tells them.
        size: Option<(u32, u32)>,
    },
    /// A side of no pixels.
    #[error("has no pixels")]
    NoPixels,
    /// The file is damaged.
    #[error("cannot be decoded: {0}")]
    Decode(String),
    /// The data set has no such picture.
    #[error("is not in the data set")]
    Index,
}

/// A picture that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Broken {
    /// Its index in the data set.
    pub index: usize,
    /// Its file's name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.reason)
    }
}

/// The picture in a file, of whatever format its first bytes say, in 8 bits of red, green and blue.
///
/// As Pillow's `convert("RGB")`: palettes and greys become colours, transparency is dropped (the colour stored below it shows). 16 bits are
/// rounded to 8. It is turned as its EXIF orientation says: so does the image feature of `datasets`, with which diffusers' training
/// scripts read pictures (they themselves do not look at it). Of an animation, the first frame.
///
/// # Errors
/// [`PictureError`]; what a header claims is checked before memory is taken for it.
pub fn decode(path: &Path) -> Result<RgbImage, PictureError> {
    let failed = |error| tell(error, path);
    let mut reader = open(path)?;
    if reader.format().is_none() {
        return Err(PictureError::Format);
    }
    let mut limits = limits();
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(failed)?;
    // A decoder's limits are for what it takes besides the picture itself.
    limits.reserve(decoder.total_bytes()).and_then(|()| decoder.set_limits(limits)).map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    let picture = picture.into_rgb8();
    if picture.is_empty() { Err(PictureError::NoPixels) } else { Ok(picture) }
}

/// What `make` makes of a picture of a data set. A decoder that panics has found a file that is broken in a way its authors did not think of.
pub(super) fn attempt<T>(
    dataset: &dyn Dataset,
    index: usize,
    make: impl FnOnce(&RgbImage) -> Result<T, PictureError>,
) -> Result<T, Broken> {
    let result = catch_unwind(AssertUnwindSafe(|| make(&dataset.picture(index)?)))
        .unwrap_or_else(|panic| Err(PictureError::Decode(format!("the decoder failed: {}", said(&*panic)))));
    result.map_err(|error| Broken { index, name: dataset.name(index).into_owned(), reason: error.to_string() })
}

/// Knows the format by the first bytes; the ending of the name says nothing.
fn open(path: &Path) -> io::Result<ImageReader<BufReader<File>>> {
    ImageReader::new(BufReader::new(File::open(path)?)).with_guessed_format()
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown reason")
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    limits
}

fn tell(error: ImageError, path: &Path) -> PictureError {
    match error {
        ImageError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => PictureError::Read(error),
        ImageError::IoError(error) => PictureError::Decode(error.to_string()),
        ImageError::Limits(error)
            if matches!(error.kind(), LimitErrorKind::DimensionError | LimitErrorKind::InsufficientMemory) =>
        {
            PictureError::TooLarge { size: size(path) }
        }
        ImageError::Unsupported(error) => PictureError::Decode(error.to_string()),
        other => PictureError::Decode(other.to_string()),
    }
}

/// What a header claims; decodes nothing.
fn size(path: &Path) -> Option<(u32, u32)> {
    let mut reader = open(path).ok()?;
    reader.no_limits();
    reader.into_dimensions().ok()
}
