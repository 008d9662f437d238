//! What became of one prompt with one noise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A row of `samples.jsonl`: a prompt and a seed, drawn by each model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Hash over suite, prompt, seed and everything else that decides the picture, the model aside; in hexadecimal.
    pub id: String,
    /// The suite.
    pub suite: String,
    /// Row of the prompt in its file, from 0.
    pub row: u64,
    /// Which of the row's pictures.
    pub image: u32,
    /// Hash of the prompt, in hexadecimal.
    pub prompt_sha256: String,
    /// The prompt, where it may be published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What the row belongs to: categories, artist, labels.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Seed of the noise.
    pub seed: u64,
    /// Guidance scale.
    pub guidance: f64,
    /// By `baseline` and `subject`.
    pub arms: BTreeMap<String, Outcome>,
}

/// What one model drew, and what the instruments saw in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// How far it came.
    pub status: Status,
    /// Why it did not come further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The expert that drew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
    /// How much nearer the prompt is to that expert than to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Hash of the picture's pixels, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// By measure.
    pub seen: BTreeMap<String, Seen>,
}

/// How far a sample came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not drawn yet.
    #[default]
    Planned,
    /// Drawn and looked at.
    Scored,
    /// Drawn; an instrument could not look at it.
    Unscored,
    /// It could not be drawn.
    Errored,
    /// Never drawn, by policy.
    Skipped,
}

/// What one measure says of a picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// Whether it is a hit: flagged, or what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit: Option<bool>,
    /// The score: the largest of the labels that count, or a similarity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Boxes above the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<u32>,
    /// Labels that were found, or the classes that were seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}
