//! One number of an audit, with everything that is needed to trust it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A quantity, of the audited model and of its baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// `SUITE/MEASURE`, or `SUITE/MEASURE/BY=IS` for a part of the suite. Unique.
    pub id: String,
    /// The suite that was drawn.
    pub suite: String,
    /// The measure of the suite's protocol.
    pub measure: String,
    /// The protocol: what exactly was counted.
    pub protocol: String,
    /// What kind of quantity it is.
    pub kind: MetricKind,
    /// Unit of the values.
    pub unit: Unit,
    /// Which way is good.
    pub better: Better,
    /// The part of the suite that it is about.
    pub scope: Scope,
    /// How many samples.
    pub n: Counts,
    /// The audited model; none where nothing could be scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Estimate>,
    /// The baseline on the same prompts and noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Estimate>,
    /// What the subject's value would be if all missing samples were good, or all bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// The subject's rate, corrected for the detector's errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Corrected>,
    /// Subject minus baseline, sample by sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired: Option<Paired>,
    /// `100 (1 - k_subject / k_baseline)`, in percent (the paper's Table 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resilience: Option<Estimate>,
    /// The smallest paired difference that this many samples find with a power of 80 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
}

/// Fewest scored samples below which a cell is grey and decides nothing alone.
pub const SMALL: u64 = 30;

impl Metric {
    /// Whether there are too few samples to lean on.
    pub fn is_small(&self) -> bool {
        self.n.scored < SMALL
    }
}

/// What kind of quantity a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Share of pictures that a detector flags.
    Flagged,
    /// Boxes that a detector finds, counted.
    Detections,
    /// Share of pictures that show what was asked for.
    Asked,
    /// Mean cosine of picture and prompt.
    TextSimilarity,
    /// Mean cosine of the picture and the baseline's picture of the same sample.
    ReferenceSimilarity,
    /// Share of prompts whose picture is further from the prompt than the baseline's.
    CpScore,
    /// Frechet distance between the features of two sets of pictures.
    Frechet,
    /// Kernel distance (unbiased MMD) between the features of two sets of pictures.
    Kid,
    /// Share of pictures that are of one colour or noise: a broken model is not a safe one.
    Degenerate,
}

impl MetricKind {
    /// Whether each picture is a hit or not.
    pub fn is_rate(self) -> bool {
        matches!(self, Self::Flagged | Self::Asked | Self::CpScore | Self::Degenerate)
    }

    /// Whether each picture has a score.
    pub fn is_mean(self) -> bool {
        matches!(self, Self::TextSimilarity | Self::ReferenceSimilarity)
    }
}

/// Unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 0 to 1; printed in percent.
    Share,
    /// A number without a unit, printed as it is.
    Score,
    /// A count.
    Count,
}

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less of it.
    Lower,
    /// More of it.
    Higher,
}

/// A part of a suite: all of it where both are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// What divides it: `category`, `artist`, `style`, `expert`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Which part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<String>,
}

/// How many samples, of the subject. `planned = scored + errored + unscored + skipped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Samples that the plan holds: the denominator.
    pub planned: u64,
    /// Samples with a result.
    pub scored: u64,
    /// Samples that failed.
    pub errored: u64,
    /// Samples that were drawn and that the instrument could not say anything about.
    pub unscored: u64,
    /// Samples that were never drawn, by policy.
    pub skipped: u64,
    /// Different prompts among the planned ones.
    pub prompts: u64,
    /// Hits among the scored ones, where it is a rate; boxes, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
}

/// A value with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its confidence interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<ConfidenceInterval>,
}

/// A confidence interval and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfidenceInterval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Its level, 0.95.
    pub level: f64,
    /// Its method: `wilson`, `bootstrap over prompts`, `newcombe`, ...
    pub method: String,
}

/// The best and the worst that missing samples leave possible.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// If every missing sample were good.
    pub best: f64,
    /// If every missing sample were bad.
    pub worst: f64,
}

/// A rate, corrected for sensitivity and specificity of the detector (Rogan and Gladen 1978).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Corrected {
    /// The corrected rate.
    pub estimate: Estimate,
    /// Share of the labelled positives that the detector flags.
    pub sensitivity: f64,
    /// Share of the labelled negatives that it leaves.
    pub specificity: f64,
    /// Labelled pictures that both were measured on.
    pub labelled: u64,
}

/// Subject minus baseline on the same samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Paired {
    /// Samples that both have.
    pub pairs: u64,
    /// Difference of the means or rates, subject minus baseline.
    pub difference: Estimate,
    /// The test of "no difference"; none for distances between sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// Its p-value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// The p-value after Holm's correction over the metrics of its family (all metrics of the whole suites, or all parts of one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_holm: Option<f64>,
    /// Pairs in which only one is a hit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discordant: Option<Discordant>,
}

/// Pairs that disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discordant {
    /// Only the subject's picture is a hit.
    pub only_subject: u64,
    /// Only the baseline's picture is a hit.
    pub only_baseline: u64,
}

/// A rate over thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// The metric that it belongs to.
    pub metric: String,
    /// `baseline` or `subject`.
    pub arm: String,
    /// The threshold that the metric itself uses.
    pub at: f64,
    /// Rates, thresholds ascending.
    pub points: Vec<Point>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The threshold.
    pub threshold: f64,
    /// The rate there.
    pub rate: f64,
    /// Lower end of its 95 % Wilson interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}
