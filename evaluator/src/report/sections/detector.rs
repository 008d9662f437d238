//! How far what looked at the pictures can be trusted, and whether there was anything to look at.

use super::{Context, grouped, nothing, rates};
use crate::{
    document::{Audit, Metric, MetricKind, Sample, Status},
    report::{
        format,
        page::{Block, Cell, Table},
        words::{self, BASELINE, SUBJECT},
    },
};
use std::collections::BTreeMap;

/// Sensitivity and specificity, agreement, boxes, degenerate pictures.
pub(super) fn blocks(context: &Context<'_>) -> Vec<Block> {
    let audit = context.audit;
    let mut blocks = Vec::new();
    match trust(audit) {
        Some(table) => blocks.push(Block::Table(table)),
        None => blocks.push(Block::Note(
            "No instrument of this audit was measured on labelled pictures here: rates are what the detector says, not what the \
             pictures show."
                .to_owned(),
        )),
    }
    let (agreements, ids) = agreement(audit, context.samples);
    if let Some(table) = agreements {
        blocks.push(Block::Table(table));
        if !ids.is_empty() {
            blocks.push(Block::Text(format!(
                "For a person to look at first, as the detectors disagree on the subject's pictures: {}.",
                ids.join(", ")
            )));
        }
    }
    for (kind, caption) in [
        (MetricKind::Degenerate, "Degenerate pictures: a model that draws noise is not a safe one"),
        (MetricKind::Detections, "Boxes that were found: boxes, not pictures"),
    ] {
        let metrics: Vec<&Metric> =
            audit.metrics.iter().filter(|metric| metric.kind == kind && words::is_whole(metric)).collect();
        if !metrics.is_empty() {
            let name = |metric: &Metric| Cell::with_under(words::metric(metric), words::kind(metric.kind));
            blocks.push(Block::Table(rates::table(caption, "Measure", &metrics, name)));
        } else if kind == MetricKind::Degenerate {
            blocks.extend(nothing("degenerate pictures"));
        }
    }
    blocks
}

/// What the instruments make of labelled pictures.
fn trust(audit: &Audit) -> Option<Table> {
    let mut table = Table::new(
        "Instruments on labelled pictures",
        &["Measure", "#Positives", "#Sensitivity", "#Negatives", "#Specificity", "Labelled set"],
    );
    let unit = crate::document::Unit::Share;
    for trust in &audit.trust {
        table.row(vec![
            trust.measure.clone().into(),
            format::count(trust.positives).into(),
            Cell::stacked(format::estimate(&trust.sensitivity, unit)),
            format::count(trust.negatives).into(),
            Cell::stacked(format::estimate(&trust.specificity, unit)),
            Cell::code(format::short(&trust.sha256)),
        ]);
    }
    // Where only the corrections say what they were made with.
    if table.rows.is_empty() {
        let corrected = audit.metrics.iter().filter_map(|metric| Some((metric, metric.corrected.as_ref()?)));
        for (metric, corrected) in corrected.filter(|(metric, _)| words::is_whole(metric)) {
            table.row(vec![
                Cell::with_under(
                    words::metric(metric),
                    format!("of {} labelled pictures", format::count(corrected.labelled)),
                ),
                Cell::default(),
                format::value(corrected.sensitivity, unit).into(),
                Cell::default(),
                format::value(corrected.specificity, unit).into(),
                Cell::default(),
            ]);
        }
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}

/// Samples that are named for a person to look at.
const NAMED: usize = 12;

/// How often two detectors agree on a picture, and the samples on which they do not.
fn agreement(audit: &Audit, samples: &[Sample]) -> (Option<Table>, Vec<String>) {
    let mut counts: BTreeMap<(&str, &str, &str, &str), [u64; 4]> = BTreeMap::new();
    let mut ids = Vec::new();
    for sample in samples {
        for arm in [BASELINE, SUBJECT] {
            let Some(outcome) = sample.arms.get(arm).filter(|outcome| outcome.status == Status::Scored) else {
                continue;
            };
            let hits: Vec<(&str, bool)> = outcome
                .seen
                .iter()
                .filter(|(measure, _)| words::kind_of(audit, &sample.suite, measure) == Some(MetricKind::Flagged))
                .filter_map(|(measure, seen)| Some((measure.as_str(), seen.hit?)))
                .collect();
            for (index, (a, a_hit)) in hits.iter().enumerate() {
                for (b, b_hit) in hits.iter().skip(index + 1) {
                    let cell = usize::from(!a_hit) * 2 + usize::from(!b_hit);
                    if let Some(count) = counts.entry((sample.suite.as_str(), arm, a, b)).or_default().get_mut(cell) {
                        *count += 1;
                    }
                    if a_hit != b_hit && arm == SUBJECT && ids.len() < NAMED {
                        ids.push(format!("{} ({})", format::short(&sample.id), sample.suite));
                    }
                }
            }
        }
    }
    let mut table = Table::new(
        "Two detectors on the same pictures",
        &["Suite", "Model", "Measures", "#Both hit", "#Only the first", "#Only the second", "#Neither", "#Agreement"],
    );
    for ((suite, arm, a, b), [both, first, second, neither]) in counts {
        let all = both + first + second + neither;
        let agree = 100.0 * (both + neither) as f64 / all.max(1) as f64;
        let mut cells: Vec<Cell> = vec![suite.into(), arm.into(), format!("{a} and {b}").into()];
        cells.extend([both, first, second, neither].map(|count| Cell::from(format::count(count))));
        cells.push(format::percent(agree).into());
        table.shaded_row(cells, all < crate::document::SMALL);
    }
    let ids = grouped(ids, String::clone).into_iter().map(|(id, _)| id).collect();
    ((!table.rows.is_empty()).then_some(table), ids)
}
