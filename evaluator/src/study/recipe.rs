//! What a study is asked for, in TOML.
//!
//! `{name}` in a text stands for something: an input, a prepared folder, a variable of the concept, `{concept}`, `{seed}`, `{start}`,
//! `{before}` (what the method's command before left), `{out}` and `{recipe}`. Braces around anything else than a name are left as
//! they are.

use crate::run::{InstrumentRecipe, SuiteRecipe};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

/// What a study is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The report's title.
    pub title: String,
    /// What it is about, and what it does not say.
    #[serde(default)]
    pub about: String,
    /// Files and folders that commands read, by the names that stand for them. Their contents decide what is done again.
    #[serde(default)]
    pub inputs: BTreeMap<String, PathBuf>,
    /// Texts and lists that all cells share: what stands for numbers that a trial makes smaller.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// Commands that make what several cells need, in their order: a later one may name an earlier one.
    #[serde(default)]
    pub prepare: Vec<Prepared>,
    /// What all methods begin with.
    pub start: Start,
    /// Seeds of training.
    pub seeds: Vec<u64>,
    /// What is to be forgotten.
    pub concept: Vec<Concept>,
    /// Only these of them, where a recipe extends one that has more.
    #[serde(default)]
    pub concepts: Vec<String>,
    /// Commands that several methods have, by name.
    #[serde(default)]
    pub template: BTreeMap<String, Template>,
    /// What is compared.
    pub method: Vec<Method>,
    /// How models become bundles.
    #[serde(default)]
    pub export: Export,
    /// What is drawn, and what looks at it.
    pub audit: AuditRecipe,
    /// Columns of the table.
    pub column: Vec<Column>,
    /// The method that all others are compared with.
    pub reference: String,
    /// By how much retention may be worse than that of the start, as a share.
    pub margin: f64,
    /// What is equal for all methods, in words.
    #[serde(default)]
    pub terms: Terms,
    /// Every setting that was tried.
    #[serde(default)]
    pub tuning: Vec<Tuning>,
    /// Threads of each command, and of what draws unless `--threads` says otherwise [default: as many as there are cores].
    #[serde(default)]
    pub threads: Option<NonZeroUsize>,
}

/// A command whose folder has a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    /// What stands for its folder.
    pub name: String,
    /// The program.
    #[serde(default)]
    pub program: Program,
    /// Its arguments.
    pub run: Vec<String>,
    /// A recipe that is written to a file, for which `{recipe}` stands.
    #[serde(default)]
    pub recipe: Option<String>,
}

/// A program of this project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// `pleach-train`.
    #[default]
    Train,
    /// `pleach-export`.
    Export,
}

impl Program {
    /// Its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "pleach-train",
            Self::Export => "pleach-export",
        }
    }
}

/// What all methods begin with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The model, for which `{start}` stands: a family, a student's folder, a pipeline.
    pub model: String,
    /// The same as a bundle: the baseline of all audits.
    pub bundle: String,
    /// The expert that draws everything of it; the router chooses unless named.
    #[serde(default)]
    pub expert: Option<String>,
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concept {
    /// Its name, for which `{concept}` stands: lower-case letters, digits and dashes.
    pub name: String,
    /// Texts and lists; a list is written as TOML writes one.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// Files and folders.
    #[serde(default)]
    pub files: BTreeMap<String, PathBuf>,
    /// Files whose lines are a list, such as prompts.
    #[serde(default)]
    pub lines: BTreeMap<String, PathBuf>,
    /// Files whose text stands there as it is.
    #[serde(default)]
    pub texts: BTreeMap<String, PathBuf>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Variable {
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl Variable {
    /// What stands in a text; a list as TOML writes one.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(list) => toml_list(list.iter().map(String::as_str)),
        }
    }
}

/// A list as TOML writes it in one line.
pub fn toml_list<'l>(items: impl Iterator<Item = &'l str>) -> String {
    let items = items.map(|item| toml::Value::String(item.to_owned()).to_string());
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A way to forget, with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name: the row of the table.
    pub name: String,
    /// What it is a setting of: marks of one group look alike and are joined in the plot [default: its name].
    #[serde(default)]
    pub group: Option<String>,
    /// Its settings, in words.
    #[serde(default)]
    pub settings: String,
    /// Whether there is something to train.
    #[serde(default)]
    pub kind: MethodKind,
    /// For `none`: the bundle, where it is ready.
    #[serde(default)]
    pub bundle: Option<String>,
    /// For `none`: what is exported, where no bundle is ready.
    #[serde(default)]
    pub model: Option<String>,
    /// The commands, one after the other.
    #[serde(default)]
    pub command: Vec<CommandRecipe>,
    /// What is exported, in the folder of the last command.
    #[serde(default = "family")]
    pub result: String,
    /// Templates whose commands it has, one after the other, before its own.
    #[serde(default)]
    pub templates: Vec<String>,
    /// What stands in its commands in place of the study's variables of the same name; names in braces stand for something in there too.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// The expert that draws everything; the router chooses unless named.
    #[serde(default)]
    pub expert: Option<String>,
    /// Updates of the student.
    #[serde(default)]
    pub updates: u64,
    /// Whether the reference is compared with it; settings that are only there for the plot are not.
    #[serde(default = "yes")]
    pub compared: bool,
    /// Only these concepts.
    #[serde(default)]
    pub concepts: Vec<String>,
    /// Only these seeds.
    #[serde(default)]
    pub seeds: Vec<u64>,
}

fn yes() -> bool {
    true
}

fn family() -> String {
    "family".to_owned()
}

/// Commands of which several methods differ in their variables only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The commands, one after the other.
    pub command: Vec<CommandRecipe>,
}

impl Recipe {
    /// The commands of a method: its templates', then its own.
    pub fn commands<'r>(&'r self, method: &'r Method) -> impl Iterator<Item = &'r CommandRecipe> {
        let templates = method.templates.iter().filter_map(|name| self.template.get(name));
        templates.flat_map(|template| &template.command).chain(&method.command)
    }
}

/// Whether there is something to train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodKind {
    /// Commands change the start.
    #[default]
    Commands,
    /// A model that is ready: the base, the start.
    None,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRecipe {
    /// The program.
    #[serde(default)]
    pub program: Program,
    /// Its arguments, `{out}` among them.
    pub run: Vec<String>,
    /// A recipe that is written to a file, for which `{recipe}` stands.
    #[serde(default)]
    pub recipe: Option<String>,
}

/// How models become bundles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Arguments after the model and `--out`.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// What is drawn, and what looks at it: an audit's recipe without the models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecipe {
    /// What looks at the pictures.
    #[serde(default)]
    pub instrument: BTreeMap<String, InstrumentRecipe>,
    /// Folders of pictures that are compared with.
    #[serde(default)]
    pub pictures: BTreeMap<String, PathBuf>,
    /// The prompts.
    pub suite: Vec<SuiteRecipe>,
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its head.
    pub name: String,
    /// `SUITE/MEASURE`.
    pub metric: String,
    /// What it says of a method.
    pub role: Role,
}

/// What a column says of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// How much of the concept is left: the first such column is one axis of the plot.
    Suppression,
    /// What should stay, which must not be worse than the start: the first such column is the other axis.
    Retention,
    /// What else prompts for the concept ask for.
    Content,
    /// Anything else.
    Quality,
}

/// What is equal for all methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Updates of the student.
    #[serde(default)]
    pub updates: String,
    /// What is learnt from.
    #[serde(default)]
    pub data: String,
    /// What is drawn.
    #[serde(default)]
    pub prompts: String,
    /// The noise.
    #[serde(default)]
    pub noise: String,
    /// How much each method was tuned.
    #[serde(default)]
    pub tuning: String,
}

/// A setting that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// The method.
    pub method: String,
    /// The setting.
    pub setting: String,
    /// On which prompts.
    pub prompts: String,
    /// What came out.
    #[serde(default)]
    pub found: String,
    /// Whether it is the one that is used.
    #[serde(default)]
    pub chosen: bool,
}
