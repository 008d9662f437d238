//! One thing that is done: a command, an audit's drawing and looking, a comparison.

use super::{recipe::Program, text::Text};
use crate::run;
use pleach_model::files::Sha256;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

/// Version of keys and of `step.json`. Another one does everything again.
const SCHEMA: u64 = 1;

/// A step. Two steps with one key do the same.
#[derive(Debug)]
pub struct Step {
    /// Hash of all that decides it.
    pub key: Sha256,
    /// What it is for.
    pub kind: StepKind,
    /// What it is called where it is done.
    pub name: String,
    /// What the key is the hash of.
    pub decides: Value,
    /// What is done.
    pub work: Work,
    /// Steps that come before.
    pub needs: Vec<Arc<Step>>,
    /// Files and folders that it reads, by what stands for them in the key.
    pub inputs: BTreeMap<String, PathBuf>,
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// It makes what several cells need.
    Prepare,
    /// It changes the model.
    Train,
    /// It makes a bundle.
    Export,
    /// It draws the prompts, and looks at the pictures.
    Draw,
    /// It holds the pictures of two models against each other.
    Compare,
}

/// What is done.
#[derive(Debug)]
pub enum Work {
    /// A program runs.
    Command {
        /// The program.
        program: Program,
        /// Its arguments.
        arguments: Vec<Text>,
        /// What is written to its recipe's file.
        recipe: Option<Text>,
    },
    /// An audit's recipe is planned and carried out.
    Draw(Box<run::Recipe>),
    /// Two drawings are compared: the baseline's, the subject's.
    Compare(Arc<Step>, Arc<Step>),
}

impl Step {
    /// A command.
    pub fn command(
        kind: StepKind,
        name: String,
        program: Program,
        arguments: Vec<Text>,
        recipe: Option<Text>,
    ) -> Arc<Self> {
        let symbolic: Vec<String> = arguments.iter().map(Text::symbolic).collect();
        let decides = json!({
            "schema": SCHEMA, "program": program.name(), "arguments": symbolic,
            "recipe": recipe.as_ref().map(Text::symbolic),
        });
        let texts = || arguments.iter().chain(&recipe);
        let needs = texts().flat_map(|text| text.needs.iter().cloned()).collect();
        let inputs = texts().flat_map(|text| text.inputs.clone()).collect();
        Self::new(kind, name, decides, Work::Command { program, arguments, recipe }, needs, inputs)
    }

    /// Drawing and looking. `decides` is the recipe with hashes in place of paths.
    pub fn draw(
        name: String,
        recipe: run::Recipe,
        decides: &Value,
        needs: Vec<Arc<Self>>,
        inputs: BTreeMap<String, PathBuf>,
    ) -> Arc<Self> {
        let decides = json!({ "schema": SCHEMA, "audit": decides });
        Self::new(StepKind::Draw, name, decides, Work::Draw(Box::new(recipe)), needs, inputs)
    }

    /// A comparison.
    pub fn compare(name: String, baseline: &Arc<Self>, subject: &Arc<Self>) -> Arc<Self> {
        let decides = json!({ "schema": SCHEMA, "compare": [baseline.key, subject.key] });
        let needs = vec![baseline.clone(), subject.clone()];
        let work = Work::Compare(baseline.clone(), subject.clone());
        Self::new(StepKind::Compare, name, decides, work, needs, BTreeMap::new())
    }

    fn new(
        kind: StepKind,
        name: String,
        decides: Value,
        work: Work,
        mut needs: Vec<Arc<Self>>,
        inputs: BTreeMap<String, PathBuf>,
    ) -> Arc<Self> {
        let mut seen = HashSet::new();
        needs.retain(|step| seen.insert(step.key));
        let key = Sha256::of(decides.to_string().as_bytes());
        Arc::new(Self { key, kind, name, decides, work, needs, inputs })
    }
}

/// `step.json`: what was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this file.
    pub schema: u64,
    /// What it was for.
    pub kind: StepKind,
    /// Where it was done first.
    pub name: String,
    /// What its key is the hash of.
    pub decides: Value,
    /// Arguments as they were given; none where no program ran.
    pub arguments: Vec<String>,
    /// Files and folders that it read, by what stands for them.
    pub inputs: BTreeMap<String, PathBuf>,
    /// Steps that came before.
    pub needs: Vec<Sha256>,
    /// The program, its version and its hash; Pleach itself where no program ran.
    pub program: super::ProgramInfo,
    /// How long it took.
    pub seconds: f64,
    /// How the program ended; none where it was ended by a signal or could not be started.
    pub exit_code: Option<i32>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Record {
    /// A record without an outcome yet.
    pub fn of(step: &Step, program: super::ProgramInfo) -> Self {
        Self {
            schema: SCHEMA,
            kind: step.kind,
            name: step.name.clone(),
            decides: step.decides.clone(),
            arguments: Vec::new(),
            inputs: step.inputs.clone(),
            needs: step.needs.iter().map(|step| step.key).collect(),
            program,
            seconds: 0.0,
            exit_code: None,
            failure: None,
        }
    }
}
