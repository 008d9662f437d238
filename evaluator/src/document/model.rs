//! What was audited, on what, with what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// Name of its folder.
    pub name: String,
    /// Hash over its manifest, or over its files where it has none.
    pub sha256: String,
    /// Its files that compute.
    pub components: Vec<Component>,
    /// Its experts, the default one first; empty where it is one plain network.
    pub experts: Vec<ModelExpert>,
    /// Concepts that its manifest says every expert was trained not to generate.
    pub suppressed: Vec<String>,
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// `unet`, `text_encoder`, `vae_decoder`, `router`.
    pub role: String,
    /// Its path in the bundle.
    pub file: String,
    /// Its hash, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Precision of its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
}

/// An expert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelExpert {
    /// Its name.
    pub name: String,
    /// Multiply-accumulates of a call at the manifest's sizes.
    pub macs: u64,
    /// Parameters.
    pub parameters: u64,
    /// Concepts that it was trained not to generate.
    pub suppressed: Vec<String>,
    /// The methods by which it was made, in order.
    pub made: Vec<String>,
}

/// A set of prompts, as it was drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SuiteInfo {
    /// Its name in the recipe.
    pub name: String,
    /// How it is drawn and what is measured: the key of one of the document's protocols.
    pub protocol: String,
    /// Hash of the file, in hexadecimal.
    pub sha256: String,
    /// The column of the prompts.
    pub column: String,
    /// Rows of the file.
    pub rows: u64,
    /// Rows that are drawn.
    pub drawn: u64,
    /// Different prompts among them.
    pub prompts: u64,
    /// Rows that were left out by policy.
    pub skipped: u64,
    /// Rows whose guidance was clamped.
    pub clamped: u64,
    /// Whether the file's hash is one that the protocol knows.
    pub known: bool,
    /// Whether prompts stay out of everything that is published.
    pub restricted: bool,
}

/// What looked at the pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentInfo {
    /// Its name in the recipe.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Hash over its files and its description.
    pub sha256: String,
    /// Hashes of its files, by name.
    pub files: BTreeMap<String, String>,
}

/// What drew, looked and counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Version of Pleach.
    pub pleach: String,
    /// Commit that it was built from, and whether the tree was changed; none where it was not built in a checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Version of ONNX Runtime.
    pub onnxruntime: String,
    /// Execution providers, in order.
    pub providers: Vec<String>,
    /// Operating system and processor family.
    pub platform: String,
    /// The processor's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
}
