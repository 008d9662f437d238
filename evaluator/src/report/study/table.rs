//! The table as rows for spreadsheets and data frames.

use super::finite;
use crate::{
    report::{Error, Result, csv::text},
    study::Study,
};

const COLUMNS: [&str; 16] = [
    "method", "concept", "column", "metric", "role", "value", "low", "high", "interval", "pictures", "prompts",
    "models", "cells", "done", "updates", "seconds",
];

/// `table.csv`: a row for each method, concept and column, numbers in full precision, empty where there is none. The concept is empty
/// where it is all of them.
///
/// # Errors
/// A number that is not finite.
pub fn csv(study: &Study) -> Result<String> {
    finite(study)?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    let optional = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    for row in &study.rows {
        let updates = study.methods.iter().find(|method| method.name == row.method).map_or(0, |method| method.updates);
        for value in &row.values {
            let Some(column) = study.columns.iter().find(|column| column.name == value.column) else { continue };
            let estimate = value.estimate.as_ref();
            let interval = estimate.and_then(|estimate| estimate.interval.as_ref());
            let role = serde_json::to_value(column.role)?;
            writer.write_record([
                text(&row.method),
                text(row.concept.as_deref().unwrap_or_default()),
                text(&column.name),
                text(&column.metric),
                role.as_str().unwrap_or_default().to_owned(),
                optional(estimate.map(|estimate| estimate.value)),
                optional(interval.map(|interval| interval.low)),
                optional(interval.map(|interval| interval.high)),
                text(interval.map(|interval| interval.method.as_str()).unwrap_or_default()),
                value.pictures.to_string(),
                value.prompts.to_string(),
                row.models.to_string(),
                row.cells.to_string(),
                row.done.to_string(),
                updates.to_string(),
                optional(row.seconds),
            ])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| Error::Write(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
