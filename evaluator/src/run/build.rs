//! From a recipe to a plan.

use super::{
    Error, Plan, Planned, PlannedDrawing, PlannedHead, PlannedInstrument, PlannedModel, PlannedSample, PlannedSuite,
    Recipe, Reference, Result, RunFolder, checks,
    folder::identity,
    plan::{SCHEMA, reference, text_instrument},
    recipe::{InstrumentRecipe, SuiteRecipe},
};
use crate::{
    decode::decode_file,
    document::{InstrumentInfo, Model, SuiteInfo},
    instrument::{self, Description, FILE, Identity, Instrument},
    protocol::{Kind, Measure, Protocol},
    suite::{Place, Row, Suite},
};
use pleach_hub::{Hub, Progress, Source};
use pleach_model::{files, files::Sha256, samplers::SamplerKind, vision::Choice};
use pleach_runtime::{bundle::Bundle, engine::Engine, pipeline::Size};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

/// The instrument that tells pictures of one colour and of noise.
const PIXELS: &str = "pixels";
/// Steps where neither recipe nor protocol says how many.
const STEPS: u32 = 25;

/// What a plan is made with.
pub struct Makings<'m> {
    /// ONNX Runtime, to open the instruments.
    pub engine: &'m Engine,
    /// Opens the bundle that a recipe names.
    pub open: &'m dyn Fn(&str) -> Result<Bundle>,
    /// Hears what is fetched.
    pub progress: &'m dyn Progress,
    /// The folder that paths of the recipe are relative to.
    pub folder: &'m Path,
    /// Whether the baseline draws in a run of its own, with which this one is compared later.
    pub baseline_elsewhere: bool,
}

impl Planned {
    /// Decides everything that a recipe leaves open and writes the plan of a run. The warnings are for whoever reads along.
    ///
    /// # Errors
    /// A recipe that asks for what cannot be done; bundles, prompts, protocols and instruments that cannot be opened.
    pub fn build(recipe: &Recipe, makings: &Makings<'_>, run: &RunFolder) -> Result<(Self, Vec<String>)> {
        let mut warnings = Vec::new();
        let subject = open(makings, &recipe.subject, recipe.subject_expert.as_deref())?;
        let baseline = match &recipe.baseline {
            Some(source) => Some(open(makings, source, recipe.baseline_expert.as_deref())?),
            None => None,
        };
        let mut suites = Vec::new();
        let mut samples = Vec::new();
        for suite in &recipe.suite {
            let (planned, drawn) =
                plan_suite(suite, makings, (&subject.1, baseline.as_ref().map(|b| &b.1)), &mut warnings)?;
            suites.push(planned);
            samples.extend(drawn);
        }
        checks::names(&suites)?;
        let measures: Vec<&Measure> = suites.iter().flat_map(|suite| &suite.protocol.measures).collect();
        let instruments = instruments(recipe, &measures, makings)?;
        checks::measures(&measures, &instruments, baseline.is_some() || makings.baseline_elsewhere)?;
        for suite in &suites {
            checks::suite(suite, &samples, &instruments)?;
        }
        let plan = Plan {
            schema: SCHEMA,
            pleach: env!("CARGO_PKG_VERSION").to_owned(),
            title: recipe.title.clone(),
            references: references(recipe, &measures, makings)?,
            subject: subject.0,
            baseline: baseline.map(|(planned, _)| planned),
            suites,
            instruments,
            samples: Sha256([0; 32]),
            count: 0,
        };
        Ok((Self::write(plan, samples, run)?, warnings))
    }
}

/// A path of the recipe.
fn absolute(makings: &Makings<'_>, path: &Path) -> PathBuf {
    let path = makings.folder.join(path);
    fs::canonicalize(&path).unwrap_or(path)
}

fn open(makings: &Makings<'_>, source: &str, expert: Option<&str>) -> Result<(PlannedModel, Bundle)> {
    let folder = absolute(makings, Path::new(source));
    let source = if folder.is_dir() {
        folder.to_string_lossy().into_owned()
    } else if matches!(Source::parse(source), Source::Folder(path) if !path.exists()) {
        let folder = folder.display();
        return Err(Error::Asked(format!(
            "there is no bundle {folder}; paths of a recipe start in the recipe's folder"
        )));
    } else {
        source.to_owned()
    };
    let bundle = (makings.open)(&source)?;
    let model = Model::of(&bundle)?;
    if let Some(expert) = expert
        && !bundle.experts().contains(&expert)
    {
        let known = bundle.experts().join(", ");
        return Err(Error::Asked(format!("{source} has no expert {expert:?}; its experts are: {known}")));
    }
    Ok((PlannedModel { source, expert: expert.map(str::to_owned), model }, bundle))
}

fn plan_suite(
    suite: &SuiteRecipe,
    makings: &Makings<'_>,
    (subject, baseline): (&Bundle, Option<&Bundle>),
    warnings: &mut Vec<String>,
) -> Result<(PlannedSuite, Vec<PlannedSample>)> {
    let wrong = |reason: String| Error::Asked(format!("suite {:?}: {reason}", suite.name));
    let protocol = suite.changed(open_protocol(&suite.protocol, makings)?);
    let read = read(suite, &protocol, makings)?;
    let known = protocol.prompts.known.is_empty() || protocol.prompts.identify(&read.source).is_some();
    let rows = read.source.rows as u64;
    let source = read.source.clone();
    let kept = Suite { rows: select(suite, read.rows), ..read };
    if kept.rows.is_empty() {
        return Err(wrong("none of its rows is left to draw".to_owned()));
    }
    let planned = protocol.plan(&kept)?;
    warnings.extend(planned.warnings.iter().map(|warning| format!("suite {}: {warning}", suite.name)));
    let size = |bundle: &Bundle| bundle.default_size();
    let own_size = same("size", &suite.name, size(subject), baseline.map(size), protocol.drawing.size)?;
    let sampler = |bundle: &Bundle| SamplerKind::from_config(bundle.schedule().config()).ok();
    let sampler =
        same("sampler", &suite.name, sampler(subject), baseline.map(sampler), protocol.drawing.sampler.map(Some))?
            .ok_or_else(|| wrong("the bundle's sampler is not one that is known: name one".to_owned()))?;
    let drawing = PlannedDrawing {
        steps: protocol.drawing.steps.unwrap_or(STEPS) as usize,
        sampler,
        negative: protocol.drawing.negative.clone(),
    };
    let rows_by_index: BTreeMap<usize, &Row> = kept.rows.iter().map(|row| (row.index, row)).collect();
    let sample = |row: usize, image, seed, guidance, size: Option<Size>, skipped| {
        let row = rows_by_index.get(&row)?;
        Some(
            PlannedSample {
                id: Sha256([0; 32]),
                suite: suite.name.clone(),
                row: row.index as u64,
                image,
                prompt: row.prompt.clone(),
                groups: row.groups.clone(),
                seed,
                guidance,
                size: size.unwrap_or(own_size),
                skipped,
            }
            .identified(&drawing),
        )
    };
    let drawn =
        planned.draws.iter().filter_map(|draw| sample(draw.row, draw.image, draw.seed, draw.guidance, draw.size, None));
    let skipped =
        planned.skipped_by_policy.iter().flat_map(|&row| (0..protocol.drawing.images).map(move |image| (row, image)));
    let reason = || Some("policy: a sexual prompt that speaks of minors is never drawn".to_owned());
    let skipped = skipped.filter_map(|(row, image)| sample(row, image, 0, 0.0, None, reason()));
    let mut samples: Vec<PlannedSample> = drawn.chain(skipped).collect();
    samples.sort_by_key(|sample| (sample.row, sample.image));
    checks::drawable(&samples, &drawing, subject, baseline)?;
    let prompts: HashSet<&str> = samples.iter().map(|sample| sample.prompt.as_str()).collect();
    let info = SuiteInfo {
        name: suite.name.clone(),
        protocol: protocol.id.clone(),
        sha256: source.sha256.to_string(),
        column: source.column.clone().unwrap_or_default(),
        rows,
        drawn: (kept.rows.len() - planned.skipped_by_policy.len()) as u64,
        prompts: prompts.len() as u64,
        skipped: planned.skipped_by_policy.len() as u64,
        clamped: planned.clamped.len() as u64,
        known,
        restricted: !suite.publish || protocol.prompts.is_unsafe || protocol.prompts.gated,
    };
    if let Some(unknown) = suite.validation.keys().find(|name| {
        protocol.measures.iter().all(|measure| measure.name != **name || !matches!(measure.kind, Kind::Flagged { .. }))
    }) {
        return Err(wrong(format!("it has a validation of {unknown:?}, and no measure that flags has that name")));
    }
    Ok((PlannedSuite { info, protocol, drawing, validation: suite.validation.clone() }, samples))
}

impl Planned {
    /// The same run with a suite measured by another protocol: what was drawn stays as it was, and its instruments have to be those that
    /// looked.
    ///
    /// # Errors
    /// [`Error::Asked`] for a suite, an instrument or a label that the run does not have.
    pub fn measured_by(&self, suite: &str, protocol: &Protocol) -> Result<Self> {
        let mut planned = self.clone();
        let names = || self.plan.suites.iter().map(|suite| suite.info.name.as_str()).collect::<Vec<_>>().join(", ");
        let unknown = || Error::Asked(format!("the run has no suite {suite:?}; its suites are {}", names()));
        let found = planned.plan.suites.iter_mut().find(|known| known.info.name == suite).ok_or_else(unknown)?;
        for measure in &protocol.measures {
            let needed = [Some(measure.instrument.clone()), text_instrument(measure)];
            if let Some(missing) = needed.into_iter().flatten().find(|name| !self.plan.instruments.contains_key(name)) {
                let name = &measure.name;
                return Err(Error::Asked(format!(
                    "the measure {name:?} needs the instrument {missing:?}, which did not look at this run: plan another"
                )));
            }
        }
        found.protocol.measures.clone_from(&protocol.measures);
        found.protocol.id = format!("{}-measured-by-{}", found.protocol.id, protocol.id);
        found.info.protocol.clone_from(&found.protocol.id);
        found.validation.clear();
        let found = found.clone();
        let measures: Vec<&Measure> = found.protocol.measures.iter().collect();
        checks::measures(&measures, &self.plan.instruments, self.plan.baseline.is_some())?;
        checks::suite(&found, &self.samples, &self.plan.instruments)?;
        Ok(planned)
    }
}

fn open_protocol(name: &str, makings: &Makings<'_>) -> Result<Protocol> {
    let file = makings.folder.join(name);
    let name = if file.is_file() { file.to_string_lossy().into_owned() } else { name.to_owned() };
    Ok(Protocol::open(&name)?)
}

fn read(suite: &SuiteRecipe, protocol: &Protocol, makings: &Makings<'_>) -> Result<Suite> {
    let Some(prompts) = &suite.prompts else {
        let none =
            || Error::Asked(format!("suite {:?} names no prompts, and its protocol has none of its own", suite.name));
        return Ok(protocol.prompts.inline().ok_or_else(none)??);
    };
    let file = makings.folder.join(prompts);
    let place = if file.exists() { Place::Path(file) } else { Place::parse(prompts) };
    let local = place.local(Hub::from_env, makings.progress)?;
    Ok(Suite::read(&local.path, &protocol.prompts.reading())?)
}

/// The rows that a recipe wants.
fn select(suite: &SuiteRecipe, rows: Vec<Row>) -> Vec<Row> {
    let wanted = |row: &Row| {
        suite.only.iter().all(|(group, values)| row.group(group).iter().any(|value| values.contains(value)))
    };
    rows.into_iter().filter(wanted).take(suite.rows.unwrap_or(usize::MAX)).collect()
}

/// What is said, or else what both bundles have alike.
fn same<T: PartialEq>(what: &str, suite: &str, subject: T, baseline: Option<T>, said: Option<T>) -> Result<T> {
    match said {
        Some(said) => Ok(said),
        None if baseline.as_ref().is_none_or(|baseline| *baseline == subject) => Ok(subject),
        None => Err(Error::Asked(format!(
            "suite {suite:?}: subject and baseline have another {what} each by default: name one"
        ))),
    }
}

fn instruments(
    recipe: &Recipe,
    measures: &[&Measure],
    makings: &Makings<'_>,
) -> Result<BTreeMap<String, PlannedInstrument>> {
    let mut instruments = BTreeMap::new();
    let text = measures.iter().filter_map(|measure| text_instrument(measure));
    for name in measures.iter().map(|measure| measure.instrument.clone()).chain(text) {
        if instruments.contains_key(&name) {
            continue;
        }
        let missing = || {
            Error::Asked(format!("a protocol needs the instrument {name:?}: give [instrument.{name}] with its folder"))
        };
        // Needs no files, so nobody has to name it.
        let pixels = InstrumentRecipe { description: Some(PIXELS.to_owned()), ..InstrumentRecipe::default() };
        let builtin = (name == PIXELS).then_some(&pixels);
        let asked = recipe.instrument.get(&name).or(builtin).ok_or_else(missing)?;
        instruments.insert(name.clone(), instrument(asked, &name, makings)?);
    }
    if let Some(unused) = recipe.instrument.keys().find(|name| !instruments.contains_key(*name)) {
        return Err(Error::Asked(format!("no measure uses the instrument {unused:?}")));
    }
    Ok(instruments)
}

fn instrument(asked: &InstrumentRecipe, name: &str, makings: &Makings<'_>) -> Result<PlannedInstrument> {
    let folder = absolute(makings, &asked.folder);
    let description = match &asked.description {
        Some(builtin) => Description::builtin(builtin)?,
        None if folder.join(FILE).exists() => Description::read(&folder)?,
        None => Description {
            name: name.to_owned(),
            about: String::new(),
            licence: String::new(),
            files: BTreeMap::new(),
            instrument: instrument::Kind::Judge {},
        },
    };
    let opened = Instrument::open(makings.engine, &description, &folder)?;
    let Identity { kind, files, sha256, .. } = opened.identity().clone();
    let files = files.into_iter().map(|(file, sha256)| (file, sha256.to_string())).collect();
    let info = InstrumentInfo { name: name.to_owned(), kind, sha256: sha256.to_string(), files };
    let heads = opened.heads().iter().map(|head| {
        let planned = PlannedHead { classes: head.classes.clone(), any: head.choice == Choice::AnyOf };
        (head.name.clone(), planned)
    });
    Ok(PlannedInstrument { folder, description, info, heads: heads.collect() })
}

fn references(recipe: &Recipe, measures: &[&Measure], makings: &Makings<'_>) -> Result<BTreeMap<String, Reference>> {
    let mut references = BTreeMap::new();
    for name in measures.iter().filter_map(|measure| reference(measure)) {
        if references.contains_key(&name) {
            continue;
        }
        let missing = || {
            Error::Asked(format!("a protocol compares with the pictures {name:?}: give their folder under [pictures]"))
        };
        let folder = absolute(makings, recipe.pictures.get(&name).ok_or_else(missing)?);
        let pictures = shown(&folder)?;
        if pictures.is_empty() {
            return Err(Error::Asked(format!("{}: no PNG or JPEG files are there", folder.display())));
        }
        references.insert(name, Reference { folder, pictures });
    }
    Ok(references)
}

/// What each picture of a folder shows.
fn shown(folder: &Path) -> Result<BTreeMap<String, Sha256>> {
    let failed = |source| files::Error::Read { path: folder.to_owned(), source };
    let mut pictures = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_picture = path
            .extension()
            .is_some_and(|extension| ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known)));
        if !is_picture {
            continue;
        }
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let image =
            decode_file(&path).map_err(|error| Error::Picture { path: path.clone(), reason: error.to_string() })?;
        pictures.insert(name.to_owned(), identity(image.width(), image.height(), image.as_raw()));
    }
    Ok(pictures)
}
