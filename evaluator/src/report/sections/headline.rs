//! The rates of whole suites, and all paired differences in one drawing.

use super::{grouped, is_routing, nothing, rates};
use crate::{
    document::{Audit, Better, Metric, MetricKind, Unit},
    report::{
        charts::{self, ForestRow},
        format,
        page::{Block, Cell, Figure},
        words::{self, Effect},
    },
};

/// Most rows of the drawing.
const DRAWN: usize = 48;
/// Most parts of one division in the drawing; a suite of fifty artists has its own section.
const PARTS: usize = 12;

/// Whether a metric is a rate that the audit is about.
fn is_rate(metric: &Metric) -> bool {
    matches!(metric.kind, MetricKind::Flagged | MetricKind::Asked | MetricKind::CpScore) && metric.unit == Unit::Share
}

/// The tables and the drawing.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let metrics: Vec<&Metric> =
        audit.metrics.iter().filter(|metric| is_rate(metric) && words::is_whole(metric)).collect();
    if metrics.is_empty() {
        return nothing("a rate of a whole suite");
    }
    let table = rates::table("Rates of whole suites", "Measure", &metrics, |metric| {
        let about =
            format!("{}; {}; protocol {}", words::kind(metric.kind), words::better(metric.better), metric.protocol);
        Cell::with_under(words::metric(metric), about)
    });
    let mut blocks = vec![
        Block::Text(
            "Rates are over the samples that were scored. Those without a result stay counted, and the bounds below say what they \
             could change. Every difference is paired, prompt by prompt and noise by noise."
                .to_owned(),
        ),
        Block::Table(table),
    ];
    blocks.extend(forest(audit).map(Block::Figure));
    blocks.extend(rates::sides("The same rates from other sides", &metrics).map(Block::Table));
    blocks.push(Block::List(methods(&metrics)));
    blocks
}

/// How the numbers of the tables were made.
fn methods(metrics: &[&Metric]) -> Vec<String> {
    let mut intervals: Vec<&str> = Vec::new();
    let mut tests: Vec<&str> = Vec::new();
    for metric in metrics {
        let paired = metric.paired.as_ref();
        let estimates = [metric.subject.as_ref(), metric.baseline.as_ref(), paired.map(|paired| &paired.difference)];
        intervals.extend(
            estimates.into_iter().flatten().filter_map(|estimate| Some(estimate.interval.as_ref()?.method.as_str())),
        );
        tests.extend(paired.and_then(|paired| paired.test.as_deref()));
    }
    for names in [&mut intervals, &mut tests] {
        names.sort_unstable();
        names.dedup();
    }
    let mut points = Vec::new();
    if !intervals.is_empty() {
        points.push(format!("Intervals: {}.", intervals.join(", ")));
    }
    if !tests.is_empty() {
        points.push(format!(
            "Tests of no difference: {}. Holm p is corrected over the family of comparisons.",
            tests.join(", ")
        ));
    }
    points.push(
        "Odds ratio: pairs in which only the subject's picture is a hit, for each in which only the baseline's is; its \
         interval is exact."
            .to_owned(),
    );
    points.push("Resilience: 100 (1 − hits of the subject / hits of the baseline), in percent.".to_owned());
    points
}

/// All paired differences of rates around the line of no difference.
pub(in crate::report) fn forest(audit: &Audit) -> Option<Figure> {
    let compared: Vec<&Metric> = audit
        .metrics
        .iter()
        .filter(|metric| is_rate(metric) && metric.paired.is_some() && !is_routing(metric))
        .collect();
    let divisions = drawn(&compared);
    let (mut rows, mut left_out) = (Vec::new(), 0);
    for (way, heading) in
        [(Better::Lower, "Less is better: left is good"), (Better::Higher, "More is better: right is good")]
    {
        let of_way: Vec<&Metric> = compared.iter().copied().filter(|metric| metric.better == way).collect();
        if of_way.is_empty() {
            continue;
        }
        rows.push(ForestRow::Group(heading.to_owned()));
        for (_, group) in grouped(of_way, |metric| (metric.suite.as_str(), metric.measure.as_str())) {
            let parts = group.iter().filter(|metric| !words::is_whole(metric)).count();
            // A part of a suite whose whole is elsewhere, or nowhere, says which suite it is of.
            let below = parts < group.len();
            for metric in group {
                let whole = words::is_whole(metric);
                if (!whole && !divisions.contains(&division(metric))) || rows.len() >= DRAWN {
                    left_out += 1;
                    continue;
                }
                rows.extend(row(metric, below && !whole));
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    let mut caption =
        "Paired differences of rates with their intervals. Filled circles: better than the baseline; diamonds: worse; hollow \
         circles: the interval holds zero or the samples are too few."
            .to_owned();
    if left_out > 0 {
        caption.push_str(&format!(
            " {} of parts are left out of the drawing and stand in the tables below.",
            format::counted(left_out, "difference", "differences")
        ));
    }
    let title = format!("{}: paired differences to the baseline", audit.subject.name);
    let said = rows.iter().filter_map(|row| match row {
        ForestRow::Difference { name, text, effect, .. } => Some(format!("{name}: {text}, {}.", effect.word())),
        ForestRow::Group(_) => None,
    });
    let description = said.collect::<Vec<_>>().join(" ");
    Some(Figure { svg: charts::forest("forest", &title, &description, &rows), caption, wide: true })
}

/// A suite, a measure, and what divides it.
type Division<'a> = (&'a str, &'a str, Option<&'a str>);

fn division(metric: &Metric) -> Division<'_> {
    (&metric.suite, &metric.measure, metric.scope.by.as_deref())
}

/// The divisions for which the drawing has room beside all that is whole: those with the smallest share of parts that are too small
/// to say anything come first, and those with more than half are left out.
fn drawn<'a>(compared: &[&'a Metric]) -> Vec<Division<'a>> {
    let (whole, parts): (Vec<&Metric>, Vec<&Metric>) = compared.iter().partition(|metric| words::is_whole(metric));
    // Two rows are headings.
    let mut left = DRAWN.saturating_sub(whole.len() + 2);
    let small = |group: &[&Metric]| group.iter().filter(|metric| metric.is_small()).count();
    let mut groups = grouped(parts, |metric| division(metric));
    groups.retain(|(_, group)| group.len() <= PARTS && 2 * small(group) <= group.len());
    groups.sort_by(|(_, a), (_, b)| (small(a) * b.len()).cmp(&(small(b) * a.len())));
    let mut drawn = Vec::new();
    for (division, group) in groups {
        if group.len() <= left {
            left -= group.len();
            drawn.push(division);
        }
    }
    drawn
}

fn row(metric: &Metric, below: bool) -> Option<ForestRow> {
    let paired = metric.paired.as_ref()?;
    let interval = paired.difference.interval.as_ref();
    let mut text = format::difference(paired.difference.value, Unit::Share).replace("\u{a0}pp", "");
    if let Some(interval) = interval {
        text.push_str(&format!(" ({})", format::difference_interval(interval, Unit::Share).replace("\u{a0}pp", "")));
    }
    let mut name = words::part(metric).filter(|_| below).unwrap_or_else(|| words::metric(metric));
    if metric.is_small() {
        name.push_str(" (n too small)");
    }
    Some(ForestRow::Difference {
        name,
        part: below,
        value: paired.difference.value,
        interval: interval.map(|interval| (interval.low, interval.high)),
        effect: if metric.is_small() { Effect::Unclear } else { Effect::of(metric)? },
        pairs: format::count(paired.pairs),
        text,
    })
}
