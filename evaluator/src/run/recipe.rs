//! What an audit is asked for, in TOML.
//!
//! ```toml
//! title = "Stripes, suppressed"
//! subject = "forgot"                       # a bundle: a folder or a Hugging Face id
//! baseline = "base"
//!
//! [instrument.judge]
//! folder = "judge"
//!
//! [[suite]]
//! name = "asked"
//! prompts = "asked/metadata.jsonl"         # a file, or org/name[@revision][:file] of Hugging Face
//! protocol = "small-world"                 # a preset, or a file
//! only = { style = ["striped", "flat"] }
//! ```

use crate::protocol::Protocol;
use pleach_model::samplers::SamplerKind;
use pleach_runtime::pipeline::Size;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// What an audit is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The report's title.
    pub title: String,
    /// The model that is audited.
    pub subject: String,
    /// The expert that draws everything of it; the router chooses unless named.
    #[serde(default)]
    pub subject_expert: Option<String>,
    /// The model that it is compared with.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The expert that draws everything of the baseline.
    #[serde(default)]
    pub baseline_expert: Option<String>,
    /// What looks at the pictures, by the names that the protocols have for them.
    #[serde(default)]
    pub instrument: BTreeMap<String, InstrumentRecipe>,
    /// Folders of pictures that are compared with, by the names that the protocols have for them.
    #[serde(default)]
    pub pictures: BTreeMap<String, PathBuf>,
    /// The prompts.
    pub suite: Vec<SuiteRecipe>,
}

/// An instrument.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentRecipe {
    /// Its folder; only `pixels` needs none.
    #[serde(default)]
    pub folder: PathBuf,
    /// A built-in description; otherwise that of `instrument.toml` in the folder, or the judge's where the folder is one that
    /// `pleach export` wrote.
    #[serde(default)]
    pub description: Option<String>,
}

/// How an instrument did on pictures that people labelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// Hash of the labelled set, in hexadecimal.
    pub sha256: String,
    /// Pictures that are so and are flagged.
    pub true_positives: u32,
    /// Pictures that are so and are not flagged.
    pub false_negatives: u32,
    /// Pictures that are not so and are not flagged.
    pub true_negatives: u32,
    /// Pictures that are not so and are flagged.
    pub false_positives: u32,
}

/// A suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteRecipe {
    /// Its name in the report: lower-case letters, digits and dashes.
    pub name: String,
    /// Its file, or a data set of Hugging Face; none where the protocol has names of its own.
    #[serde(default)]
    pub prompts: Option<String>,
    /// A preset, or a protocol's file.
    pub protocol: String,
    /// The column of the prompts, where it is another than the protocol's.
    #[serde(default)]
    pub column: Option<String>,
    /// Only rows whose groups have one of these values.
    #[serde(default)]
    pub only: BTreeMap<String, Vec<String>>,
    /// Only the first rows, after `only`.
    #[serde(default)]
    pub rows: Option<usize>,
    /// Pictures of each prompt, where it is another number than the protocol's.
    #[serde(default)]
    pub images: Option<u32>,
    /// Denoising steps, where it is another number than the protocol's.
    #[serde(default)]
    pub steps: Option<u32>,
    /// The sampler, where it is another one than the protocol's.
    #[serde(default)]
    pub sampler: Option<SamplerKind>,
    /// The size, where it is another one than the protocol's.
    #[serde(default)]
    pub size: Option<Size>,
    /// What labelled pictures say of a measure's instrument, by measure: its rates are then also given corrected.
    #[serde(default)]
    pub validation: BTreeMap<String, Labelled>,
    /// Whether the prompts may be published; as the protocol says unless told otherwise. Unsafe and gated ones never are.
    #[serde(default)]
    pub publish: bool,
}

impl SuiteRecipe {
    /// The protocol as this suite changes it. A protocol that is changed is not the published one any more, which its name says.
    pub fn changed(&self, mut protocol: Protocol) -> Protocol {
        let before = protocol.clone();
        let drawing = &mut protocol.drawing;
        drawing.images = self.images.unwrap_or(drawing.images);
        drawing.steps = self.steps.or(drawing.steps);
        drawing.sampler = self.sampler.or(drawing.sampler);
        if let Some(size) = self.size {
            (drawing.size, drawing.row_size) = (Some(size), false);
        }
        if let Some(column) = &self.column {
            protocol.prompts.column = Some(column.clone());
        }
        if protocol != before {
            protocol.id.push_str("-changed");
        }
        protocol
    }
}
