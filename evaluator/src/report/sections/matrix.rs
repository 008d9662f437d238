//! What was seen where a class was asked for: what a suppressed concept turned into, and what was kept.

use super::{grouped, nothing};
use crate::{
    document::{Audit, Confusion},
    report::{
        format,
        page::{Block, Cell, Column, Fold, Layout, Row, Table},
        words::{BASELINE, SUBJECT},
    },
};

/// Most classes of a matrix that is shown whole.
const WHOLE: usize = 16;
/// Most classes that are named as what something turned into.
const NAMED: usize = 3;

/// A summary and two matrices for each measure that tells classes apart.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let mut blocks = Vec::new();
    for ((suite, measure), matrices) in
        grouped(&audit.confusions, |confusion| (confusion.suite.as_str(), confusion.measure.as_str()))
    {
        let arm = |arm: &str| matrices.iter().copied().find(|confusion| confusion.arm == arm);
        let (baseline, subject) = (arm(BASELINE), arm(SUBJECT));
        blocks.push(Block::Heading(format!("{suite}/{measure}")));
        blocks.extend(subject.map(|subject| Block::Table(turned(suite, measure, baseline, subject))));
        let whole: Vec<Block> =
            [baseline, subject].into_iter().flatten().map(|confusion| Block::Table(matrix(confusion))).collect();
        let large = matrices.iter().any(|confusion| confusion.classes.len() > WHOLE);
        blocks.push(match (large, whole.len()) {
            (true, _) => Block::Fold(Fold { title: "The matrices in whole".to_owned(), open: false, blocks: whole }),
            (false, 2) => Block::Beside(whole),
            (false, _) => Block::Fold(Fold { title: "The matrix in whole".to_owned(), open: true, blocks: whole }),
        });
    }
    if blocks.is_empty() {
        return nothing("which classes are seen where others were asked for");
    }
    blocks.insert(
        0,
        Block::Text(
            "Rows: what the prompt asked for. Columns: what the classifier saw. A suppressed class should leave its own column; \
             all others should stay in theirs."
                .to_owned(),
        ),
    );
    blocks
}

/// For each class that was asked for how often it was seen where it was asked for, and what was seen instead.
fn turned(suite: &str, measure: &str, baseline: Option<&Confusion>, subject: &Confusion) -> Table {
    let mut table = Table::new(
        format!("{suite}/{measure}: what each class turned into"),
        &["Asked", "#Pictures", "#Seen, baseline", "#Seen, subject", "Seen instead by the subject"],
    );
    for (row, class) in subject.classes.iter().enumerate() {
        let kept = |confusion: &Confusion| {
            let row = confusion.classes.iter().position(|other| other == class)?;
            let counts = confusion.counts.get(row)?;
            Some((*counts.get(row)?, counts.iter().sum::<u64>()))
        };
        let (_, asked) = kept(subject).unwrap_or_default();
        if asked == 0 {
            continue;
        }
        let counts = subject.counts.get(row).map(Vec::as_slice).unwrap_or_default();
        let mut instead: Vec<(&String, u64)> = subject
            .classes
            .iter()
            .zip(counts.iter().copied())
            .filter(|(other, count)| *other != class && *count > 0)
            .collect();
        instead.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let named: Vec<String> =
            instead.iter().take(NAMED).map(|(other, count)| format!("{other} {}", part(*count, asked))).collect();
        let share = |kept: Option<(u64, u64)>| kept.map(|(seen, of)| part(seen, of)).unwrap_or_default();
        table.shaded_row(
            vec![
                class.clone().into(),
                format::count(asked).into(),
                share(baseline.and_then(kept)).into(),
                share(kept(subject)).into(),
                named.join(", ").into(),
            ],
            asked < crate::document::SMALL,
        );
    }
    table.without_empty_columns()
}

/// The counts of the classes that were asked for, shaded by their share of the row.
fn matrix(confusion: &Confusion) -> Table {
    let mut table = Table::new(format!("{}: asked (rows) and seen (columns), pictures", confusion.arm), &["Asked"]);
    table.layout = Layout::Matrix;
    let number = |class: &String| Column { name: class.clone(), number: true };
    table.columns.extend(confusion.classes.iter().map(number));
    for (index, (class, counts)) in confusion.classes.iter().zip(&confusion.counts).enumerate() {
        let all: u64 = counts.iter().sum();
        if all == 0 {
            continue;
        }
        let mut cells = vec![Cell::from(class.clone())];
        cells.extend(counts.iter().enumerate().map(|(column, count)| Cell {
            text: if *count == 0 { "·".to_owned() } else { format::count(*count) },
            shade: (*count > 0).then(|| (10.0 * *count as f64 / all as f64).round() as u8),
            code: index == column && *count > 0,
            ..Cell::default()
        }));
        table.rows.push(Row { cells, grey: false });
    }
    table
}

fn part(count: u64, of: u64) -> String {
    if of == 0 { String::new() } else { format::value(count as f64 / of as f64, crate::document::Unit::Share) }
}
