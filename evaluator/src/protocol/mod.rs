//! Protocols: how a suite is drawn and what is measured on the pictures, in TOML.
//!
//! Numbers of two protocols are not comparable, whatever the suites are called: papers differ in seeds, guidance, labels,
//! thresholds, and in whether images or boxes are counted. So a protocol has an id, which stands beside every number.

mod drawing;
mod error;
mod measure;
mod plan;
mod presets;
mod prompts;
#[cfg(test)]
mod tests;

pub use drawing::{Drawing, Guidance, Seeds};
pub use error::{Error, Result};
pub use measure::{Against, Better, Kind, Measure, Unit};
pub use plan::{Draw, Plan};
pub use prompts::{Known, Prompts};

use pleach_model::files::{Sha256, read_bounded};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, path::Path};

/// No protocol comes near.
const MAX_BYTES: u64 = 1 << 20;

/// How a suite is drawn and what is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Its name: lower-case letters, digits and dashes.
    pub id: String,
    /// What it is, in a sentence or a few, with what cannot be done as published.
    pub about: String,
    /// The paper, repository or file that it is taken from.
    pub source: String,
    /// Which prompts.
    #[serde(default)]
    pub prompts: Prompts,
    /// How they are drawn.
    pub drawing: Drawing,
    /// What is measured, each with another name.
    #[serde(rename = "measure")]
    pub measures: Vec<Measure>,
}

impl Protocol {
    /// The presets, by id.
    ///
    /// # Errors
    /// None that a test would not have found.
    pub fn presets() -> Result<Vec<Self>> {
        presets::ALL.iter().map(|(id, text)| Self::parse(&format!("the preset {id}"), text)).collect()
    }

    /// The preset of this id, or the protocol in the file of this path.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::File`], and those of [`Protocol::parse`].
    pub fn open(name: &str) -> Result<Self> {
        Self::source_text(name).and_then(|text| Self::parse(name, &text))
    }

    /// The text of the preset of this id, or of the file of this path.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::File`], [`Error::NotUtf8`].
    pub fn source_text(name: &str) -> Result<String> {
        if let Some((_, text)) = presets::ALL.iter().find(|(id, _)| *id == name) {
            return Ok((*text).to_owned());
        }
        let path = Path::new(name);
        if !path.exists() && !name.contains(['/', '\\', '.']) {
            let known = presets::ALL.iter().map(|(id, _)| (*id).to_owned()).collect();
            return Err(Error::Unknown { id: name.to_owned(), known });
        }
        String::from_utf8(read_bounded(path, MAX_BYTES)?).map_err(|_| Error::NotUtf8 { path: path.to_owned() })
    }

    /// The protocol that a text describes; `name` says where the text is from.
    ///
    /// # Errors
    /// [`Error::Toml`], [`Error::Invalid`].
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let protocol: Self = toml::from_str(text)
            .map_err(|error| Error::Toml { name: name.to_owned(), reason: error.to_string().trim_end().to_owned() })?;
        match protocol.flaw() {
            None => Ok(protocol),
            Some(reason) => Err(Error::Invalid { name: name.to_owned(), reason }),
        }
    }

    /// What tells this protocol from another of the same id: a hash over all that it says, comments and layout apart.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// What is wrong beyond the types.
    fn flaw(&self) -> Option<String> {
        let is_id = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.id.is_empty() || !self.id.chars().all(is_id) {
            return Some(format!("the id is {:?}; it is lower-case letters, digits and dashes", self.id));
        }
        if self.measures.is_empty() {
            return Some("nothing is measured: give a [[measure]]".to_owned());
        }
        let mut names = HashSet::new();
        if let Some(measure) = self.measures.iter().find(|measure| !names.insert(measure.name.as_str())) {
            return Some(format!("two measures have the name {:?}", measure.name));
        }
        let of_measures = || self.measures.iter().find_map(Measure::flaw);
        self.prompts.flaw().or_else(|| self.drawing.flaw()).or_else(of_measures)
    }
}
