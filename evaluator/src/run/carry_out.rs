//! Carrying a shard of a run out: first everything is drawn, then every instrument looks.
//!
//! Records come in the order of the plan, whatever the batch, and a run that was stopped goes on where its journal ends: so the journal
//! has the same bytes however often it was stopped.

use super::{
    Arm, Error, Look, Plan, Planned, PlannedSample, Record, Result, RunFolder, Shard, State, draws,
    folder::open_showing, journal::Journal, looks, state::drawn,
};
use crate::{
    document::Environment,
    instrument::{self, Instrument},
};
use image::RgbImage;
use pleach_model::files::Sha256;
use pleach_runtime::{
    bundle::Bundle,
    engine::Engine,
    pipeline::{self, Event, Observer, Options, Picture, Pipeline, Request, Size},
};
use std::num::NonZeroUsize;

/// Pictures that an instrument is shown before its records are written.
const LOOKED_TOGETHER: usize = 16;

/// What a run is carried out with.
pub struct Means<'m> {
    /// ONNX Runtime.
    pub engine: &'m Engine,
    /// The bundle of each model.
    pub bundle: &'m dyn Fn(Arm) -> Result<Bundle>,
    /// How its pipeline is opened; the plan decides about the expert.
    pub options: Options,
    /// What that is, for the record.
    pub environment: Environment,
    /// Pictures that are drawn before their records are written.
    pub batch: NonZeroUsize,
    /// Whether everything is done, or only one stage.
    pub stage: Option<Stage>,
}

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Pictures are drawn.
    Draw,
    /// Instruments look at them.
    Look,
}

/// Hears how a run goes on, and may stop it.
pub trait Watch {
    /// Work begins: who does it, and on how many pictures or prompts.
    fn begin(&mut self, stage: Stage, who: &str, count: u64);

    /// So many more are done.
    fn done(&mut self, count: u64);

    /// Whether to stop.
    fn stopped(&mut self) -> bool {
        false
    }
}

/// Nobody watches.
impl Watch for () {
    fn begin(&mut self, _: Stage, _: &str, _: u64) {}

    fn done(&mut self, _: u64) {}
}

/// Carries a shard of a run out, as far as it is not done already.
///
/// # Errors
/// [`Error::Stopped`], [`Error::Unfinished`] where only looking was asked for and pictures are not drawn yet, and whatever keeps a picture from being drawn. The same call goes on.
pub fn carry_out(
    run: &RunFolder,
    planned: &Planned,
    shard: Shard,
    means: &Means<'_>,
    watch: &mut dyn Watch,
) -> Result<()> {
    // Whoever carries a plan to another machine need not carry empty folders.
    run.create()?;
    let path = run.journal(shard);
    let (journal, entries) = Journal::open(&path)?;
    let mut state = State::default();
    state.add(shard, &path, &entries, planned)?;
    if state.ended.contains(&shard) {
        return Ok(());
    }
    let mut work = Work { run, planned, shard, means, watch, journal, state, records: entries.records.len() as u64 };
    if work.records == 0 {
        let (plan, environment) = (planned.sha256, means.environment.clone());
        work.append(&[Record::Begin { plan, shard: shard.index, shards: shard.count, environment }])?;
    } else if let Some(begun) = work.state.environments.get(&shard) {
        same_software(begun, &means.environment)?;
    }
    if means.stage != Some(Stage::Look) {
        work.draw()?;
    }
    if means.stage != Some(Stage::Draw) {
        if !draws(planned, shard, &work.state).is_empty() {
            let reason = "pictures of this shard are not drawn yet: draw them first".to_owned();
            return Err(Error::Unfinished { path, reason });
        }
        work.look()?;
        work.append(&[Record::End { records: work.records }])?;
    }
    Ok(())
}

/// A shard that was begun with one version or provider is not gone on with by another: its pictures would not be of one kind.
fn same_software(begun: &Environment, now: &Environment) -> Result<()> {
    let software = |of: &Environment| {
        format!("Pleach {}, ONNX Runtime {}, providers {}", of.pleach, of.onnxruntime, of.providers.join(", "))
    };
    let (planned, found) = (software(begun), software(now));
    if planned == found {
        Ok(())
    } else {
        Err(Error::Changed { what: "what draws and looks".to_owned(), planned, found })
    }
}

struct Work<'w> {
    run: &'w RunFolder,
    planned: &'w Planned,
    shard: Shard,
    means: &'w Means<'w>,
    watch: &'w mut dyn Watch,
    journal: Journal,
    state: State,
    records: u64,
}

impl<'w> Work<'w> {
    fn append(&mut self, records: &[Record]) -> Result<()> {
        self.journal.append(records)?;
        self.records += records.len() as u64;
        Ok(())
    }

    fn draw(&mut self) -> Result<()> {
        let all = draws(self.planned, self.shard, &self.state);
        for (arm, planned_model) in self.planned.plan.arms() {
            let draws: Vec<&PlannedSample> =
                all.iter().filter(|draw| draw.arm == arm).map(|draw| draw.sample).collect();
            if draws.is_empty() {
                continue;
            }
            let bundle = (self.means.bundle)(arm)?;
            planned_model.check(&bundle)?;
            let options = Options { expert: planned_model.expert.clone(), ..self.means.options.clone() };
            let mut pipeline = Pipeline::open(bundle, self.means.engine, options)?;
            self.watch.begin(Stage::Draw, arm.name(), draws.len() as u64);
            for samples in draws.chunks(self.means.batch.get()) {
                let records = self.draw_together(&mut pipeline, arm, samples)?;
                self.append(&records)?;
                self.state.drawn.extend(records.iter().filter_map(drawn));
                self.watch.done(samples.len() as u64);
            }
        }
        Ok(())
    }

    /// Draws some samples; what cannot be drawn together is drawn one by one, so that only what fails by itself is a failure.
    fn draw_together(&mut self, pipeline: &mut Pipeline, arm: Arm, samples: &[&PlannedSample]) -> Result<Vec<Record>> {
        match self.pictures(pipeline, samples) {
            Ok(pictures) => {
                let mut records = Vec::new();
                for (sample, picture) in samples.iter().zip(pictures) {
                    let route = pipeline.route(&sample.prompt)?;
                    let bundle = pipeline.bundle();
                    let expert = match (self.planned.plan.expert(arm), &route) {
                        (Some(chosen), _) => Some(chosen),
                        (None, Some(route)) => bundle.manifest().and_then(|manifest| {
                            manifest.components.unet.get(route.expert).map(|expert| expert.name.as_str())
                        }),
                        (None, None) => bundle.experts().first().copied(),
                    };
                    let (expert, margin) = (expert.map(str::to_owned), route.map(|route| route.margin));
                    records.push(Record::Drawn { sample: sample.id, arm, picture, expert, margin });
                }
                Ok(records)
            }
            Err(Error::Pipeline(error)) => match (*error, samples) {
                (pipeline::Error::Cancelled, _) => Err(Error::Stopped),
                (error @ pipeline::Error::NotFinite { .. }, [sample]) => {
                    Ok(vec![Record::Failed { sample: sample.id, arm, reason: error.to_string() }])
                }
                (pipeline::Error::NotFinite { .. }, _) => {
                    let one = |sample: &&PlannedSample| self.draw_together(pipeline, arm, &[*sample]);
                    Ok(samples.iter().map(one).collect::<Result<Vec<_>>>()?.concat())
                }
                (error, _) => Err(error.into()),
            },
            Err(error) => Err(error),
        }
    }

    /// The pictures of some samples, drawn and kept. Those with the same settings go through the networks together.
    fn pictures(&mut self, pipeline: &mut Pipeline, samples: &[&PlannedSample]) -> Result<Vec<Sha256>> {
        let mut pictures = vec![None; samples.len()];
        let mut groups: Vec<(Settings<'_>, Vec<usize>)> = Vec::new();
        for (index, sample) in samples.iter().enumerate() {
            let settings = Settings { suite: &sample.suite, guidance: sample.guidance, size: sample.size };
            match groups.iter_mut().find(|(known, _)| *known == settings) {
                Some((_, indices)) => indices.push(index),
                None => groups.push((settings, vec![index])),
            }
        }
        for (settings, indices) in groups {
            let request = settings.request(&self.planned.plan, indices.iter().map(|&index| samples[index]))?;
            let keep = |drawn: pipeline::Drawn| -> Result<()> {
                if let Some(place) = indices.get(drawn.index).and_then(|&index| pictures.get_mut(index)) {
                    *place = Some(self.run.keep(&drawn.image)?);
                }
                Ok(())
            };
            pipeline.generate_each(&request, &mut Stopping(self.watch), keep)?;
        }
        let missing = || Error::Asked("a pipeline drew fewer pictures than it was asked for".to_owned());
        pictures.into_iter().collect::<Option<_>>().ok_or_else(missing)
    }

    fn look(&mut self) -> Result<()> {
        let planned = self.planned;
        for (name, instrument) in &planned.plan.instruments {
            let looks = looks(planned, self.shard, &self.state, name);
            if looks.is_empty() {
                continue;
            }
            let mut opened = Instrument::open(self.means.engine, &instrument.description, &instrument.folder)?;
            let found = opened.identity().sha256.to_string();
            if found != instrument.info.sha256 {
                let what = format!("the instrument {name} in {}", instrument.folder.display());
                return Err(Error::Changed { what, planned: instrument.info.sha256.clone(), found });
            }
            self.watch.begin(Stage::Look, name, looks.len() as u64);
            for looks in looks.chunks(LOOKED_TOGETHER) {
                if self.watch.stopped() {
                    return Err(Error::Stopped);
                }
                let mut records = Vec::new();
                for look in looks {
                    records.push(self.look_at(&mut opened, name, look)?);
                }
                self.append(&records)?;
                self.watch.done(looks.len() as u64);
            }
        }
        Ok(())
    }

    fn look_at(&self, opened: &mut Instrument, name: &str, look: &Look<'_>) -> Result<Record> {
        let instrument = name.to_owned();
        Ok(match look {
            Look::Picture(picture) => seen(opened, instrument, *picture, &self.run.open_picture(*picture)?)?,
            Look::Reference(picture, file) => seen(opened, instrument, *picture, &open_showing(file, *picture)?)?,
            Look::Prompt(prompt, text) => {
                let seen = opened.read(&[text])?.swap_remove(0);
                Record::Read { prompt: *prompt, instrument, seen }
            }
        })
    }
}

/// What an instrument sees in a picture; what it cannot say of this picture is a record too.
fn seen(opened: &mut Instrument, instrument: String, picture: Sha256, image: &RgbImage) -> Result<Record> {
    match opened.look(&[image]) {
        Ok(mut seen) => Ok(Record::Looked { picture, instrument, seen: seen.swap_remove(0) }),
        Err(error @ (instrument::Error::NotFinite { .. } | instrument::Error::Size { .. })) => {
            Ok(Record::Unseen { picture, instrument, reason: error.to_string() })
        }
        Err(error) => Err(error.into()),
    }
}

impl Plan {
    /// The expert that draws everything of a model, where the recipe names one.
    pub fn expert(&self, arm: Arm) -> Option<&str> {
        match arm {
            Arm::Baseline => self.baseline.as_ref()?.expert.as_deref(),
            Arm::Subject => self.subject.expert.as_deref(),
        }
    }
}

/// What pictures of one request share.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings<'p> {
    suite: &'p str,
    guidance: f64,
    size: Size,
}

impl Settings<'_> {
    fn request<'p>(&self, plan: &Plan, samples: impl Iterator<Item = &'p PlannedSample>) -> Result<Request> {
        let unknown = || Error::Asked(format!("the plan has no suite {:?}", self.suite));
        let suite = plan.suites.iter().find(|suite| suite.info.name == self.suite).ok_or_else(unknown)?;
        let pictures: Vec<Picture> =
            samples.map(|sample| Picture { prompt: sample.prompt.clone(), seed: sample.seed }).collect();
        Ok(Request {
            batch: pictures.len().max(1),
            pictures,
            negative: suite.drawing.negative.clone(),
            steps: suite.drawing.steps,
            guidance: self.guidance,
            sampler: Some(suite.drawing.sampler),
            size: Some(self.size),
        })
    }
}

/// Stops a pipeline when the run is stopped.
struct Stopping<'w>(&'w mut dyn Watch);

impl Observer for Stopping<'_> {
    fn event(&mut self, _: Event<'_>) {}

    fn cancelled(&mut self) -> bool {
        self.0.stopped()
    }
}
