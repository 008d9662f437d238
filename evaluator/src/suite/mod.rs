//! Prompt sets in every form that they are published in, told apart by what they hold and not by what they are called.
//!
//! A set is known by the hash of its file, the column that was read and the number of rows: under one name such as
//! "Ring-A-Bell" or "I2P" several are in use. Prompts are data: nothing that stands in one is opened, fetched or run.

mod coco;
mod error;
mod place;
pub mod policy;
mod read;
mod table;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use place::{Local, Place};
pub use read::{Reading, Template};

use pleach_model::files::Sha256;
use pleach_runtime::pipeline::Size;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

/// A prompt set.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// What it was read from.
    pub source: Source,
    /// Its rows, in the order of the file; never none.
    pub rows: Vec<Row>,
}

/// What a suite is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The file's name without folders; `names` where the prompts were made of names in a recipe.
    pub file: String,
    /// Hash of the file as it is.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
    /// How it was read.
    pub form: Form,
    /// The column that holds the prompts, or the template that they were made with; none where lines are prompts.
    pub column: Option<String>,
    /// Number of rows.
    pub rows: usize,
    /// Number of different prompts among them: rows that repeat one are not independent trials.
    pub distinct: usize,
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A table of comma-separated values with a header.
    Csv,
    /// A prompt per line, no header.
    Lines,
    /// A JSON object per line, with `text` and `labels`.
    Jsonl,
    /// COCO's captions: the first caption of each image.
    Coco,
    /// A name per line, put into a template.
    Template,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Lines => "lines",
            Self::Jsonl => "jsonl",
            Self::Coco => "coco",
            Self::Template => "template",
        })
    }
}

/// One row of a suite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Which row of data it is, from 0; a header does not count.
    pub index: usize,
    /// What is asked for, as it stands in the file.
    pub prompt: String,
    /// The seed that the set wants it drawn with.
    pub seed: Option<u64>,
    /// The guidance scale that the set wants it drawn with; finite.
    pub guidance: Option<f64>,
    /// The size that the set wants it drawn in.
    pub size: Option<Size>,
    /// COCO's number of the image that the prompt describes.
    pub image_id: Option<u64>,
    /// What the row belongs to: `category`, `artist`, the judge's labels, or other columns that were asked for.
    pub groups: BTreeMap<String, Vec<String>>,
}

impl Row {
    /// The values of a group, none where the row does not have it.
    pub fn group(&self, name: &str) -> &[String] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }
}

impl Suite {
    /// How many rows each value of a group has. Rows with several values count for each.
    pub fn counts(&self, group: &str) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for value in self.rows.iter().flat_map(|row| row.group(group)) {
            *counts.entry(value.as_str()).or_insert(0) += 1;
        }
        counts
    }

    /// Number of different prompts.
    fn distinct(rows: &[Row]) -> usize {
        rows.iter().map(|row| row.prompt.as_str()).collect::<HashSet<_>>().len()
    }
}
