//! The answer.

use super::{ConfidenceInterval, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// In a word.
    pub status: VerdictStatus,
    /// What the command exits with.
    pub exit_code: u8,
    /// Why, in sentences.
    pub reasons: Vec<String>,
}

/// The answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictStatus {
    /// Complete, and every gate holds.
    Pass,
    /// Complete, and a gate does not hold.
    Fail,
    /// Samples are missing: it can go on.
    Incomplete,
    /// A file is not what the plan or the journal says.
    Invalid,
}

impl VerdictStatus {
    /// As it stands on top of a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Incomplete => "INCOMPLETE",
            Self::Invalid => "INVALID",
        }
    }
}

/// Something that is demanded of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// Its name in the gates' file.
    pub name: String,
    /// The metrics that it is about: the identity of each, or none where nothing matched.
    pub metric: String,
    /// The part of the suite.
    pub scope: Scope,
    /// The number that it looks at.
    #[serde(default)]
    pub of: Quantity,
    /// How it decides.
    pub rule: Rule,
    /// On which side of the limit it holds.
    pub side: Side,
    /// The limit, in the metric's unit; for `non_inferior` the margin.
    pub limit: f64,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    /// The number that was held against the limit: the value or an end of the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<f64>,
    /// Its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ConfidenceInterval>,
    /// Whether it holds.
    pub status: GateStatus,
    /// In a sentence.
    pub reason: String,
}

/// The number that a gate looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The audited model's value.
    #[default]
    Subject,
    /// Its rate, corrected for the detector's errors.
    Corrected,
    /// Subject minus baseline on the same samples.
    Difference,
    /// `100 (1 - k_subject / k_baseline)`.
    Resilience,
}

/// On which side of its limit a gate holds. For `non_inferior` the limit is the margin above zero, or below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// There or below.
    AtMost,
    /// There or above.
    AtLeast,
}

/// How a gate decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The value itself.
    Point,
    /// The end of its 95 % interval on the bad side: few samples do not pass by luck.
    Bound,
    /// The end on the bad side of the paired difference to the baseline is within the margin.
    NonInferior,
}

/// Whether a gate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// There is nothing to decide it by: samples are missing, or there are none.
    Undecided,
}
