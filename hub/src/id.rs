//! `org/name[@revision]`, and how it is told from a path.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};

/// A repository of a model or of a data set, and a revision of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    is_dataset: bool,
    organisation: Box<str>,
    name: Box<str>,
    revision: Box<str>,
}

impl Id {
    const DEFAULT_REVISION: &str = "main";

    /// `org/name`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.organisation, self.name)
    }

    /// The branch, tag or commit; `main` if none was given.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The data set of this name. What is parsed is a model.
    #[must_use]
    pub fn into_dataset(self) -> Self {
        Self { is_dataset: true, ..self }
    }

    /// `models` or `datasets`, as the server and the cache call them.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_dataset { "datasets" } else { "models" }
    }

    /// Its address below the server's: pages of models have no prefix.
    pub(crate) fn page_segments(&self) -> impl Iterator<Item = &str> {
        self.is_dataset.then_some("datasets").into_iter().chain(self.segments())
    }

    /// Its folder in the cache.
    pub(crate) fn folder_name(&self) -> String {
        format!("{}--{}--{}", self.kind(), self.organisation, self.name)
    }

    /// `org` and `name`.
    pub(crate) fn segments(&self) -> [&str; 2] {
        [&self.organisation, &self.name]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organisation, self.name)?;
        if self.revision() == Self::DEFAULT_REVISION { Ok(()) } else { write!(formatter, "@{}", self.revision) }
    }
}

/// The rules of Hugging Face: letters, digits, `-`, `_`, `.`; no `--` and no `..`, and neither `-` nor `.` at the ends.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=96).contains(&text.len())
        && text.chars().all(allowed)
        && !text.contains("--")
        && !text.contains("..")
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
}

/// A git reference that is safe as a path below `refs`.
fn is_revision(text: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    text.len() <= 255 && text.split('/').all(plain)
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, Self::DEFAULT_REVISION));
        match repository.split_once('/') {
            Some((organisation, name)) if is_name(organisation) && is_name(name) && is_revision(revision) => Ok(Self {
                is_dataset: false,
                organisation: organisation.into(),
                name: name.into(),
                revision: revision.into(),
            }),
            _ => Err(Error::Id(text.to_owned())),
        }
    }
}

/// Where a model that a person names lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, which may or may not exist.
    Folder(PathBuf),
    /// A repository.
    Hub(Id),
}

impl Source {
    /// An existing path always wins; what else looks like `org/name[@revision]` is an id; everything else is a path.
    pub fn parse(text: &str) -> Self {
        if Path::new(text).exists() {
            return Self::Folder(text.into());
        }
        text.parse().map_or_else(|_| Self::Folder(text.into()), Self::Hub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        let id: Id = "stabilityai/stable-diffusion-2-1".parse().unwrap();
        assert_eq!((id.repository().as_str(), id.revision()), ("stabilityai/stable-diffusion-2-1", "main"));
        assert_eq!(id.folder_name(), "models--stabilityai--stable-diffusion-2-1");
        assert_eq!(id.clone().into_dataset().folder_name(), "datasets--stabilityai--stable-diffusion-2-1");
        for text in ["a/b", "nota-ai/bk-sdm_small.v2@refs/pr/1", "a/b@5f1d"] {
            assert_eq!(text.parse::<Id>().unwrap().to_string(), text);
        }
        assert_eq!("a/b@main".parse::<Id>().unwrap().to_string(), "a/b");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in
            ["", "a", "a/", "/b", "a/b/c", "./b", "../b", "a/..", "a/b c", "a--b/c", "a/b@", "a/b@../x", "a/b@x//y"]
        {
            let message = format!("`{text}` is not a Hugging Face id: org/name or org/name@revision");
            assert_eq!(text.parse::<Id>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn an_existing_path_wins() {
        // Tests run in the crate's folder.
        assert_eq!(Source::parse("src/lib.rs"), Source::Folder("src/lib.rs".into()));
        assert_eq!(Source::parse("src/none"), Source::Hub("src/none".parse().unwrap()));
        assert_eq!(Source::parse("./src/none"), Source::Folder("./src/none".into()));
        assert_eq!(Source::parse("model.onnx"), Source::Folder("model.onnx".into()));
    }
}
