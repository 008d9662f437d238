//! The table of a study.

use crate::{
    report::{
        format,
        page::{Block, Cell, Fold, Table},
    },
    study::{ColumnDocument, Row, Study},
};

/// The table over all concepts, or of one.
pub(super) fn table(study: &Study, concept: Option<&str>) -> Block {
    let mut columns = vec!["method".to_owned()];
    columns.extend(study.columns.iter().map(|column| format!("#{}", column.name)));
    columns.extend(["#updates", "#seconds"].map(str::to_owned));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let caption = match concept {
        Some(concept) => format!("{concept}: each method, over its training seeds. 95 % intervals."),
        None => "Each method, over all concepts and training seeds. 95 % intervals; below, each seed alone.".to_owned(),
    };
    let mut table = Table::new(caption, &columns);
    for row in study.rows.iter().filter(|row| row.concept.as_deref() == concept) {
        let mut cells = vec![name(study, row)];
        cells.extend(study.columns.iter().map(|column| value(row, column)));
        let updates = study.methods.iter().find(|method| method.name == row.method).map_or(0, |method| method.updates);
        cells.push(format::count(updates).into());
        cells.push(row.seconds.map_or_else(String::new, |seconds| format::decimal(seconds, 0)).into());
        table.shaded_row(cells, row.done < row.cells);
    }
    Block::Table(table)
}

/// A table for each concept, under a line that opens it.
pub(super) fn concepts(study: &Study) -> Vec<Block> {
    let has_rows = |concept: &&String| study.rows.iter().any(|row| row.concept.as_ref() == Some(concept));
    let fold = |concept: &String| {
        Block::Fold(Fold { title: concept.clone(), open: false, blocks: vec![table(study, Some(concept))] })
    };
    study.concepts.iter().filter(has_rows).map(fold).collect()
}

fn name(study: &Study, row: &Row) -> Cell {
    let mut under = Vec::new();
    if row.method == study.reference {
        under.push("the reference".to_owned());
    }
    if row.done < row.cells {
        under.push(format!("{} of {} cells", row.done, row.cells));
    }
    Cell::with_under(row.method.clone(), under.join(", "))
}

fn value(row: &Row, column: &ColumnDocument) -> Cell {
    let Some(value) = row.values.iter().find(|value| value.column == column.name) else { return Cell::default() };
    let Some(estimate) = &value.estimate else { return Cell::default() };
    let (text, interval) = format::estimate(estimate, column.unit);
    let mut cell = Cell::with_under(text, interval.unwrap_or_default());
    if value.by_seed.len() > 1 {
        let seeds = value.by_seed.iter().map(|seed| format::value(seed.value, column.unit));
        let seeds = format!("seeds: {}", seeds.collect::<Vec<_>>().join(", "));
        cell.under = if cell.under.is_empty() { seeds } else { format!("{}; {seeds}", cell.under) };
    }
    cell
}
