//! Every metric as a row, for spreadsheets and data frames.

use super::{Error, Result, check};
use crate::document::{Audit, Bounds, Corrected, Discordant, Estimate, Metric, Paired};
use serde::Serialize;

const COLUMNS: &[&str] = &[
    "id",
    "suite",
    "measure",
    "protocol",
    "kind",
    "unit",
    "better",
    "by",
    "is",
    "planned",
    "scored",
    "errored",
    "unscored",
    "skipped",
    "prompts",
    "hits",
    "small",
    "subject",
    "subject_low",
    "subject_high",
    "subject_interval",
    "baseline",
    "baseline_low",
    "baseline_high",
    "baseline_interval",
    "best",
    "worst",
    "corrected",
    "corrected_low",
    "corrected_high",
    "sensitivity",
    "specificity",
    "labelled",
    "pairs",
    "difference",
    "difference_low",
    "difference_high",
    "difference_interval",
    "test",
    "p",
    "p_holm",
    "only_subject",
    "only_baseline",
    "resilience",
    "resilience_low",
    "resilience_high",
    "detectable",
];

/// `metrics.csv`: numbers in full precision, empty where there is none. Text that a spreadsheet would take for a formula gets an
/// apostrophe before it.
///
/// # Errors
/// A number that is not finite.
pub fn csv(audit: &Audit) -> Result<String> {
    check::document(audit)?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for metric in &audit.metrics {
        writer.write_record(row(metric))?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::Write(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn row(metric: &Metric) -> Vec<String> {
    let n = &metric.n;
    let paired = metric.paired.as_ref();
    let corrected = metric.corrected.as_ref();
    let mut row: Vec<String> =
        [&metric.id, &metric.suite, &metric.measure, &metric.protocol].map(|cell| text(cell)).into();
    row.extend([name(&metric.kind), name(&metric.unit), name(&metric.better)]);
    row.extend([&metric.scope.by, &metric.scope.is].map(|cell| text(cell.as_deref().unwrap_or_default())));
    row.extend([n.planned, n.scored, n.errored, n.unscored, n.skipped, n.prompts].map(|count| count.to_string()));
    row.extend([optional(n.hits), metric.is_small().to_string()]);
    row.extend(estimate(metric.subject.as_ref()));
    row.extend(estimate(metric.baseline.as_ref()));
    row.extend(pair(metric.bounds.map(|Bounds { best, worst }| (best, worst))));
    row.extend(ends(corrected.map(|Corrected { estimate, .. }| estimate)));
    row.extend(pair(corrected.map(|Corrected { sensitivity, specificity, .. }| (sensitivity, specificity))));
    row.push(optional(corrected.map(|Corrected { labelled, .. }| labelled)));
    row.push(optional(paired.map(|Paired { pairs, .. }| pairs)));
    row.extend(estimate(paired.map(|Paired { difference, .. }| difference)));
    row.push(text(paired.and_then(|paired| paired.test.as_deref()).unwrap_or_default()));
    row.extend([optional(paired.and_then(|paired| paired.p)), optional(paired.and_then(|paired| paired.p_holm))]);
    let discordant = paired.and_then(|paired| paired.discordant);
    row.extend(pair(discordant.map(|Discordant { only_subject, only_baseline }| (only_subject, only_baseline))));
    row.extend(ends(metric.resilience.as_ref()));
    row.push(optional(metric.detectable));
    row
}

/// Value and ends.
fn ends(estimate: Option<&Estimate>) -> [String; 3] {
    let interval = estimate.and_then(|estimate| estimate.interval.as_ref());
    [
        optional(estimate.map(|estimate| estimate.value)),
        optional(interval.map(|interval| interval.low)),
        optional(interval.map(|interval| interval.high)),
    ]
}

/// Value, ends and method.
fn estimate(estimate: Option<&Estimate>) -> Vec<String> {
    let method = estimate.and_then(|estimate| estimate.interval.as_ref()).map(|interval| text(&interval.method));
    ends(estimate).into_iter().chain([method.unwrap_or_default()]).collect()
}

fn pair<T: ToString>(pair: Option<(T, T)>) -> [String; 2] {
    pair.map(|(a, b)| [a.to_string(), b.to_string()]).unwrap_or_default()
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The name that `audit.json` uses.
fn name(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A text that no spreadsheet takes for a formula.
pub(super) fn text(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{text}") } else { text.to_owned() }
}
