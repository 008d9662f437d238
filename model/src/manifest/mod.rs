//! `pleach.json`: what a folder that this project wrote holds, and what each file of it must hash to.
//!
//! A manifest is read strictly: an unknown field, a missing one or a wrong value is an error that names it by its path
//! (`components.unet[0].component.graphs[0].sha256`), and a manifest of a later schema is refused before anything else. It is written from
//! nothing else than what it describes, so that the same inputs give the same bytes: no time, no host, no absolute path.

mod bundle;
mod family;
#[cfg(test)]
mod tests;

pub use bundle::{Bundle, Component, Components, Dim, Expert, Flavour, Graph, Port, Precision, Provenance};
pub use family::{Base, Family, FamilyExpert, Made, RouterEntry};

use crate::files::{self, Digest, Sha256, digest_file, is_plain_name, is_plain_path, read_bounded, resolve_inside};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};
use std::path::{Path, PathBuf};

/// Name of the manifest in the folder that it describes.
pub const FILE_NAME: &str = "pleach.json";
/// The schema that this version writes, and the latest that it reads.
pub const SCHEMA: u64 = 1;
/// No manifest comes near this: it lists files, not tensors.
const MAX_BYTES: u64 = 16 << 20;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a manifest, or with a file that it lists.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing, cannot be read or written, or leads out of its folder.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The manifest is not JSON.
    #[error("{}: not valid JSON: {source}", path.display())]
    Json {
        /// The manifest.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The manifest was written by a later version.
    #[error("{}: schema {schema} is newer than this version reads ({SCHEMA}): update pleach", path.display())]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its schema.
        schema: u64,
    },
    /// The manifest describes something else.
    #[error("{} describes a {found}, where a {expected} is expected", path.display())]
    Kind {
        /// The manifest.
        path: PathBuf,
        /// What it describes.
        found: String,
        /// What is expected.
        expected: Kind,
    },
    /// A field is wrong, missing or unknown.
    #[error("{}: {}{reason}", path.display(), if field == "." { String::new() } else { format!("{field}: ") })]
    Field {
        /// The manifest.
        path: PathBuf,
        /// Path of the field; `.` for the manifest itself.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is longer or shorter than the manifest says.
    #[error("{} has {found} bytes, its manifest says {expected}: it is damaged or was changed", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// A file holds something else than the manifest says.
    #[error("{} has the SHA-256 {found}, its manifest says {expected}: it is damaged or was changed", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: Sha256,
        /// What it hashes to.
        found: Sha256,
    },
}

impl Error {
    /// Whether a file is not what its manifest says: a question of integrity, not of usage.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::Hash { .. })
    }
}

/// What a manifest describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An ONNX bundle.
    Bundle,
    /// Experts of one base, for training and export.
    Family,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// The version of the manifest's layout, [`SCHEMA`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schema;

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(SCHEMA)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            SCHEMA => Ok(Self),
            other => Err(D::Error::custom(format_args!("expected {SCHEMA}, found {other}"))),
        }
    }
}

/// The program that wrote a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// Its name: `pleach-export`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A file that a manifest lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Plain path inside the folder of the manifest, with `/`.
    #[serde(deserialize_with = "plain_path")]
    pub file: String,
    /// SHA-256 of its content.
    pub sha256: Sha256,
    /// Its size.
    pub bytes: u64,
}

/// How much of a file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// That it is there and has the size listed.
    Size,
    /// That it has the hash listed too; this reads it all.
    Hash,
}

impl FileEntry {
    /// An entry for a file as it was written.
    pub fn new(file: impl Into<String>, digest: Digest) -> Self {
        Self { file: file.into(), sha256: digest.sha256, bytes: digest.bytes }
    }

    /// An entry for a file that lies in `root` already.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn of(root: &Path, file: impl Into<String>) -> Result<Self> {
        let file = file.into();
        let digest = digest_file(&root.join(&file))?;
        Ok(Self::new(file, digest))
    }

    /// Checks the file in the folder `root` and returns where it lies, with every link resolved; see [`resolve_inside`] for the links
    /// that are followed.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Size`], [`Error::Hash`].
    pub fn check(&self, root: &Path, depth: Depth) -> Result<PathBuf> {
        let target = resolve_inside(root, &self.file)?;
        let path = || root.join(&self.file);
        let metadata = target.metadata().map_err(|source| files::Error::Read { path: path(), source })?;
        if metadata.len() != self.bytes {
            return Err(Error::Size { path: path(), expected: self.bytes, found: metadata.len() });
        }
        if depth == Depth::Hash {
            let found = digest_file(&target)?.sha256;
            if found != self.sha256 {
                return Err(Error::Hash { path: path(), expected: self.sha256, found });
            }
        }
        Ok(target)
    }
}

/// A field that does not fit the others: its path, and why.
type Conflict = (String, String);

/// What every manifest can do.
trait Manifest: Serialize + DeserializeOwned {
    const KIND: Kind;

    /// Checks what the fields say together.
    fn check(&self) -> Result<(), Conflict>;

    fn parse(path: &Path, json: &[u8]) -> Result<Self> {
        /// What every schema has, and what tells whether the rest can be read.
        #[derive(Deserialize)]
        #[serde(expecting = "a JSON object")]
        struct Envelope {
            schema: u64,
            kind: String,
        }

        let Envelope { schema, kind } = deserialize(path, json)?;
        if schema > SCHEMA {
            return Err(Error::Newer { path: path.to_owned(), schema });
        }
        if kind != Self::KIND.to_string() {
            return Err(Error::Kind { path: path.to_owned(), found: kind, expected: Self::KIND });
        }
        let manifest: Self = deserialize(path, json)?;
        manifest.checked(path)?;
        Ok(manifest)
    }

    fn checked(&self, path: &Path) -> Result<()> {
        self.check().map_err(|(field, reason)| Error::Field { path: path.to_owned(), field, reason })
    }

    fn read_from(root: &Path) -> Result<Self> {
        let path = root.join(FILE_NAME);
        Self::parse(&path, &read_bounded(&path, MAX_BYTES)?)
    }

    fn write_to(&self, root: &Path) -> Result<()> {
        let path = root.join(FILE_NAME);
        self.checked(&path)?;
        let json = serde_json::to_vec_pretty(self).map_err(|source| Error::Json { path: path.clone(), source })?;
        Ok(files::write(&path, &[json.as_slice(), b"\n"].concat())?)
    }
}

/// Reads JSON; an error that is not about JSON itself carries the path of the field.
fn deserialize<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (field, source) = (error.path().to_string(), error.into_inner());
        if !source.is_data() {
            return Error::Json { path: path.to_owned(), source };
        }
        // The field says where; line and column would only repeat it.
        let (text, position) = (source.to_string(), format!(" at line {} column {}", source.line(), source.column()));
        let reason = text.strip_suffix(&position).unwrap_or(&text).to_owned();
        Error::Field { path: path.to_owned(), field, reason }
    })?;
    deserializer.end().map_err(|source| Error::Json { path: path.to_owned(), source })?;
    Ok(value)
}

fn plain_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    let error = || D::Error::custom(format_args!("expected a plain path inside the folder, found {path:?}"));
    if is_plain_path(&path) { Ok(path) } else { Err(error()) }
}

fn plain_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let error = || D::Error::custom(format_args!("expected a plain name, found {name:?}"));
    if is_plain_name(&name) { Ok(name) } else { Err(error()) }
}
