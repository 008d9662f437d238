//! Whether the conclusion depends on the threshold.

use super::{grouped, nothing};
use crate::{
    document::{Audit, Curve, Metric, Point, Unit},
    report::{
        charts::{self, SweepMark},
        format,
        page::{Block, Figure, Table},
        words::{self, BASELINE, SUBJECT},
    },
};

/// A threshold that is in use, and by whom.
struct InUse {
    threshold: f64,
    by: Vec<String>,
}

/// A drawing and a table for each measure with a threshold.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (index, (id, curves)) in grouped(&audit.curves, |curve| curve.metric.as_str()).into_iter().enumerate() {
        let metric = audit.metrics.iter().find(|metric| metric.id == id);
        let name = metric.map_or_else(|| id.to_owned(), words::metric);
        let used = used(audit, metric, &curves);
        let marks: Vec<SweepMark> = used
            .iter()
            .enumerate()
            .map(|(i, mark)| SweepMark { letter: letter(i), threshold: mark.threshold })
            .collect();
        let title = format!("{name}: rate over thresholds");
        let table = table(&name, &used, &curves);
        let description = table
            .rows
            .iter()
            .map(|row| row.cells.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join(", "))
            .collect::<Vec<_>>()
            .join("; ");
        let svg = charts::sweep(&format!("sweep-{index}"), &title, &description, &curves, &marks);
        let caption = format!("{title}. Letters: thresholds in use, see the table.");
        blocks.push(Block::Beside(vec![Block::Figure(Figure { svg, caption, wide: false }), Block::Table(table)]));
    }
    if blocks.is_empty() {
        return nothing("rates at other thresholds than the one in use");
    }
    blocks.insert(
        0,
        Block::Text(
            "The same pictures, judged again at every threshold. Where the lines keep their distance, the conclusion does not \
             depend on the threshold."
                .to_owned(),
        ),
    );
    blocks
}

/// Thresholds of this audit and of published protocols, ascending; equal ones together.
fn used(audit: &Audit, metric: Option<&Metric>, curves: &[&Curve]) -> Vec<InUse> {
    let mut all: Vec<(f64, String)> = curves.iter().map(|curve| (curve.at, "this audit".to_owned())).collect();
    let measure = metric.map(|metric| metric.measure.as_str());
    let published = audit.marks.iter().filter(|mark| Some(mark.measure.as_str()) == measure);
    all.extend(published.map(|mark| (mark.threshold, mark.protocol.clone())));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut used: Vec<InUse> = Vec::new();
    for (threshold, by) in all {
        match used.last_mut().filter(|last| last.threshold == threshold) {
            Some(last) if !last.by.contains(&by) => last.by.push(by),
            Some(_) => {}
            None => used.push(InUse { threshold, by: vec![by] }),
        }
    }
    used
}

fn table(name: &str, used: &[InUse], curves: &[&Curve]) -> Table {
    let mut table =
        Table::new(format!("{name} at thresholds in use"), &["Mark", "#Threshold", "Used by", "#Baseline", "#Subject"]);
    for (index, mark) in used.iter().enumerate() {
        let at = |arm: &str| {
            let curve = curves.iter().find(|curve| curve.arm == arm)?;
            nearest(curve, mark.threshold).map(|point| format::value(point.rate, Unit::Share))
        };
        table.row(vec![
            letter(index).into(),
            format::decimal(mark.threshold, 2).into(),
            mark.by.join(", ").into(),
            at(BASELINE).unwrap_or_default().into(),
            at(SUBJECT).unwrap_or_default().into(),
        ]);
    }
    table.without_empty_columns()
}

fn nearest(curve: &Curve, threshold: f64) -> Option<&Point> {
    let far = |point: &&Point| (point.threshold - threshold).abs();
    curve.points.iter().min_by(|a, b| far(a).total_cmp(&far(b)))
}

/// A, B, ..., Z, then numbers.
fn letter(index: usize) -> String {
    u8::try_from(index)
        .ok()
        .filter(|index| *index < 26)
        .map_or_else(|| (index + 1).to_string(), |index| char::from(b'A' + index).to_string())
}
