//! The report of a study: `study.json`, an HTML page, its Markdown twin, a table and a drawing, as the report of an audit has them.

mod blocks;
mod differences;
mod page;
mod provenance;
mod table;

use super::{Error, Result, charts, check};
use crate::study::{SCHEMA, Study, VERSION};
use pleach_model::files::{self, AtomicFolder, Overwrite};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub use table::csv;

/// The document, which marks a folder as the report of a study.
pub const DOCUMENT: &str = "study.json";

/// The JSON Schema (2020-12) of a [`Study`].
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Study).to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("title".to_owned(), format!("{SCHEMA} {VERSION}").into());
    }
    schema
}

/// The report as one HTML file that loads nothing and runs nothing.
///
/// # Errors
/// A number that is not finite.
pub fn html(study: &Study) -> Result<String> {
    finite(study)?;
    super::html::write(&page::page(study))
}

/// The same as Markdown, without drawings.
///
/// # Errors
/// As [`html`].
pub fn markdown(study: &Study) -> Result<String> {
    finite(study)?;
    super::markdown::write(&page::page(study))
}

/// Suppression against retention, as a drawing (SVG); none where the study has not both columns.
///
/// # Errors
/// As [`html`].
pub fn tradeoff(study: &Study) -> Result<Option<String>> {
    finite(study)?;
    Ok(page::tradeoff(study).map(|figure| figure.svg))
}

/// Writes a report into the folder `out`, whole or not at all; a report that is there is replaced.
///
/// # Errors
/// As [`html`]; files that cannot be written.
pub fn write(study: &Study, out: &Path) -> Result<PathBuf> {
    let mut document = serde_json::to_vec_pretty(study)?;
    document.push(b'\n');
    let mut contents = vec![
        (DOCUMENT, document),
        ("index.html", html(study)?.into_bytes()),
        ("study.md", markdown(study)?.into_bytes()),
        ("table.csv", csv(study)?.into_bytes()),
    ];
    contents.extend(tradeoff(study)?.map(|svg| ("tradeoff.svg", svg.into_bytes())));
    let folder = AtomicFolder::create(out, Overwrite::IfItHolds(DOCUMENT))?;
    for (name, bytes) in contents {
        files::write(&folder.path().join(name), &bytes)?;
    }
    Ok(folder.persist()?)
}

/// Refuses numbers that are none.
fn finite(study: &Study) -> Result<()> {
    match check::null(&serde_json::to_value(study)?) {
        Some(path) => Err(Error::NotFinite(path.trim_start_matches('.').to_owned())),
        None => Ok(()),
    }
}
