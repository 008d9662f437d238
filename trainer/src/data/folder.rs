//! An image folder as Hugging Face's `datasets` reads it: pictures, and a file that gives each its caption.

use super::{
    Error, Warning,
    error::Result,
    files::{Files, Listing, dataset_of_files},
};
use pleach_model::files::{self, read_bounded};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Names of the files that give captions, in the order in which they are looked for.
pub(super) const METADATA: [&str; 2] = ["metadata.jsonl", "metadata.csv"];
/// The column with the captions, where no other is asked for.
pub(super) const CAPTIONS: &str = "text";
/// The column with the names.
const NAMES: &str = "file_name";
/// A hundred million captions.
const MAX_METADATA: u64 = 8 << 30;

/// A folder with `metadata.jsonl` or `metadata.csv`: `file_name` (inside the folder) and a caption, or a list of captions, per line.
#[derive(Debug)]
pub struct ImageFolder {
    files: Files,
    warnings: Vec<Warning>,
}

impl ImageFolder {
    /// Opens a folder; captions stand in the column `captions`, `text` if none is named.
    ///
    /// # Errors
    /// [`Error::Form`] without metadata, [`Error::Line`] for a line that is wrong, [`Error::Column`], [`Error::Missing`], [`Error::Empty`].
    pub fn open(folder: &Path, captions: Option<&str>) -> Result<Self> {
        let column = captions.unwrap_or(CAPTIONS);
        let [lines, table] = METADATA.map(|name| folder.join(name));
        let is_lines = lines.is_file();
        if !is_lines && !table.is_file() {
            let found = if folder.is_dir() { "has no metadata" } else { "is no folder" };
            return Err(Error::Form { path: folder.to_owned(), found: found.to_owned() });
        }
        let path = if is_lines { lines } else { table };
        let (mut listing, bytes) = (Listing::new(&path, folder), read_bounded(&path, MAX_METADATA)?);
        if is_lines { read_lines(&mut listing, &bytes, column) } else { read_table(&mut listing, &bytes, column) }?;
        let (files, warnings) = listing.finish()?;
        Ok(Self { files, warnings })
    }

    /// What is worth knowing about it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

dataset_of_files!(ImageFolder);

fn read_lines(listing: &mut Listing<'_>, bytes: &[u8], column: &str) -> Result<()> {
    for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |reason| Error::Line { path: listing.path.to_owned(), line, reason };
        let row: Map<String, Value> =
            serde_json::from_slice(text).map_err(|error| wrong(format!("is not a JSON object: {}", reason(&error))))?;
        let name = match row.get(NAMES) {
            Some(Value::String(name)) => name.clone(),
            other => return Err(wrong(expected(NAMES, "text", other))),
        };
        let captions = captions(row.get(column))
            .ok_or_else(|| wrong(expected(column, "text or a list of texts", row.get(column))))?;
        push(listing, line, name, captions)?;
    }
    Ok(())
}

/// serde_json counts lines too, but every line is a document of its own here.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(text) => format!("{text} at column {}", error.column()),
        None => text,
    }
}

fn expected(column: &str, what: &str, found: Option<&Value>) -> String {
    match found {
        None => format!("has no {column:?}"),
        Some(value) => {
            let shown: String = value.to_string().chars().take(80).collect();
            format!("{column:?} should be {what}, found {shown}")
        }
    }
}

fn captions(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(caption) => Some(vec![caption.clone()]),
        Value::Array(captions) if !captions.is_empty() => {
            captions.iter().map(|caption| caption.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

fn read_table(listing: &mut Listing<'_>, bytes: &[u8], column: &str) -> Result<()> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let path = || listing.path.to_owned();
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().map_err(|error| wrong_row(path(), &error))?.clone();
    let find = |name: &str| {
        header.iter().position(|column| column == name).ok_or_else(|| Error::Column {
            path: path(),
            column: name.to_owned(),
            columns: header.iter().map(str::to_owned).collect(),
        })
    };
    let (names, captions) = (find(NAMES)?, find(column)?);
    for row in reader.records() {
        let row = row.map_err(|error| wrong_row(listing.path.to_owned(), &error))?;
        let line = row.position().map_or(0, csv::Position::line);
        let field = |column: usize| row.get(column).unwrap_or_default().to_owned();
        push(listing, line, field(names), vec![field(captions)])?;
    }
    Ok(())
}

fn wrong_row(path: PathBuf, error: &csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} fields where the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("is not UTF-8: {err}"),
        _ => error.to_string(),
    };
    Error::Line { path, line, reason }
}

fn push(listing: &mut Listing<'_>, line: u64, name: String, captions: Vec<String>) -> Result<()> {
    listing.push(name, captions).map_err(|error| match error {
        files::Error::NotPlain { .. } | files::Error::Outside { .. } | files::Error::NotAFile { .. } => {
            Error::Line { path: listing.path.to_owned(), line, reason: error.to_string() }
        }
        other => other.into(),
    })
}
