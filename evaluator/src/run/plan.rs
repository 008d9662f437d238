//! The plan of a run: everything that decides what is drawn and who looks at it, fixed before the first picture.

use super::{Arm, Error, Labelled, Result, RunFolder};
use crate::{
    document::{InstrumentInfo, Model, SuiteInfo},
    instrument::Description,
    protocol::{Against, Kind, Measure, Protocol},
};
use pleach_model::{
    files::{self, Sha256, json_object, read_bounded},
    samplers::SamplerKind,
};
use pleach_runtime::pipeline::Size;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// The version of the plan's file.
pub const SCHEMA: u64 = 1;
/// Plans list suites and instruments, not samples.
const MAX_PLAN: u64 = 64 << 20;
/// Ten million samples.
const MAX_SAMPLES: u64 = 16 << 30;

/// The plan of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this file.
    pub schema: u64,
    /// Version of Pleach that made it.
    pub pleach: String,
    /// Title of the audit.
    pub title: String,
    /// The audited model.
    pub subject: PlannedModel,
    /// The model that it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<PlannedModel>,
    /// The prompts.
    pub suites: Vec<PlannedSuite>,
    /// What looks at the pictures, by name.
    pub instruments: BTreeMap<String, PlannedInstrument>,
    /// Pictures that nobody draws and features are compared with, by the name that protocols know them by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, Reference>,
    /// Hash of the samples' file.
    pub samples: Sha256,
    /// Samples.
    pub count: u64,
}

/// A model, and where it lay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedModel {
    /// The folder or Hugging Face id that the recipe names.
    pub source: String,
    /// The expert that draws everything, where the recipe names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
    /// What it is.
    pub model: Model,
}

/// A suite, with everything decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSuite {
    /// What the report says of it.
    pub info: SuiteInfo,
    /// How it is drawn and what is measured.
    pub protocol: Protocol,
    /// How its pictures are drawn.
    pub drawing: PlannedDrawing,
    /// What labelled pictures say of a measure's instrument.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<String, Labelled>,
}

/// Pictures that nobody draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Their folder.
    pub folder: PathBuf,
    /// What each file shows.
    pub pictures: BTreeMap<String, Sha256>,
}

/// Settings that all pictures of a suite share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedDrawing {
    /// Denoising steps.
    pub steps: usize,
    /// The sampler.
    pub sampler: SamplerKind,
    /// What to keep away from.
    pub negative: String,
}

/// An instrument, and where it lay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedInstrument {
    /// Its folder.
    pub folder: PathBuf,
    /// Its description in effect.
    pub description: Description,
    /// What it is.
    pub info: InstrumentInfo,
    /// What it distinguishes, by head; a detector's labels are those of its description.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub heads: BTreeMap<String, PlannedHead>,
}

/// What a classifier's head distinguishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedHead {
    /// The classes, in the order of their probabilities.
    pub classes: Vec<String>,
    /// Whether a picture shows any number of them: those with a probability above one half. Otherwise it shows the likeliest one.
    pub any: bool,
}

impl PlannedHead {
    /// Numbers of the classes that these probabilities find.
    pub fn found(&self, probabilities: &[f32]) -> Vec<usize> {
        if self.any {
            return (0..probabilities.len()).filter(|&class| probabilities[class] > 0.5).collect();
        }
        (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).into_iter().collect()
    }
}

/// A prompt with a seed: one picture of each model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSample {
    /// Hash of everything below but the groups, and of the suite's drawing.
    pub id: Sha256,
    /// The suite.
    pub suite: String,
    /// Row of the prompt in its file, from 0.
    pub row: u64,
    /// Which of the row's pictures.
    pub image: u32,
    /// The prompt.
    pub prompt: String,
    /// What the row belongs to.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Seed of the noise.
    pub seed: u64,
    /// Guidance scale.
    pub guidance: f64,
    /// Size of the picture.
    pub size: Size,
    /// Why it is never drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl PlannedSample {
    /// Hash of the prompt.
    pub fn prompt_sha256(&self) -> Sha256 {
        Sha256::of(self.prompt.as_bytes())
    }

    /// The sample with its identity.
    #[must_use]
    pub fn identified(mut self, drawing: &PlannedDrawing) -> Self {
        let Self { suite, row, image, prompt, seed, guidance, size, .. } = &self;
        let parts = serde_json::json!([suite, row, image, prompt, seed, guidance, size, drawing]);
        self.id = Sha256::of(parts.to_string().as_bytes());
        self
    }
}

/// A plan with its samples, and its own hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Its samples, in the order in which they are worked off.
    pub samples: Vec<PlannedSample>,
    /// Hash of the plan's file.
    pub sha256: Sha256,
}

impl Planned {
    /// Writes the plan and its samples.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(mut plan: Plan, samples: Vec<PlannedSample>, run: &RunFolder) -> Result<Self> {
        run.create()?;
        let json = |error: serde_json::Error| Error::Json { path: run.plan(), source: error };
        let mut lines = Vec::new();
        for sample in &samples {
            serde_json::to_writer(&mut lines, sample).map_err(json)?;
            lines.push(b'\n');
        }
        plan.samples = Sha256::of(&lines);
        plan.count = samples.len() as u64;
        files::write(&run.samples(), &lines)?;
        let mut bytes = serde_json::to_vec_pretty(&plan).map_err(json)?;
        bytes.push(b'\n');
        files::write(&run.plan(), &bytes)?;
        Ok(Self { plan, samples, sha256: Sha256::of(&bytes) })
    }

    /// Reads the plan of a run.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Json`], [`Error::Newer`]; [`Error::Changed`] where the samples are not those of the plan.
    pub fn read(run: &RunFolder) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            schema: u64,
        }
        let path = run.plan();
        let bytes = read_bounded(&path, MAX_PLAN)?;
        let json = |source| Error::Json { path: path.clone(), source };
        let Versioned { schema } = json_object(&bytes).map_err(json)?;
        if schema > SCHEMA {
            return Err(Error::Newer { path, schema, known: SCHEMA });
        }
        let plan: Plan = json_object(&bytes).map_err(json)?;
        let lines = read_bounded(&run.samples(), MAX_SAMPLES)?;
        let found = Sha256::of(&lines);
        if found != plan.samples {
            let what = run.samples().display().to_string();
            return Err(Error::Changed { what, planned: plan.samples.to_string(), found: found.to_string() });
        }
        let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let parse = |line| json_object(line).map_err(|source| Error::Json { path: run.samples(), source });
        Ok(Self { plan, samples: lines.map(parse).collect::<Result<_>>()?, sha256: Sha256::of(&bytes) })
    }

    /// The suite of this name.
    pub fn suite(&self, name: &str) -> Option<&PlannedSuite> {
        self.plan.suites.iter().find(|suite| suite.info.name == name)
    }

    /// The measures of a suite.
    pub fn measures(&self, suite: &str) -> &[Measure] {
        self.suite(suite).map(|suite| suite.protocol.measures.as_slice()).unwrap_or_default()
    }

    /// Whether an instrument looks at the pictures of a suite.
    pub fn is_looked_at(&self, suite: &str, instrument: &str) -> bool {
        self.measures(suite).iter().any(|measure| measure.instrument == instrument)
    }

    /// Whether an instrument reads the prompts of a suite.
    pub fn is_read(&self, suite: &str, instrument: &str) -> bool {
        self.measures(suite).iter().any(|measure| text_instrument(measure).as_deref() == Some(instrument))
    }

    /// Pictures that nobody draws and an instrument looks at, with their folders.
    pub fn references(&self, instrument: &str) -> impl Iterator<Item = (PathBuf, Sha256)> {
        let measures = self.plan.suites.iter().flat_map(|suite| &suite.protocol.measures);
        let names: BTreeSet<String> =
            measures.filter(|measure| measure.instrument == instrument).filter_map(reference).collect();
        let references = names.into_iter().filter_map(|name| self.plan.references.get(&name));
        references.flat_map(|reference| {
            reference.pictures.iter().map(|(file, picture)| (reference.folder.join(file), *picture))
        })
    }
}

/// The instrument that reads prompts for a measure: `clip-text` beside `clip`; none for measures that need none.
pub fn text_instrument(measure: &Measure) -> Option<String> {
    matches!(measure.kind, Kind::TextSimilarity {} | Kind::Cp { .. }).then(|| format!("{}-text", measure.instrument))
}

/// The pictures, other than the baseline's, that a measure compares with.
pub fn reference(measure: &Measure) -> Option<String> {
    match &measure.kind {
        Kind::Frechet { against: Against::Named(name) } | Kind::Kid { against: Against::Named(name), .. } => {
            Some(name.clone())
        }
        _ => None,
    }
}

impl Plan {
    /// The models, the baseline first.
    pub fn arms(&self) -> Vec<(Arm, &PlannedModel)> {
        let baseline = self.baseline.iter().map(|model| (Arm::Baseline, model));
        baseline.chain([(Arm::Subject, &self.subject)]).collect()
    }
}
