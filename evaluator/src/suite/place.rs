//! Where a prompt set that a person names lies: on this machine, or in a data set of Hugging Face that is theirs to read.

use super::{Error, Result};
use pleach_hub::{Hub, Id, Progress};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A prompt set as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    Path(PathBuf),
    /// A file of a data set of Hugging Face: `org/name[@revision][:file]`.
    Hub {
        /// The data set.
        id: Id,
        /// The file; its one table where none is named.
        file: Option<String>,
    },
}

/// A prompt set that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The file.
    pub path: PathBuf,
    /// Where it came from other than a path: the repository, the commit and the file in it.
    pub origin: Option<String>,
}

impl Place {
    /// An existing path always wins; what else looks like an id is one; everything else is a path.
    pub fn parse(text: &str) -> Self {
        let path = || Self::Path(text.into());
        if Path::new(text).exists() {
            return path();
        }
        let (id, file) = text.split_once(':').map_or((text, None), |(id, file)| (id, Some(file.to_owned())));
        id.parse().map_or_else(|_| path(), |id: Id| Self::Hub { id: id.into_dataset(), file })
    }

    /// The file, fetched where it is not here yet. Access to gated sets is that of the user's token.
    ///
    /// # Errors
    /// [`Error::Hub`]; [`Error::WhichFile`], where no file is named and there are several tables.
    pub fn local(&self, hub: impl FnOnce() -> pleach_hub::Result<Hub>, progress: &dyn Progress) -> Result<Local> {
        match self {
            Self::Path(path) => Ok(Local { path: path.clone(), origin: None }),
            Self::Hub { id, file } => {
                let snapshot = hub()?.resolve(id, &[file.as_deref().unwrap_or("*.csv")], progress)?;
                let [file] = &snapshot.files[..] else {
                    return Err(Error::WhichFile { id: id.repository(), files: snapshot.files });
                };
                let origin = format!("{}@{}:{file}", id.repository(), snapshot.commit);
                Ok(Local { path: snapshot.folder.join(file), origin: Some(origin) })
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Hub { id, file: None } => id.fmt(f),
            Self::Hub { id, file: Some(file) } => write!(f, "{id}:{file}"),
        }
    }
}
