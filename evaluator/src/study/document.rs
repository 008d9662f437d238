//! `study.json`: what a study found, as types. Its JSON Schema is made from them.

use super::{ProgramInfo, Role, StepKind, Terms, Tuning};
use crate::{
    document::{Better, Estimate, MetricKind, Paired, Schema, Unit},
    stats::Verdict,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the schema.
pub const SCHEMA: &str = "pleach/study";
/// Its version: minor versions only add.
pub const VERSION: &str = "1.0";

/// What a study found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Study {
    /// Name and version of this document's schema.
    pub schema: Schema,
    /// How far it is.
    pub status: StudyStatus,
    /// Title, as the recipe gives it.
    pub title: String,
    /// What it is about, as the recipe says.
    pub about: String,
    /// Hash of the recipe as it was followed, in hexadecimal.
    pub recipe_sha256: String,
    /// What is equal for all methods.
    pub terms: Terms,
    /// Every setting that was tried.
    pub tuning: Vec<Tuning>,
    /// The method that all others are compared with.
    pub reference: String,
    /// By how much retention may be worse than that of the start.
    pub margin: f64,
    /// Seeds of training.
    pub seeds: Vec<u64>,
    /// What is to be forgotten.
    pub concepts: Vec<String>,
    /// Columns of the table.
    pub columns: Vec<ColumnDocument>,
    /// Methods, in the order of the table.
    pub methods: Vec<MethodDocument>,
    /// Rows of the table: each method over everything, then by concept.
    pub rows: Vec<Row>,
    /// The reference minus every other method, on the same prompts and noise.
    pub comparisons: Vec<Comparison>,
    /// Whether methods keep what should stay.
    pub retention: Vec<Retention>,
    /// Every cell with its steps.
    pub cells: Vec<CellDocument>,
    /// Programs that did the steps. Two of one name: steps were done by different versions.
    pub programs: Vec<ProgramInfo>,
    /// What the numbers do not say, in sentences.
    pub limits: Vec<String>,
}

/// How far a study is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StudyStatus {
    /// Every cell is done.
    Complete,
    /// A cell failed, and no other is missing.
    Failed,
    /// A cell is not done yet.
    Incomplete,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnDocument {
    /// Its head.
    pub name: String,
    /// `SUITE/MEASURE`.
    pub metric: String,
    /// What it says of a method.
    pub role: Role,
    /// What kind of quantity it is; none as long as nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MetricKind>,
    /// Unit of its values.
    pub unit: Unit,
    /// Which way is good.
    pub better: Better,
}

/// A method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MethodDocument {
    /// Its name.
    pub name: String,
    /// What it is a setting of.
    pub group: String,
    /// Its settings, in words.
    pub settings: String,
    /// Whether commands changed the start; otherwise the model was ready.
    pub trained: bool,
    /// Updates of the student.
    pub updates: u64,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The method.
    pub method: String,
    /// The concept; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concept: Option<String>,
    /// Cells that are done.
    pub done: u64,
    /// Cells that were asked for.
    pub cells: u64,
    /// Different models among those that are done: a method that does not depend on the seed has one for all.
    pub models: u64,
    /// Mean seconds of the commands of a cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Its values, one for each column.
    pub values: Vec<RowValue>,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowValue {
    /// The column.
    pub column: String,
    /// Over all pictures of all models; distances are means over models. None where nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// Pictures that it rests on.
    pub pictures: u64,
    /// Different prompts among them.
    pub prompts: u64,
    /// The same with one training seed each.
    pub by_seed: Vec<SeedValue>,
}

/// A value with one training seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedValue {
    /// The seed.
    pub seed: u64,
    /// The value.
    pub value: f64,
}

/// The reference minus another method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The other method.
    pub method: String,
    /// The concept; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concept: Option<String>,
    /// The column.
    pub column: String,
    /// The difference, its test and its p-value: Holm's correction is over the methods that the reference is compared with
    /// in this column, over all concepts or in this one.
    pub paired: Paired,
}

/// A method against the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retention {
    /// The method.
    pub method: String,
    /// The concept; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concept: Option<String>,
    /// The column.
    pub column: String,
    /// The method minus the start.
    pub paired: Paired,
    /// The end of the interval on the bad side.
    pub bound: f64,
    /// What it is held against.
    pub limit: f64,
    /// What follows.
    #[schemars(with = "VerdictName")]
    pub verdict: Verdict,
}

/// Names of the verdicts.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum VerdictName {
    /// Even the worst end is better than the margin.
    NonInferior,
    /// Even the best end is worse than the margin.
    Inferior,
    /// The margin lies between the ends.
    Undecided,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellDocument {
    /// The method.
    pub method: String,
    /// The concept.
    pub concept: String,
    /// The training seed.
    pub seed: u64,
    /// How far it came.
    pub status: CellStatus,
    /// What went wrong, with the end of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its own steps, in order. The last one's folder holds the audit's report.
    pub steps: Vec<StepRef>,
    /// Seconds of its training commands; none where not all are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Hash of its `audit.json`, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_sha256: Option<String>,
    /// Its values, as its audit has them.
    pub values: Vec<CellValue>,
}

/// How far a cell came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CellStatus {
    /// All of it is done.
    Done,
    /// A step failed.
    Failed,
    /// A step is not done yet.
    Missing,
}

/// A step of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepRef {
    /// What it is for.
    pub kind: StepKind,
    /// Its folder's name under `steps`.
    pub key: String,
    /// How long it took; none where it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How its program ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A value of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellValue {
    /// The column.
    pub column: String,
    /// The value.
    pub estimate: Estimate,
}
