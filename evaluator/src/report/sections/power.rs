//! What this many samples could have found.

use super::nothing;
use crate::{
    document::{Audit, Metric, SMALL},
    report::{
        format,
        page::{Block, Fold, Table},
        words,
    },
};

/// The smallest difference that each cell finds.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    if audit.metrics.is_empty() {
        return nothing("anything");
    }
    let (whole, parts): (Vec<&Metric>, Vec<&Metric>) = audit.metrics.iter().partition(|metric| words::is_whole(metric));
    let mut blocks = vec![Block::Text(format!(
        "The smallest paired difference that this many samples find with a power of 80 %. A smaller one may exist unseen. Cells \
         with fewer than {SMALL} scored samples are grey and decide nothing alone."
    ))];
    if !whole.is_empty() {
        blocks.push(Block::Table(table("Power of whole suites", &whole)));
    }
    if !parts.is_empty() {
        let title = format!("Power of {}", format::counted(parts.len() as u64, "part", "parts"));
        let table = Block::Table(table("Power of parts of suites", &parts));
        blocks.push(Block::Fold(Fold { title, open: false, blocks: vec![table] }));
    }
    blocks
}

fn table(caption: &str, metrics: &[&Metric]) -> Table {
    let mut table =
        Table::new(caption, &["Measure", "#Scored", "#Distinct prompts", "#Smallest difference found", "Enough"]);
    for metric in metrics {
        let found =
            metric.detectable.map(|least| format::difference(least, metric.unit).trim_start_matches('+').to_owned());
        table.shaded_row(
            vec![
                words::metric(metric).into(),
                format::count(metric.n.scored).into(),
                format::count(metric.n.prompts).into(),
                found.unwrap_or_else(|| "–".to_owned()).into(),
                if metric.is_small() { "n too small" } else { "yes" }.into(),
            ],
            metric.is_small(),
        );
    }
    table
}
