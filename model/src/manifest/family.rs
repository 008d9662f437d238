//! The manifest of a family: a base, the experts that were cut out of it, and the router between them.

use super::{Conflict, FileEntry, Kind, Manifest, Producer, Result, Schema, plain_name};
use crate::{
    counter::{At, Macs},
    router::RouterConfig,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashSet, path::Path};

/// A family of experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Version of this layout.
    pub schema: Schema,
    /// Always [`Kind::Family`].
    pub kind: Kind,
    /// What wrote it.
    pub producer: Producer,
    /// The pipeline that the experts were cut out of.
    pub base: Base,
    /// Sizes that multiply-accumulates are counted at.
    pub counted_at: At,
    /// What chooses between the experts; none where there is one, or where the user chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<RouterEntry>,
    /// The experts, in the order of the router's scores.
    pub experts: Vec<FamilyExpert>,
}

/// The pipeline that a family's experts were cut out of. It gives them everything but the UNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Its folder as seen from the family's, with `/`, or a Hugging Face id with its commit (`org/name@commit`).
    pub source: String,
    /// The UNet's weight files and configuration, by their paths in the pipeline.
    pub files: Vec<FileEntry>,
    /// Parameters of the whole UNet.
    pub parameters: u64,
    /// Its multiply-accumulates.
    pub macs: Macs,
}

/// A router in a family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterEntry {
    /// Sizes and rules.
    pub config: RouterConfig,
    /// Its weights and those of the sentence encoder.
    pub files: Vec<FileEntry>,
}

/// An expert of a family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyExpert {
    /// Its name.
    #[serde(deserialize_with = "plain_name")]
    pub name: String,
    /// Its weights, configuration and architecture.
    pub files: Vec<FileEntry>,
    /// Its parameters.
    pub parameters: u64,
    /// Its multiply-accumulates.
    pub macs: Macs,
    /// Concepts that it was trained not to draw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<String>,
    /// How it was made, in order.
    pub made: Vec<Made>,
}

/// A step by which an expert was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// What was done: `aptp`, `finetune`, ...
    pub method: String,
    /// The whole recipe that it was done by.
    pub recipe: Value,
    /// The weight files that it began with.
    pub parents: Vec<FileEntry>,
}

impl Family {
    /// Reads `pleach.json` in the folder of a family.
    ///
    /// # Errors
    /// [`super::Error`], with the path of the field that is wrong.
    pub fn read(root: &Path) -> Result<Self> {
        Self::read_from(root)
    }

    /// Writes `pleach.json` into the folder of a family.
    ///
    /// # Errors
    /// [`super::Error::File`], and [`super::Error::Field`] where the fields contradict each other.
    pub fn write(&self, root: &Path) -> Result<()> {
        self.write_to(root)
    }

    /// The expert of this name.
    pub fn expert(&self, name: &str) -> Option<&FamilyExpert> {
        self.experts.iter().find(|expert| expert.name == name)
    }

    /// Every file that lies in the family's folder.
    pub fn all_files(&self) -> impl Iterator<Item = &FileEntry> {
        let router = self.router.iter().flat_map(|router| &router.files);
        router.chain(self.experts.iter().flat_map(|expert| &expert.files))
    }
}

impl Manifest for Family {
    const KIND: Kind = Kind::Family;

    fn check(&self) -> Result<(), Conflict> {
        let conflict = |field: String, reason: String| Err((field, reason));
        if self.experts.is_empty() {
            return conflict("experts".into(), "expected at least one expert".into());
        }
        let mut names = HashSet::new();
        for (i, expert) in self.experts.iter().enumerate() {
            if !names.insert(&expert.name) {
                let reason = format!("expected another name for each expert, found {:?} again", expert.name);
                return conflict(format!("experts[{i}].name"), reason);
            }
        }
        match &self.router {
            Some(RouterEntry { config, .. }) if config.experts != self.experts.len() => {
                let reason =
                    format!("the family has {}, the router chooses between {}", self.experts.len(), config.experts);
                conflict("router.config.experts".into(), reason)
            }
            _ => Ok(()),
        }
    }
}
