//! The reference minus every other method, and every method against the start.

use super::page::column;
use crate::{
    document::{Better, Paired, Unit},
    report::{
        format,
        page::{Block, Cell, Table, Tone},
    },
    stats::Verdict,
    study::{ColumnDocument, Role, Study},
};

/// Level of the tests.
const LEVEL: f64 = 0.05;

/// What is found of the first column of suppression, and of what is kept, in sentences.
pub(super) fn headline(study: &Study) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(suppression) = column(study, Role::Suppression) {
        let of_column = study.comparisons.iter().filter(|c| c.concept.is_none() && c.column == suppression.name);
        let trained = |name: &str| study.methods.iter().any(|method| method.name == name && method.trained);
        let mut counts = [0u64; 3];
        for comparison in of_column.filter(|comparison| trained(&comparison.method)) {
            counts[match effect(&comparison.paired, suppression.better) {
                Tone::Good => 0,
                Tone::Bad => 1,
                _ => 2,
            }] += 1;
        }
        let [better, worse, unclear] = counts.map(|count| format::counted(count, "method", "methods"));
        sentences.push(format!(
            "{}, {}: better than {better}, worse than {worse}, not told from {unclear} (Holm, 5 %).",
            study.reference, suppression.name
        ));
    }
    for kept in study.retention.iter().filter(|kept| kept.concept.is_none() && kept.method == study.reference) {
        let margin = format::difference(study.margin, Unit::Share);
        let what = match kept.verdict {
            Verdict::NonInferior => "no worse than the start within",
            Verdict::Inferior => "worse than the start by more than",
            Verdict::Undecided => "not told whether worse than the start by more than",
        };
        sentences.push(format!("{}, {}: {what} {}.", kept.method, kept.column, margin.trim_start_matches('+')));
    }
    sentences
}

/// Whether a difference is to the better, to the worse, or may be none.
fn effect(paired: &Paired, better: Better) -> Tone {
    match paired.p_holm {
        Some(p) if p <= LEVEL => {
            let lower = paired.difference.value < 0.0;
            if lower == (better == Better::Lower) { Tone::Good } else { Tone::Bad }
        }
        _ => Tone::Open,
    }
}

fn word(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "better",
        Tone::Bad => "worse",
        _ => "not told apart",
    }
}

/// A table for each column: the reference minus every other method.
pub(super) fn blocks(study: &Study) -> Vec<Block> {
    let mut blocks = vec![Block::Text(format!(
        "{} minus every other method, on the same prompts, noise, concepts and training seeds. Holm's correction is over the \
         methods of a table, for all concepts together and for each.",
        study.reference
    ))];
    for column in &study.columns {
        let mut table = Table::new(
            format!("{}: {} minus each", column.name, study.reference),
            &["method", "concept", "#pairs", "#difference", "test", "#p", "#p, Holm", ""],
        );
        for comparison in study.comparisons.iter().filter(|comparison| comparison.column == column.name) {
            let paired = &comparison.paired;
            let tone = effect(paired, column.better);
            table.row(vec![
                comparison.method.clone().into(),
                comparison.concept.clone().unwrap_or_else(|| "all".to_owned()).into(),
                format::count(paired.pairs).into(),
                difference(paired, column),
                paired.test.clone().unwrap_or_default().into(),
                paired.p.map(format::p).unwrap_or_default().into(),
                paired.p_holm.map(format::p).unwrap_or_default().into(),
                Cell::from(word(tone)).toned(tone),
            ]);
        }
        if !table.rows.is_empty() {
            blocks.push(Block::Table(table));
        }
    }
    blocks
}

fn difference(paired: &Paired, column: &ColumnDocument) -> Cell {
    let text = format::difference(paired.difference.value, column.unit);
    let under = paired.difference.interval.as_ref().map(|interval| format::difference_interval(interval, column.unit));
    Cell::with_under(text, under.unwrap_or_default())
}

/// Every method minus the start, held against the margin.
pub(super) fn retention(study: &Study) -> Vec<Block> {
    let margin = format::difference(study.margin, Unit::Share);
    let mut blocks = vec![Block::Text(format!(
        "Each method minus the start on the same prompts and noise. It keeps what it should where even the bad end of the 95 % interval \
         is within {} of the start.",
        margin.trim_start_matches('+')
    ))];
    let mut table = Table::new("Retention against the start", &["method", "concept", "column", "#difference", ""]);
    for kept in &study.retention {
        let Some(column) = study.columns.iter().find(|column| column.name == kept.column) else { continue };
        let (word, tone) = match kept.verdict {
            Verdict::NonInferior => ("kept", Tone::Good),
            Verdict::Inferior => ("not kept", Tone::Bad),
            Verdict::Undecided => ("undecided", Tone::Open),
        };
        table.row(vec![
            kept.method.clone().into(),
            kept.concept.clone().unwrap_or_else(|| "all".to_owned()).into(),
            kept.column.clone().into(),
            difference(&kept.paired, column),
            Cell::from(word).toned(tone),
        ]);
    }
    blocks.push(Block::Table(table));
    blocks
}
