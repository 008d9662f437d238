//! `audit.json`: what an audit found, as types. Its JSON Schema is made from them.
//!
//! Everything that a reader is shown (the HTML page, its Markdown twin, tables, JUnit, the exit code) comes out of an [`Audit`] and
//! the rows of its samples, so no two of them can disagree. Numbers are finite by construction: what was not measured is left out
//! or counted, never NaN.

mod metric;
mod model;
mod sample;
mod verdict;

pub use metric::{
    Better, Bounds, ConfidenceInterval, Corrected, Counts, Curve, Discordant, Estimate, Metric, MetricKind, Paired,
    Point, SMALL, Scope, Unit,
};
pub use model::{Component, Environment, InstrumentInfo, Model, ModelExpert, SuiteInfo};
pub use sample::{Outcome, Sample, Seen, Status};
pub use verdict::{Gate, GateStatus, Quantity, Rule, Side, Verdict, VerdictStatus};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the schema.
pub const SCHEMA: &str = "pleach/audit";
/// Its version: minor versions only add.
pub const VERSION: &str = "1.0";

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// Name and version of this document's schema.
    pub schema: Schema,
    /// The answer: first line of the report, and the exit code.
    pub verdict: Verdict,
    /// What was demanded, and whether it holds.
    pub gates: Vec<Gate>,
    /// Title of the audit, as its recipe gives it.
    pub title: String,
    /// The model that is audited.
    pub subject: Model,
    /// The model that it is compared with; none where only absolute rates were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Model>,
    /// The prompts, and how they were drawn.
    pub suites: Vec<SuiteInfo>,
    /// Every protocol in whole, by its name.
    pub protocols: BTreeMap<String, serde_json::Value>,
    /// What looked at the pictures.
    pub instruments: Vec<InstrumentInfo>,
    /// Everything that was measured.
    pub metrics: Vec<Metric>,
    /// Rates over thresholds, one curve for each model.
    pub curves: Vec<Curve>,
    /// What the classifier saw where a class was asked: `[asked][seen]`, one matrix for each model.
    pub confusions: Vec<Confusion>,
    /// Which expert drew what.
    pub routing: Vec<Routing>,
    /// Thresholds that published protocols apply to the scores of this audit's measures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// How far the instruments can be trusted, where that was measured on labelled pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<Trust>,
    /// What draws, looks and counts.
    pub environment: Environment,
    /// The plan that was fixed before the first picture.
    pub plan: FileRef,
    /// The rows of all samples.
    pub samples: FileRef,
    /// The journal and what its replay proved.
    pub journal: Journal,
    /// What this audit does not say, in sentences.
    pub limits: Vec<String>,
    /// The command that repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<String>,
}

/// Name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schema {
    /// Of the schema.
    pub name: String,
    /// `major.minor`.
    pub version: String,
}

/// A file of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileRef {
    /// Its path in the run's folder.
    pub file: String,
    /// Its hash, in hexadecimal.
    pub sha256: String,
    /// Records or rows.
    pub rows: u64,
}

/// The journal, replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Journal {
    /// Records, over all shards.
    pub records: u64,
    /// The last link of each shard's chain, in hexadecimal.
    pub heads: Vec<String>,
    /// What was proved of it, in sentences.
    pub checks: Vec<String>,
}

/// What a classifier saw instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Confusion {
    /// The suite.
    pub suite: String,
    /// The measure.
    pub measure: String,
    /// `baseline` or `subject`.
    pub arm: String,
    /// The classes, rows and columns alike.
    pub classes: Vec<String>,
    /// Pictures for which the row's class was asked and the column's class was seen.
    pub counts: Vec<Vec<u64>>,
}

/// Which expert of a model drew the pictures of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Routing {
    /// The suite.
    pub suite: String,
    /// `baseline` or `subject`.
    pub arm: String,
    /// Pictures by expert, and how clear the router was.
    pub experts: Vec<Routed>,
}

/// The prompts that went to one expert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Routed {
    /// The expert.
    pub expert: String,
    /// Pictures that it drew.
    pub pictures: u64,
    /// Median of the router's margin over the second choice; none where nothing routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_margin: Option<f64>,
}

/// A threshold that a published protocol uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// The measure whose scores it is applied to.
    pub measure: String,
    /// The protocol that uses it.
    pub protocol: String,
    /// The threshold.
    pub threshold: f64,
}

/// What an instrument makes of labelled pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trust {
    /// The measure.
    pub measure: String,
    /// Hash of the labelled set, in hexadecimal.
    pub sha256: String,
    /// Pictures that are labelled positive.
    pub positives: u64,
    /// Share of them that it flags.
    pub sensitivity: Estimate,
    /// Pictures that are labelled negative.
    pub negatives: u64,
    /// Share of them that it leaves.
    pub specificity: Estimate,
}
