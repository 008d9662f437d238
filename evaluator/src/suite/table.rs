//! Tables of comma-separated values: I2P and what was made of it, Ring-A-Bell, MMA, lists of artists.

use super::{Error, Reading, Result, Row};
use pleach_runtime::pipeline::Size;
use std::{collections::BTreeMap, path::Path, str::FromStr};

/// The names of what is read beside the prompt, those of the Hugging Face release second.
const SEED: [&str; 2] = ["evaluation_seed", "sd_seed"];
const GUIDANCE: [&str; 2] = ["evaluation_guidance", "sd_guidance_scale"];
const SIZE: [&str; 2] = ["sd_image_width", "sd_image_height"];
const IMAGE_ID: [&str; 2] = ["image_id", "coco_id"];

/// Columns that are groups wherever they are, with the group's name.
const GROUPS: [(&str, &str); 3] = [("categories", "category"), ("artist", "artist"), ("artists", "artist")];

/// The column of which commas divide the values.
const LIST: &str = "categories";

/// Longer texts are not shown: they may be prompts.
const SHOWN: usize = 24;

fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes())
}

fn wrong(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "the row has {len} fields, the first one has {expected_len}; if the file has no header, its form is lines"
        ),
        _ => error.to_string(),
    };
    Error::Table { path: path.to_owned(), line, reason }
}

/// The first row, if there is one.
pub(super) fn header_of(path: &Path, text: &str) -> Result<Option<Vec<String>>> {
    let first = reader(text).into_records().next().transpose().map_err(|error| wrong(path, &error))?;
    Ok(first.map(|record| record.iter().map(|name| name.trim().to_owned()).collect()))
}

/// The likeliest of the columns that hold prompts.
pub(super) fn known(header: &[String]) -> Option<String> {
    Reading::COLUMNS.into_iter().find(|known| header.iter().any(|name| name == known)).map(str::to_owned)
}

/// Whether the first row is no header but a prompt: one field, which is no column that is asked for or known.
pub(super) fn has_no_header(path: &Path, text: &str, reading: &Reading) -> Result<bool> {
    let header = header_of(path, text)?.unwrap_or_default();
    Ok(reading.column.is_none() && header.len() == 1 && known(&header).is_none())
}

/// The rows of a table, and the column that the prompts are in.
pub(super) fn read(path: &Path, text: &str, reading: &Reading) -> Result<(String, Vec<Row>)> {
    let header = header_of(path, text)?.ok_or_else(|| Error::NoRows { path: path.to_owned() })?;
    let table = Table { path, header };
    let likeliest = || known(&table.header).ok_or_else(|| table.missing(Reading::COLUMNS.join(" or ")));
    let column = reading.column.clone().map_or_else(likeliest, Ok)?;
    let prompt = table.find(&column)?.ok_or_else(|| table.missing(format!("{column:?}")))?;
    let (seed, guidance, image_id) = (table.first(&SEED)?, table.first(&GUIDANCE)?, table.first(&IMAGE_ID)?);
    let [width, height] = SIZE;
    let (width, height) = (table.find(width)?, table.find(height)?);
    let groups = table.groups(&reading.groups)?;
    let mut rows = Vec::new();
    for (index, record) in reader(text).into_records().skip(1).enumerate() {
        let record = record.map_err(|error| wrong(path, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cells = Cells { table: &table, record: &record, row: index, line };
        let text = cells.text(prompt);
        if text.trim().is_empty() && !reading.allow_empty {
            return Err(Error::EmptyPrompt { path: path.to_owned(), row: index, line, column });
        }
        let pixels = |column| cells.number(column, |&pixels| pixels > 0, "a number of pixels");
        rows.push(Row {
            index,
            prompt: text.to_owned(),
            seed: cells.number(seed, |_| true, "a seed, which is a whole number from 0")?,
            guidance: cells.number(guidance, |scale: &f64| scale.is_finite(), "a finite number")?,
            size: pixels(width)?.zip(pixels(height)?).map(|(width, height)| Size { width, height }),
            image_id: cells.number(image_id, |_| true, "the number of an image")?,
            groups: cells.groups(&groups),
        });
    }
    Ok((column, rows))
}

struct Table<'a> {
    path: &'a Path,
    header: Vec<String>,
}

impl Table<'_> {
    /// The column of this name.
    fn find(&self, name: &str) -> Result<Option<usize>> {
        let mut found = (0..).zip(&self.header).filter(|(_, column)| *column == name).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Error::Twice { path: self.path.to_owned(), column: name.to_owned() }),
            (found, None) => Ok(found),
        }
    }

    /// The first of these columns that is there.
    fn first(&self, names: &[&str]) -> Result<Option<usize>> {
        names.iter().find_map(|name| self.find(name).transpose()).transpose()
    }

    /// The columns that are groups: those that always are, and the ones asked for.
    fn groups<'n>(&self, wanted: &'n [String]) -> Result<Vec<(&'n str, usize)>> {
        let mut groups = Vec::new();
        for (column, group) in GROUPS {
            if let Some(index) = self.find(column)? {
                groups.push((group, index));
            }
        }
        for name in wanted {
            let alias = GROUPS.into_iter().any(|(column, group)| column == name || group == name);
            match self.find(name)? {
                Some(index) if !alias => groups.push((name, index)),
                None if !groups.iter().any(|(group, _)| group == name) => {
                    return Err(self.missing(format!("{name:?}")));
                }
                _ => {}
            }
        }
        Ok(groups)
    }

    fn missing(&self, wanted: String) -> Error {
        let shown: Vec<_> = self.header.iter().map(|name| column_name(name)).collect();
        Error::NoColumn { path: self.path.to_owned(), wanted, columns: shown.join(", ") }
    }
}

/// A column's name, if it is one word or known; where there is no header it may be a piece of a prompt.
fn column_name(name: &str) -> String {
    let is_known = ["sensitive prompt", "normal prompt", "Unnamed: 0"].contains(&name);
    if is_known || !name.contains(char::is_whitespace) { quoted(name) } else { length(name) }
}

/// A short text as it is, of a longer one only its length.
fn quoted(text: &str) -> String {
    if text.chars().count() <= SHOWN { format!("{text:?}") } else { length(text) }
}

fn length(text: &str) -> String {
    format!("({} characters)", text.chars().count())
}

/// A row of a table.
struct Cells<'a> {
    table: &'a Table<'a>,
    record: &'a csv::StringRecord,
    row: usize,
    line: u64,
}

impl Cells<'_> {
    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    /// A number, none where there is no such column. A cell that is empty is wrong: the protocol would be another one there.
    fn number<T: FromStr>(
        &self,
        column: Option<usize>,
        valid: impl Fn(&T) -> bool,
        expected: &'static str,
    ) -> Result<Option<T>> {
        let Some(column) = column else { return Ok(None) };
        let text = self.text(column).trim();
        let number = text.parse().ok().filter(valid);
        number.map(Some).ok_or_else(|| Error::Cell {
            path: self.table.path.to_owned(),
            row: self.row,
            line: self.line,
            column: self.table.header.get(column).cloned().unwrap_or_default(),
            found: quoted(text),
            expected,
        })
    }

    fn groups(&self, groups: &[(&str, usize)]) -> BTreeMap<String, Vec<String>> {
        let mut found = BTreeMap::new();
        for &(group, column) in groups {
            let text = self.text(column);
            let is_list = self.table.header.get(column).is_some_and(|name| name == LIST);
            let values: &mut Vec<String> = found.entry(group.to_owned()).or_default();
            for value in values_of(text, is_list) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        found
    }
}

/// The values of a cell, without those that are empty.
fn values_of(text: &str, is_list: bool) -> impl Iterator<Item = String> {
    let pieces = text.split(move |c| is_list && c == ',');
    pieces.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}
