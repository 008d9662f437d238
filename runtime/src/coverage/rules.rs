//! What each provider takes, as data.
//!
//! The files in `rules/` are read as they were when this was built; their `sources` say where every line comes from, and of which version.

use super::{Error, Result, types};
use crate::onnx::DataType;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// An execution provider whose rules are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Apple's, in the format MLProgram.
    CoreMl,
    /// Android's Neural Networks API.
    Nnapi,
    /// Qualcomm's, on the HTP.
    Qnn,
    /// Kernels for ARM and x86 processors.
    Xnnpack,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CoreMl, Self::Nnapi, Self::Qnn, Self::Xnnpack];

    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CoreMl => "coreml",
            Self::Nnapi => "nnapi",
            Self::Qnn => "qnn",
            Self::Xnnpack => "xnnpack",
        }
    }

    fn json(self) -> &'static str {
        match self {
            Self::CoreMl => include_str!("rules/coreml.json"),
            Self::Nnapi => include_str!("rules/nnapi.json"),
            Self::Qnn => include_str!("rules/qnn.json"),
            Self::Xnnpack => include_str!("rules/xnnpack.json"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A provider without rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are no rules for {0:?}; there are for coreml, nnapi, qnn and xnnpack")]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let found = Self::ALL.into_iter().find(|target| target.name() == text);
        found.ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

/// What a provider takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Whose rules these are.
    pub provider: Target,
    /// The version of the provider that they describe.
    pub version: String,
    /// Where they come from: files of a version's source, documentation, measurements.
    pub sources: Vec<String>,
    /// What a person should know before choosing the provider.
    #[serde(default)]
    pub warning: Option<String>,
    /// What is not modelled.
    pub notes: Vec<String>,
    /// Whether every input needs a fixed shape.
    pub fixed_shapes: bool,
    /// Whether optional inputs may be left out by an empty name.
    pub omitted_inputs: bool,
    /// The highest rank of an input.
    pub max_rank: usize,
    /// Element types of the first input, for operators that name none.
    #[serde(deserialize_with = "element_types")]
    pub types: Vec<DataType>,
    /// Conditions by operator: its name, after `DOMAIN:` where it is not a standard one.
    pub operators: BTreeMap<String, Rule>,
}

/// Conditions under which a node is taken: all of them, or all of one of `or`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Element types by input.
    #[serde(deserialize_with = "types_by_input")]
    pub types: BTreeMap<usize, Vec<DataType>>,
    /// Lowest and highest rank by input.
    pub ranks: BTreeMap<usize, [usize; 2]>,
    /// Inputs that must be constants where they are given.
    pub constant: Vec<usize>,
    /// Values of attributes.
    pub attributes: BTreeMap<String, Allowed>,
    /// An attribute that must name the last axis of the first input, and what it is where it is left out.
    pub last_axis: Option<(String, i64)>,
    /// The largest size of any dimension of the first input.
    pub max_size: Option<u64>,
    /// Inputs beyond this number are not taken.
    pub max_inputs: Option<usize>,
    /// Outputs beyond this number are not taken.
    pub max_outputs: Option<usize>,
    /// Whether the first node that uses what this one makes must compute between quantised numbers: its first input comes out of a
    /// `DequantizeLinear`.
    pub in_group: bool,
    /// Whether the operator is missing from the list that ONNX Runtime publishes, and that its checker reads.
    pub unlisted: bool,
    /// What is not modelled, or why a condition is there.
    pub note: Option<String>,
    /// Other conditions, any of which will do instead.
    pub or: Vec<Rule>,
}

/// Values that an attribute may have.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// What it is where the node does not say.
    pub default: Value,
    /// The values taken.
    pub one_of: Vec<Value>,
}

impl Rules {
    /// The rules of `target`.
    ///
    /// # Errors
    /// [`Error::Rules`] where the file that is built in does not read.
    pub fn of(target: Target) -> Result<Self> {
        serde_json::from_str(target.json()).map_err(|source| Error::Rules { target, source })
    }

    /// The rule of an operator, if it is taken at all.
    pub fn rule(&self, domain: &str, operator: &str) -> Option<&Rule> {
        match domain {
            "" | "ai.onnx" => self.operators.get(operator),
            domain => self.operators.get(&format!("{domain}:{operator}")),
        }
    }
}

fn element_type<E: de::Error>(name: &str) -> Result<DataType, E> {
    types::parse(name).ok_or_else(|| E::custom(format_args!("{name:?} is no element type")))
}

fn element_types<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DataType>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| element_type(name)).collect()
}

fn types_by_input<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<usize, Vec<DataType>>, D::Error> {
    let inputs = BTreeMap::<usize, Vec<String>>::deserialize(deserializer)?;
    let types = |names: &[String]| names.iter().map(|name| element_type(name)).collect::<Result<_, D::Error>>();
    inputs.iter().map(|(&input, names)| Ok((input, types(names)?))).collect()
}
