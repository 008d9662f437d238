//! Which instrument it was: every file and every setting that an observation depends on, hashed.

use super::{Description, Result};
use pleach_model::files::{Sha256, digest_file, resolve_inside};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Which instrument it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its name, as the description gives it.
    pub name: String,
    /// What it is: `yolo`, `embedding`, ...
    pub kind: String,
    /// Every file that was opened, by its path in the instrument's folder.
    pub files: BTreeMap<String, Sha256>,
    /// Of the description in effect, as canonical JSON.
    pub description: Sha256,
    /// Of all of the above: two instruments are the same if and only if this is.
    pub sha256: Sha256,
}

impl Identity {
    /// Of the instrument `description` whose `files` lie in `folder`.
    pub(super) fn new(description: &Description, folder: &Path, files: &BTreeSet<String>) -> Result<Self> {
        let digest = |file: &String| Ok((file.clone(), digest_file(&resolve_inside(folder, file)?)?.sha256));
        let files = files.iter().map(digest).collect::<Result<BTreeMap<_, _>>>()?;
        let (name, kind) = (description.name.clone(), description.instrument.kind().to_owned());
        let description = Sha256::of(description.to_json()?.as_bytes());
        let listed: String = files.iter().map(|(file, sha256)| format!("{sha256}  {file}\n")).collect();
        let sha256 = Sha256::of(format!("{name}\n{kind}\n{description}\n{listed}").as_bytes());
        Ok(Self { name, kind, files, description, sha256 })
    }
}
