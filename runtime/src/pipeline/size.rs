//! Picture sizes: what people write, and what a pipeline can draw.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Longest side of a picture. A wider one would need more memory than any machine that this runs on has.
const LONGEST: u32 = 16_384;

/// Columns and rows of a picture, in pixels. Written `768x512`, columns first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// A size that cannot be read or drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not two numbers with an `x` between.
    #[error("{0:?} is not a size: expected WIDTHxHEIGHT in pixels, such as 768x512")]
    Format(String),
    /// A side that the networks cannot halve often enough.
    #[error("{side} {pixels} is not divisible by {multiple}: use {}", nearest(*pixels, *multiple))]
    NotDivisible {
        /// `width` or `height`.
        side: &'static str,
        /// The side asked for.
        pixels: u32,
        /// What it must be divisible by.
        multiple: u32,
    },
    /// A side that is zero or absurd.
    #[error("{side} {pixels} is out of range: from {multiple} to {LONGEST} pixels are possible")]
    Range {
        /// `width` or `height`.
        side: &'static str,
        /// The side asked for.
        pixels: u32,
        /// The shortest side.
        multiple: u32,
    },
}

/// The two nearest multiples, where both can be drawn.
fn nearest(pixels: u32, multiple: u32) -> String {
    let below = pixels / multiple * multiple;
    let above = below + multiple;
    if below == 0 {
        format!("{above}")
    } else if above > LONGEST {
        format!("{below}")
    } else {
        format!("{below} or {above}")
    }
}

impl Size {
    /// Whether both sides are multiples of `multiple` within what can be drawn.
    pub fn check(self, multiple: u32) -> Result<(), SizeError> {
        let multiple = multiple.max(1);
        for (side, pixels) in [("width", self.width), ("height", self.height)] {
            if pixels == 0 || pixels > LONGEST {
                return Err(SizeError::Range { side, pixels, multiple });
            }
            if pixels % multiple != 0 {
                return Err(SizeError::NotDivisible { side, pixels, multiple });
            }
        }
        Ok(())
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let side = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let sides = text.split_once(['x', 'X', '×']).and_then(|(w, h)| Some((side(w)?, side(h)?)));
        let (width, height) = sides.ok_or_else(|| SizeError::Format(text.into()))?;
        Ok(Self { width, height })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        assert_eq!("768x512".parse(), Ok(Size { width: 768, height: 512 }));
        assert_eq!(Size { width: 768, height: 512 }.to_string(), "768x512");
        for text in ["", "x", "512", "512x", "-8x8", "+8x8", "8x8x8", "99999999999x8", "8 x 8"] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert_eq!(error, format!("{text:?} is not a size: expected WIDTHxHEIGHT in pixels, such as 768x512"));
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_with_what_can() {
        let message = |text: &str, multiple| text.parse::<Size>().unwrap().check(multiple).unwrap_err().to_string();
        assert_eq!("768x512".parse::<Size>().unwrap().check(8), Ok(()));
        assert_eq!(message("510x512", 8), "width 510 is not divisible by 8: use 504 or 512");
        assert_eq!(message("512x100", 64), "height 100 is not divisible by 64: use 64 or 128");
        assert_eq!(message("512x3", 8), "height 3 is not divisible by 8: use 8");
        assert_eq!(message("16383x8", 8), "width 16383 is not divisible by 8: use 16376 or 16384");
        assert_eq!(message("0x8", 8), "width 0 is out of range: from 8 to 16384 pixels are possible");
        assert_eq!(message("8x16392", 8), "height 16392 is out of range: from 8 to 16384 pixels are possible");
    }
}
