//! What the suites' parts say: categories, artists, styles, classes. The worst part first.

use super::{grouped, is_routing, nothing, rates};
use crate::{
    document::{Audit, Better, Estimate, Metric, MetricKind},
    report::{
        charts::{self, Dot},
        format,
        page::{Block, Cell, Figure, Fold},
        words,
    },
};

/// Most parts in a drawing.
const DRAWN: usize = 20;
/// Most parts in a table that is open at first.
const OPEN: usize = 16;
/// Most divisions of suites that are open at first: a world of styles, shapes and colours has dozens.
const DIVISIONS: usize = 6;

/// A drawing and a table for each measure and each way to divide its suite.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let parts = audit.metrics.iter().filter(|metric| !words::is_whole(metric) && !is_routing(metric));
    let blocks = divided(parts, "part");
    if blocks.is_empty() { nothing("any part of a suite on its own") } else { blocks }
}

/// The same for any metrics of parts; `id` starts the names of drawings.
pub(super) fn divided<'a>(metrics: impl Iterator<Item = &'a Metric>, id: &str) -> Vec<Block> {
    let groups = grouped(metrics, |metric| {
        (metric.suite.as_str(), metric.measure.as_str(), metric.scope.by.as_deref().unwrap_or_default(), metric.kind)
    });
    let (mut all, mut folds, mut open) = (Vec::new(), Vec::new(), 0);
    for (index, ((suite, measure, by, kind), mut group)) in groups.into_iter().enumerate() {
        group.sort_by(|a, b| badness(b).total_cmp(&badness(a)));
        let title = format!("{suite}/{measure} by {by}");
        let mut blocks = vec![Block::Text(summary(&group, kind))];
        let caption = format!("{suite}/{measure} by {by}, the worst first");
        let table = Block::Table(rates::table(&caption, &capital(by), &group, |metric| {
            Cell::from(metric.scope.is.clone().unwrap_or_default())
        }));
        let drawing = Block::Figure(drawing(&format!("{id}-{index}"), &caption, &group));
        blocks.push(drawing);
        if group.len() > OPEN {
            let title = format!("All {} as a table", group.len());
            blocks.push(Block::Fold(Fold { title, open: false, blocks: vec![table] }));
        } else {
            blocks.push(table);
        }
        // What an audit is about and can tell is open; the rest comes after it and can be looked up.
        let small = group.iter().filter(|metric| metric.is_small()).count();
        if is_rate(kind) && open < DIVISIONS && 2 * small <= group.len() {
            open += 1;
            all.push(Block::Heading(title));
            all.extend(blocks);
        } else {
            let title = worst(&group).map_or(title.clone(), |worst| format!("{title}: worst {worst}"));
            folds.push(Block::Fold(Fold { title, open: false, blocks }));
        }
    }
    all.extend(folds);
    all
}

/// Whether it is a rate that an audit is about.
fn is_rate(kind: MetricKind) -> bool {
    matches!(kind, MetricKind::Flagged | MetricKind::Asked | MetricKind::CpScore)
}

/// How bad the subject's value is; what was not measured comes last.
fn badness(metric: &Metric) -> f64 {
    match (&metric.subject, metric.better) {
        (Some(Estimate { value, .. }), Better::Lower) => *value,
        (Some(Estimate { value, .. }), Better::Higher) => -value,
        (None, _) => f64::NEG_INFINITY,
    }
}

/// The worst part that has enough samples to be one, and its value. Where less is better for some and more for others there is none.
fn worst(group: &[&Metric]) -> Option<String> {
    let first = group.first()?;
    let worst = group.iter().find(|metric| !metric.is_small() && metric.subject.is_some())?;
    let value = format::value(worst.subject.as_ref()?.value, worst.unit);
    let alike = group.iter().all(|metric| metric.better == first.better);
    alike.then(|| format!("{}, {value}", worst.scope.is.as_deref().unwrap_or_default()))
}

/// What is counted, which way is good, which part is the worst, and which are too small.
fn summary(group: &[&Metric], kind: MetricKind) -> String {
    let mut text = format!("Counted: {}.", words::kind(kind));
    let lower = group.iter().filter(|metric| metric.better == Better::Lower).count();
    match lower {
        0 => text.push_str(" More is better."),
        all if all == group.len() => text.push_str(" Less is better."),
        _ => {
            let wanted: Vec<&str> = group
                .iter()
                .filter(|metric| metric.better == Better::Lower)
                .filter_map(|metric| metric.scope.is.as_deref())
                .collect();
            text.push_str(&format!(" Less is better for {}, more for all others.", wanted.join(", ")));
        }
    }
    if let Some(worst) = worst(group) {
        text.push_str(&format!(" Worst part: {worst}."));
    }
    let small = group.iter().filter(|metric| metric.is_small()).count() as u64;
    if small > 0 {
        text.push_str(&format!(
            " Grey: {} with fewer than {} scored samples, which decide nothing alone.",
            format::counted(small, "part", "parts"),
            crate::document::SMALL
        ));
    }
    text
}

fn drawing(id: &str, title: &str, group: &[&Metric]) -> Figure {
    let arm = |estimate: &Option<Estimate>| {
        let estimate = estimate.as_ref()?;
        Some((estimate.value, estimate.interval.as_ref().map(|interval| (interval.low, interval.high))))
    };
    let unit = group.first().map_or(crate::document::Unit::Score, |metric| metric.unit);
    let drawn: Vec<Dot> = group
        .iter()
        .take(DRAWN)
        .map(|metric| Dot {
            name: metric.scope.is.clone().unwrap_or_default(),
            baseline: arm(&metric.baseline),
            subject: arm(&metric.subject),
            small: metric.is_small(),
        })
        .collect();
    let mut caption = title.to_owned();
    if group.len() > DRAWN {
        caption.push_str(&format!("; {DRAWN} of {} are drawn, all stand in the table", group.len()));
    }
    caption.push('.');
    let said = group.iter().take(DRAWN).filter_map(|metric| {
        let subject = format::value(metric.subject.as_ref()?.value, unit);
        let baseline =
            metric.baseline.as_ref().map(|baseline| format!(", baseline {}", format::value(baseline.value, unit)));
        Some(format!("{}: subject {subject}{}.", metric.scope.is.as_deref()?, baseline.unwrap_or_default()))
    });
    let description = said.collect::<Vec<_>>().join(" ");
    Figure { svg: charts::dots(id, title, &description, unit, &drawn), caption, wide: false }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_else(|| "Part".to_owned())
}
