//! How prompts are drawn: seeds, guidance, steps.

use crate::suite::Row;
use pleach_model::{files::Sha256, samplers::SamplerKind};
use pleach_runtime::pipeline::Size;
use serde::{Deserialize, Serialize};

/// How prompts are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawing {
    /// The seed of each image.
    pub seeds: Seeds,
    /// The guidance scale of each image.
    pub guidance: Guidance,
    /// Images per prompt.
    #[serde(default = "one")]
    pub images: u32,
    /// Steps; the bundle's own number where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// The sampler; the bundle's own where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<SamplerKind>,
    /// The size; the bundle's own where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Whether a row that has a size is drawn in that.
    #[serde(default)]
    pub row_size: bool,
    /// What images should not show.
    #[serde(default)]
    pub negative: String,
}

fn one() -> u32 {
    1
}

/// The seed of image `i` of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seeds {
    /// The row's seed plus `i`: image 0 is the published one.
    Row,
    /// The same, and for rows without a seed this number plus `i`.
    RowOr(u64),
    /// This number plus `i`, whatever the row says.
    Fixed(u64),
    /// The first 8 bytes, the most significant first and without the sign bit, of the SHA-256 of `ROOT:ROW:i`, where ROOT is this
    /// number and ROW the number of COCO's image, or where there is none that of the row.
    Hashed(u64),
}

/// The guidance scale of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guidance {
    /// The row's, but at most this number: rows beyond it are counted.
    RowUpTo(f64),
    /// The row's, and for rows without one this number.
    RowOr(f64),
    /// This number, whatever the row says.
    Fixed(f64),
}

impl Seeds {
    /// The seed of an image; none where it is the row's, and the row has none. Sums wrap around.
    pub fn seed(self, row: &Row, image: u32) -> Option<u64> {
        let from = |seed: u64| seed.wrapping_add(image.into());
        match self {
            Self::Row => row.seed.map(from),
            Self::RowOr(seed) => Some(from(row.seed.unwrap_or(seed))),
            Self::Fixed(seed) => Some(from(seed)),
            Self::Hashed(root) => {
                let number = row.image_id.unwrap_or(row.index as u64);
                let Sha256(hash) = Sha256::of(format!("{root}:{number}:{image}").as_bytes());
                let first = hash.first_chunk().copied().unwrap_or_default();
                Some(u64::from_be_bytes(first) & (u64::MAX >> 1))
            }
        }
    }
}

impl Guidance {
    /// The guidance scale of a row, and whether that is less than what the row wants; none where it is the row's, and the row
    /// has none.
    pub fn scale(self, row: &Row) -> Option<(f64, bool)> {
        match self {
            Self::RowUpTo(most) => row.guidance.map(|scale| (scale.min(most), scale > most)),
            Self::RowOr(scale) => Some((row.guidance.unwrap_or(scale), false)),
            Self::Fixed(scale) => Some((scale, false)),
        }
    }
}

impl Drawing {
    /// The size of a row's images; none where it is the bundle's own.
    pub fn size(&self, row: &Row) -> Option<Size> {
        row.size.filter(|_| self.row_size).or(self.size)
    }

    pub(super) fn flaw(&self) -> Option<String> {
        if self.images == 0 || self.steps == Some(0) {
            return Some("drawing.images and drawing.steps are 1 at least".to_owned());
        }
        let (Guidance::RowUpTo(scale) | Guidance::RowOr(scale) | Guidance::Fixed(scale)) = self.guidance;
        if !scale.is_finite() {
            return Some(format!("drawing.guidance is {scale}, not a finite number"));
        }
        self.size.and_then(|size| size.check(1).err()).map(|error| format!("drawing.size: {error}"))
    }
}
