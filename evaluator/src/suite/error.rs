//! Every way in which a prompt set can be unreadable. No message quotes a prompt: those of safety suites are not for logs.

use crate::judge;
use pleach_model::files;
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The file cannot be fetched.
    #[error(transparent)]
    Hub(#[from] pleach_hub::Error),
    /// The line of a JSON lines file is not one.
    #[error(transparent)]
    Labels(#[from] judge::Error),
    /// A repository of which no file was named, with more than one table.
    #[error("{id} holds {}: name one, as {id}:{}", files.join(", "), files.first().map_or("FILE", String::as_str))]
    WhichFile {
        /// The repository.
        id: String,
        /// Its tables.
        files: Vec<String>,
    },
    /// A file of which the name does not say how to read it.
    #[error("{}: it is not clear how to read this file: give its form (csv, lines, jsonl, coco or template)", path.display())]
    UnknownForm {
        /// The file.
        path: PathBuf,
    },
    /// A format that is not read.
    #[error("{}: Parquet is not read: take the set's CSV file, or convert it to one", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
    },
    /// Not text, or text in another encoding.
    #[error("{}, line {line}: this is not UTF-8: convert the file", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A table's row cannot be split into its fields.
    #[error("{}, line {line}: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Where the row begins, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A column that the table does not have.
    #[error("{}: there is no column {wanted}; there are {columns}; if the file has no header, its form is lines", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: String,
        /// What there is, long texts left out.
        columns: String,
    },
    /// A column that is there twice.
    #[error("{}: the column {column:?} is there twice: rename one", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// Lines that begin with what looks like a header.
    #[error("{}: the first line names a column {column:?}, so this is a table: its form is csv", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A prompt that asks for nothing.
    #[error("{}, row {row} (line {line}), column {column}: the prompt is empty", path.display())]
    EmptyPrompt {
        /// The file.
        path: PathBuf,
        /// The row of data, from 0.
        row: usize,
        /// Where it begins, from 1.
        line: u64,
        /// The column.
        column: String,
    },
    /// A value that is not what its column holds.
    #[error("{}, row {row} (line {line}), column {column}: {found} is not {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The row of data, from 0.
        row: usize,
        /// Where it begins, from 1.
        line: u64,
        /// The column.
        column: String,
        /// What is there, or how long it is.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A file without rows.
    #[error("{}: no prompts are there", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A file that is not COCO's captions.
    #[error("{}: these are not COCO's captions: {reason}", path.display())]
    Coco {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A template without one place for a name, or none at all.
    #[error("the template {template:?} should have one {{}}, where the name goes")]
    Template {
        /// The template.
        template: String,
    },
}

/// What a JSON parser says, without the texts that it quotes.
pub(super) fn unquoted(reason: &str) -> String {
    match (reason.find('"'), reason.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let (before, after) = (reason.get(..first).unwrap_or_default(), reason.get(last + 1..).unwrap_or_default());
            format!("{before}(text){after}")
        }
        _ => reason.to_owned(),
    }
}
