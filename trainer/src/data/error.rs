//! Every way in which training data can be wrong.

use super::Broken;
use pleach_model::files;
use std::{fmt, io, path::PathBuf};

/// Result of reading training data.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names shown of many.
pub(super) const SHOWN: usize = 20;

/// What can be wrong with a data set or the way it is read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or leads out of its folder.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A path is no form of a data set.
    #[error(
        "{} {found}: expected a folder with metadata.jsonl or metadata.csv (columns file_name and text) and pictures, or a captions file of \
         MS-COCO (captions_*.json)",
        path.display()
    )]
    Form {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A data set without pictures.
    #[error("{} lists no pictures with captions", path.display())]
    Empty {
        /// The file that lists them.
        path: PathBuf,
    },
    /// A line of a metadata file is wrong.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The metadata file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A metadata file has no column of this name.
    #[error("{} has no column {column:?}; its columns are: {}", path.display(), columns.join(", "))]
    Column {
        /// The metadata file.
        path: PathBuf,
        /// The column looked for.
        column: String,
        /// The columns found.
        columns: Vec<String>,
    },
    /// A captions file is not the JSON that it should be.
    #[error("{} is not a captions file of MS-COCO: {source}", path.display())]
    Captions {
        /// The captions file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The pictures of a captions file are not where they usually are.
    #[error("the pictures of {} are not found: looked for the folders {}; `images` in a recipe, or --images of `cache`, says where they are", path.display(), list(tried))]
    NoImages {
        /// The captions file.
        path: PathBuf,
        /// Where they were looked for.
        tried: Vec<PathBuf>,
    },
    /// Pictures that are listed are not there.
    #[error("{} of the {total} pictures that {} lists are not in {}: {}", names.len(), path.display(), folder.display(), shown(names))]
    Missing {
        /// The file that lists them.
        path: PathBuf,
        /// Where they should be.
        folder: PathBuf,
        /// Their names.
        names: Vec<String>,
        /// How many are listed.
        total: usize,
    },
    /// More than one picture of a hundred cannot be used.
    #[error(
        "{} of {total} pictures cannot be used, more than 1 %: {}",
        broken.len(),
        broken.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Broken {
        /// They and what is wrong with them.
        broken: Vec<Broken>,
        /// Number of pictures of the data set.
        total: usize,
    },
    /// A loader of no pictures or no batch was asked for.
    #[error("a loader needs pictures and a batch: the data set has {pictures}, the batch {batch}")]
    Nothing {
        /// Number of pictures.
        pictures: usize,
        /// Batch size.
        batch: usize,
    },
    /// A position that the data set does not have.
    #[error("a run cannot go on at picture {offset} of {pictures}: it began with another data set")]
    Position {
        /// Where it should go on.
        offset: usize,
        /// Number of pictures.
        pictures: usize,
    },
    /// The system gives no thread.
    #[error("cannot start a thread that reads pictures: {0}")]
    Thread(io::Error),
}

/// Something about a data set that is worth knowing and stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A few pictures that are listed are not there, and were left out.
    Missing {
        /// Their names.
        names: Vec<String>,
        /// How many are listed.
        total: usize,
    },
    /// Captions of pictures that are not listed were left out.
    Unknown {
        /// How many.
        captions: usize,
    },
    /// Pictures that are listed without a caption were left out.
    Uncaptioned {
        /// How many.
        pictures: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { names, total } => {
                write!(f, "{} of {total} pictures are missing and left out: {}", names.len(), shown(names))
            }
            Self::Unknown { captions } => write!(f, "{captions} captions belong to no picture and are left out"),
            Self::Uncaptioned { pictures } => write!(f, "{pictures} pictures have no caption and are left out"),
        }
    }
}

/// The first names of many.
fn shown(names: &[String]) -> String {
    let first = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
