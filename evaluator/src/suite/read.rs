//! From a file to a suite: which form it has, and the forms that are a prompt per line.

use super::{Error, Form, Result, Row, Source, Suite, coco, error::unquoted, table};
use crate::judge;
use pleach_model::files::{Sha256, read_bounded};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// No prompt set in use comes near: a million prompts are 100 MB.
const MAX_BYTES: u64 = 1 << 30;

/// How a file is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The form of the file; where it is not said, its name and its first row decide.
    pub form: Option<Form>,
    /// The column that holds the prompts; where it is not said, the first of [`Reading::COLUMNS`] that is there.
    pub column: Option<String>,
    /// Columns that become groups, beside `categories` (as `category`), `artist` and `artists` (as `artist`), which always do.
    pub groups: Vec<String>,
    /// Whether a prompt may be empty.
    pub allow_empty: bool,
    /// What names are put into, for [`Form::Template`].
    pub template: Option<Template>,
}

/// A sentence with a place for a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The sentence, with `{}` once: `a painting in the style of {}`.
    pub text: String,
    /// The group that the name becomes: `artist`.
    pub group: String,
}

impl Template {
    fn fill(&self, name: &str) -> Result<String> {
        match self.text.split("{}").collect::<Vec<_>>()[..] {
            [before, after] => Ok(format!("{before}{name}{after}")),
            _ => Err(Error::Template { template: self.text.clone() }),
        }
    }
}

impl Reading {
    /// Columns that hold prompts, the likeliest first.
    pub const COLUMNS: [&str; 5] = ["prompt", "adv_prompt", "sensitive prompt", "text", "caption"];
}

impl Suite {
    /// Reads a prompt set.
    ///
    /// # Errors
    /// Every [`Error`] except those of the hub.
    pub fn read(path: &Path, reading: &Reading) -> Result<Self> {
        Self::parse(path, &read_bounded(path, MAX_BYTES)?, reading)
    }

    /// Reads a prompt set that is in memory; `path` says what it is called.
    ///
    /// # Errors
    /// As [`Suite::read`], without those of files.
    pub fn parse(path: &Path, bytes: &[u8], reading: &Reading) -> Result<Self> {
        let form = match reading.form {
            Some(form) => form,
            None => guess(path, bytes, reading)?,
        };
        let (column, rows) = match form {
            Form::Csv => table::read(path, text(path, bytes)?, reading).map(|(column, rows)| (Some(column), rows))?,
            Form::Lines => (None, lines(path, text(path, bytes)?, reading)?),
            Form::Jsonl => (Some("text".to_owned()), json_lines(path, bytes, reading)?),
            Form::Coco => (Some("caption".to_owned()), coco::read(path, bytes)?),
            Form::Template => {
                let template = reading.template.as_ref().ok_or_else(|| Error::Template { template: String::new() })?;
                let names = plain(text(path, bytes)?, false);
                (Some(template.text.clone()), fill(template, names.into_iter())?)
            }
        };
        if form != Form::Csv {
            check_groups(path, &rows, &reading.groups)?;
        }
        let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self::new(path, file, bytes, form, column, rows)
    }

    /// The prompts that a template makes of names. Known by the hash of the names, each followed by a line break.
    ///
    /// # Errors
    /// [`Error::Template`]; [`Error::NoRows`], where there are no names.
    pub fn of_names(template: &Template, names: &[String]) -> Result<Self> {
        let listed: String = names.iter().flat_map(|name| [name, "\n"]).collect();
        let rows = fill(template, names.iter().map(String::as_str))?;
        let file = "names".to_owned();
        Self::new(Path::new("names"), file, listed.as_bytes(), Form::Template, Some(template.text.clone()), rows)
    }

    fn new(
        path: &Path,
        file: String,
        bytes: &[u8],
        form: Form,
        column: Option<String>,
        rows: Vec<Row>,
    ) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::NoRows { path: path.to_owned() });
        }
        let source = Source {
            file,
            sha256: Sha256::of(bytes),
            bytes: bytes.len() as u64,
            form,
            column,
            rows: rows.len(),
            distinct: Self::distinct(&rows),
        };
        Ok(Self { source, rows })
    }
}

/// Whether some row has each of these groups. Tables are asked for the column instead, which may be empty in every row.
fn check_groups(path: &Path, rows: &[Row], groups: &[String]) -> Result<()> {
    let there: BTreeSet<&str> = rows.iter().flat_map(|row| row.groups.keys().map(String::as_str)).collect();
    let Some(group) = groups.iter().find(|group| !there.contains(group.as_str())) else { return Ok(()) };
    let columns = there.into_iter().collect::<Vec<_>>().join(", ");
    let columns = if columns.is_empty() { "none".to_owned() } else { columns };
    Err(Error::NoColumn { path: path.to_owned(), wanted: format!("{group:?}"), columns })
}

/// The form that a file's name speaks of. Lists that are called `.csv` and have no header are in use.
fn guess(path: &Path, bytes: &[u8], reading: &Reading) -> Result<Form> {
    if reading.template.is_some() {
        return Ok(Form::Template);
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    Ok(match extension.to_ascii_lowercase().as_str() {
        "csv" if table::has_no_header(path, text(path, bytes)?, reading)? => Form::Lines,
        "csv" => Form::Csv,
        "txt" => Form::Lines,
        "jsonl" | "ndjson" => Form::Jsonl,
        "json" => Form::Coco,
        "parquet" => return Err(Error::Parquet { path: path.to_owned() }),
        _ => return Err(Error::UnknownForm { path: path.to_owned() }),
    })
}

/// The file as text, without a byte order mark.
fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        Error::NotUtf8 { path: path.to_owned(), line: 1 + before.iter().filter(|&&byte| byte == b'\n').count() }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Lines, which end with LF or CR LF and with nothing else that Unicode calls a line's end, without spaces around them. Blank ones
/// are none, except between others where empty prompts are allowed.
fn plain(text: &str, allow_empty: bool) -> Vec<&str> {
    let spaces = [' ', '\t', '\r', '\n'];
    let lines = text.trim_end_matches(spaces).split('\n').map(|line| line.trim_matches(spaces));
    let lines: Vec<&str> = lines.filter(|line| allow_empty || !line.is_empty()).collect();
    if lines == [""] { vec![] } else { lines }
}

fn lines(path: &Path, text: &str, reading: &Reading) -> Result<Vec<Row>> {
    if let Some(column) = table::header_of(path, text)?.and_then(|header| table::known(&header)) {
        return Err(Error::Header { path: path.to_owned(), column });
    }
    let lines = plain(text, reading.allow_empty);
    let row = |(index, line): (usize, &str)| Row { index, prompt: line.to_owned(), ..Row::default() };
    Ok(lines.into_iter().enumerate().map(row).collect())
}

fn json_lines(path: &Path, bytes: &[u8], reading: &Reading) -> Result<Vec<Row>> {
    let row = |(index, found): (usize, judge::Result<_>)| {
        let (line, found): (usize, judge::Line) = found.map_err(|error| match error {
            judge::Error::Line { path, line, reason } => judge::Error::Line { path, line, reason: unquoted(&reason) },
            error => error,
        })?;
        if found.text.trim().is_empty() && !reading.allow_empty {
            let column = "text".to_owned();
            return Err(Error::EmptyPrompt { path: path.to_owned(), row: index, line: line as u64, column });
        }
        Ok(Row { index, prompt: found.text, groups: found.labels, ..Row::default() })
    };
    judge::lines(path, bytes).enumerate().map(row).collect()
}

fn fill<'a>(template: &Template, names: impl Iterator<Item = &'a str>) -> Result<Vec<Row>> {
    let row = |(index, name): (usize, &str)| {
        let groups = BTreeMap::from([(template.group.clone(), vec![name.to_owned()])]);
        Ok(Row { index, prompt: template.fill(name)?, groups, ..Row::default() })
    };
    names.enumerate().map(row).collect()
}
