//! Which expert drew what, and what that has to do with hits.

use super::{Context, grouped, is_routing, nothing, parts};
use crate::{
    document::{Audit, ConfidenceInterval, MetricKind, Sample, Status},
    report::{
        format,
        page::{Block, Cell, Fold, Row, Table},
        words::{self, BASELINE, SUBJECT},
    },
    stats::wilson_interval,
};

/// Parts that the router's margins are divided into.
const QUARTERS: usize = 4;
/// Most rows of a table that is open at first.
const OPEN: usize = 12;

/// Experts, their hits, and hits by how clear the router was.
pub(super) fn blocks(context: &Context<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    blocks.extend(experts(context.audit).map(Block::Table));
    blocks.extend(parts::divided(context.audit.metrics.iter().filter(|metric| is_routing(metric)), "expert"));
    blocks.extend(margins(context).map(|table| {
        let title = "Hits by how clear the router was".to_owned();
        Block::Fold(Fold { title, open: table.rows.len() <= OPEN, blocks: vec![Block::Table(table)] })
    }));
    if blocks.is_empty() {
        nothing("experts; the models have one network each, or their routers were not recorded")
    } else {
        blocks
    }
}

/// Pictures by suite and expert.
fn experts(audit: &Audit) -> Option<Table> {
    let mut table = Table::new(
        "Pictures by the expert that drew them",
        &["Suite", "Model", "Expert", "#Pictures", "#Share", "#Median margin of the router"],
    );
    for routing in &audit.routing {
        let all: u64 = routing.experts.iter().map(|routed| routed.pictures).sum();
        for routed in &routing.experts {
            let share = if all == 0 { 0.0 } else { 100.0 * routed.pictures as f64 / all as f64 };
            table.row(vec![
                routing.suite.clone().into(),
                routing.arm.clone().into(),
                routed.expert.clone().into(),
                format::count(routed.pictures).into(),
                format::percent(share).into(),
                routed.median_margin.map(|margin| format::decimal(margin, 3)).unwrap_or_default().into(),
            ]);
        }
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}

/// Hits of the subject by quarters of the router's margin: whether what leaks was routed with doubt.
fn margins(context: &Context<'_>) -> Option<Table> {
    let mut table = Table::new(
        "Hits of the subject by how clear its router was (quarters of the margin over the second choice)",
        &["Suite and measure", "#Margin", "#Pictures", "#Hits", "#Rate", "#Baseline's hits on the same"],
    );
    for ((suite, measure), mut routed) in
        grouped(routed(context.audit, context.samples), |routed| (routed.suite, routed.measure))
    {
        routed.sort_by(|a, b| a.margin.total_cmp(&b.margin));
        if routed.len() < QUARTERS {
            continue;
        }
        for quarter in 0..QUARTERS {
            let ends = (quarter * routed.len() / QUARTERS, (quarter + 1) * routed.len() / QUARTERS);
            let part = routed.get(ends.0..ends.1).unwrap_or_default();
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let n = part.len() as u64;
            let hits = part.iter().filter(|routed| routed.hit).count() as u64;
            let baseline: Vec<bool> = part.iter().filter_map(|routed| routed.baseline).collect();
            let rate = wilson_interval(hits, n).ok().map(|interval| {
                let range = ConfidenceInterval {
                    low: interval.low,
                    high: interval.high,
                    level: 0.95,
                    method: "wilson".to_owned(),
                };
                let unit = crate::document::Unit::Share;
                Cell::with_under(format::value(hits as f64 / n as f64, unit), format::interval(&range, unit))
            });
            let cells = vec![
                format!("{suite}/{measure}").into(),
                format!("{} to {}", format::decimal(first.margin, 3), format::decimal(last.margin, 3)).into(),
                format::count(n).into(),
                format::count(hits).into(),
                rate.unwrap_or_default(),
                if baseline.is_empty() {
                    Cell::default()
                } else {
                    format::count(baseline.iter().filter(|hit| **hit).count() as u64).into()
                },
            ];
            table.rows.push(Row { cells, grey: n < crate::document::SMALL });
        }
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}

/// A picture of the subject that a router sent somewhere, and whether a measure hit.
struct RoutedHit<'a> {
    suite: &'a str,
    measure: &'a str,
    margin: f64,
    hit: bool,
    baseline: Option<bool>,
}

fn routed<'a>(audit: &Audit, samples: &'a [Sample]) -> Vec<RoutedHit<'a>> {
    let mut all = Vec::new();
    for sample in samples {
        let Some(subject) = sample.arms.get(SUBJECT).filter(|outcome| outcome.status == Status::Scored) else {
            continue;
        };
        let Some(margin) = subject.margin else { continue };
        for (measure, seen) in &subject.seen {
            let kind = words::kind_of(audit, &sample.suite, measure);
            let is_rate = matches!(kind, Some(MetricKind::Flagged | MetricKind::Asked));
            let Some(hit) = seen.hit.filter(|_| is_rate) else { continue };
            let baseline = sample.arms.get(BASELINE).and_then(|outcome| outcome.seen.get(measure)?.hit);
            all.push(RoutedHit { suite: &sample.suite, measure, margin, hit, baseline });
        }
    }
    all
}
