//! The table that every comparison is shown in.

use crate::{
    document::{Discordant, Metric},
    report::{
        format,
        page::{Cell, Row, Table},
        words::{self, Effect},
    },
    stats::discordant_odds_ratio,
};

/// Value of the subject, of the baseline, and their difference, a row for each metric; `name` says what stands first.
pub(super) fn table(caption: &str, first: &str, metrics: &[&Metric], name: impl Fn(&Metric) -> Cell) -> Table {
    let columns = [first, "#Planned", "#Scored", "#Baseline", "#Subject", "#Difference", "#p", "#Holm p"];
    let mut table = Table::new(caption, &columns);
    for metric in metrics {
        let unit = metric.unit;
        let mut cells = vec![name(metric), format::count(metric.n.planned).into(), scored(metric)];
        for estimate in [&metric.baseline, &metric.subject] {
            cells.push(
                estimate.as_ref().map(|estimate| Cell::stacked(format::estimate(estimate, unit))).unwrap_or_default(),
            );
        }
        match &metric.paired {
            Some(paired) => {
                cells.push(difference(metric));
                cells.push(paired.p.map(format::p).unwrap_or_default().into());
                cells.push(paired.p_holm.map(format::p).unwrap_or_default().into());
            }
            None => cells.extend([Cell::default(), Cell::default(), Cell::default()]),
        }
        table.rows.push(Row { cells, grey: metric.is_small() });
    }
    table.without_empty_columns()
}

/// The paired difference, its interval, and what it says.
pub(super) fn difference(metric: &Metric) -> Cell {
    let Some(paired) = &metric.paired else { return Cell::default() };
    let effect = Effect::of(metric).unwrap_or(Effect::Unclear);
    let interval = paired.difference.interval.as_ref();
    let under =
        interval.map(|interval| format!("{}, {}", format::difference_interval(interval, metric.unit), effect.word()));
    let small = metric.is_small();
    let tone = if small { Default::default() } else { effect.tone() };
    Cell::stacked((format::difference(paired.difference.value, metric.unit), under)).toned(tone)
}

/// How many were scored, and what became of the others.
pub(super) fn scored(metric: &Metric) -> Cell {
    let n = &metric.n;
    let missing: Vec<String> = [(n.errored, "errors"), (n.unscored, "unscored"), (n.skipped, "skipped")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", format::count(count)))
        .collect();
    let mut under = missing.join(", ");
    if metric.is_small() {
        under = if under.is_empty() { "n too small".to_owned() } else { format!("n too small; {under}") };
    }
    Cell::with_under(format::count(n.scored), under)
}

/// The same metrics from other sides: pairs that disagree, the detector's errors, missing samples, resilience.
pub(super) fn sides(caption: &str, metrics: &[&Metric]) -> Option<Table> {
    let columns = [
        "Measure",
        "#Hit for subject only",
        "#Hit for baseline only",
        "#Odds ratio",
        "#Corrected for the detector",
        "#If all missing were good, or bad",
        "#Resilience",
    ];
    let mut table = Table::new(caption, &columns);
    for metric in metrics {
        let mut cells = vec![Cell::from(words::metric(metric))];
        match metric.paired.as_ref().and_then(|paired| paired.discordant) {
            Some(Discordant { only_subject, only_baseline }) => {
                cells.extend([format::count(only_subject), format::count(only_baseline)].map(Cell::from));
                cells.push(odds(only_subject, only_baseline));
            }
            None => cells.extend([Cell::default(), Cell::default(), Cell::default()]),
        }
        cells.push(
            metric
                .corrected
                .as_ref()
                .map(|corrected| Cell::stacked(format::estimate(&corrected.estimate, metric.unit)))
                .unwrap_or_default(),
        );
        cells.push(
            metric
                .bounds
                .filter(|bounds| bounds.best != bounds.worst)
                .map(|bounds| {
                    let (best, worst) =
                        (format::value(bounds.best, metric.unit), format::value(bounds.worst, metric.unit));
                    Cell::from(format!("{best} to {worst}"))
                })
                .unwrap_or_default(),
        );
        cells.push(
            metric
                .resilience
                .as_ref()
                .map(|resilience| {
                    let interval = resilience.interval.as_ref();
                    let ends =
                        interval.map(|ends| format!("{} to {}", format::percent(ends.low), format::percent(ends.high)));
                    Cell::stacked((format::percent(resilience.value), ends))
                })
                .unwrap_or_default(),
        );
        if cells.iter().skip(1).any(|cell| !cell.is_empty()) {
            table.shaded_row(cells, metric.is_small());
        }
    }
    (!table.rows.is_empty()).then(|| table.without_empty_columns())
}

/// Odds ratio of pairs that disagree, with its exact interval.
fn odds(only_subject: u64, only_baseline: u64) -> Cell {
    let counts = (u32::try_from(only_subject), u32::try_from(only_baseline));
    let (Ok(subject), Ok(baseline)) = counts else { return Cell::default() };
    let Ok(odds) = discordant_odds_ratio(subject, baseline) else { return Cell::from("no pair disagrees") };
    let number = |value: Option<f64>| value.map_or("unbounded".to_owned(), format::ratio);
    Cell::with_under(number(odds.ratio), format!("{} to {}", number(Some(odds.low)), number(odds.high)))
}
