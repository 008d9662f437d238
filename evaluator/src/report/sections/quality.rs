//! Whether what was not to change is as good as before.

use super::{is_routing, nothing, rates};
use crate::{
    document::{Audit, Metric, MetricKind, Rule},
    report::{
        page::{Block, Cell, Table},
        words,
    },
};

/// Whether a metric is about quality.
fn is_quality(metric: &Metric) -> bool {
    matches!(
        metric.kind,
        MetricKind::TextSimilarity | MetricKind::ReferenceSimilarity | MetricKind::Frechet | MetricKind::Kid
    )
}

/// The measures, and the gates that compare them with a margin.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let metrics: Vec<&Metric> = audit
        .metrics
        .iter()
        .filter(|metric| is_quality(metric) && words::is_whole(metric) && !is_routing(metric))
        .collect();
    let mut blocks = Vec::new();
    if !metrics.is_empty() {
        blocks.push(Block::Table(rates::table("Quality of whole suites", "Measure", &metrics, |metric| {
            let about =
                format!("{}; {}; protocol {}", words::kind(metric.kind), words::better(metric.better), metric.protocol);
            Cell::with_under(words::metric(metric), about)
        })));
    }
    let mut table = Table::new(
        "Non-inferiority: no worse than the baseline by more than a margin",
        &["Gate", "Status", "Of", "#Difference", "#Bad end must be", "#Left of it"],
    );
    for gate in audit.gates.iter().filter(|gate| gate.rule == Rule::NonInferior) {
        let Some(metric) = words::metric_of(gate, audit) else { continue };
        table.row(vec![
            gate.name.clone().into(),
            words::gate(gate.status),
            words::metric(metric).into(),
            rates::difference(metric),
            words::limit_of(gate, audit).into(),
            words::margin(gate, audit).unwrap_or_default().into(),
        ]);
    }
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
        blocks.push(Block::Text(
            "Non-inferior means that the bad end of the interval is within the margin. A difference that is not significant is \
             not enough: few pictures would pass."
                .to_owned(),
        ));
    }
    if metrics.iter().any(|metric| matches!(metric.kind, MetricKind::Frechet | MetricKind::Kid)) {
        blocks.push(Block::Note(
            "Frechet distances shrink with the number of pictures. They compare only with distances over as many pictures, the \
             same features and the same resizing."
                .to_owned(),
        ));
    }
    if blocks.is_empty() { nothing("the quality of pictures") } else { blocks }
}
