//! A training run: a folder in which everything about it lies, and the loop that fills it.
//!
//! ```text
//! RUN/  recipe.toml           what was asked for, with every default
//!       metrics.jsonl         one line per report
//!       loss.png              their curve
//!       samples/000500.png    what the model draws
//!       checkpoints/000500/   state.json, tensors.safetensors: all that the run needs to go on
//! ```
//! Nothing random has a state: what is drawn in a step is a function of the seed and the step ([`streams`]). So a run that
//! was interrupted and goes on gives the same bits as one that was not.

mod chart;
mod checkpoint;
mod error;
mod folder;
mod grid;
mod metrics;
mod plot;
pub mod streams;
mod watch;

pub use chart::{Heatmap, heatmaps, histogram};
pub use checkpoint::Progress;
pub(crate) use checkpoint::write_weights;
pub use error::{Error, Result};
pub use folder::{RunFolder, Start};
pub use grid::grid;
pub use plot::{Series, plot};
pub use watch::{Event, Watch};

use crate::{
    learn::{self, Ema, Optimiser, OptimiserSettings, Scaler, Variable},
    torch,
};
use checkpoint::Group;
use image::RgbImage;
use metrics::{Mean, Metrics};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tch::Tensor;

/// The loop's part of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoopSettings {
    /// Updates of the weights.
    pub steps: u64,
    /// Micro-batches whose gradients make one update.
    pub accumulate: u64,
    /// The optimiser.
    pub optimiser: OptimiserSettings,
    /// Decay of the average of the weights; without it the last weights are the result.
    pub ema: Option<f64>,
    /// Steps between two reports.
    pub report_every: u64,
    /// Steps between two grids of samples; 0 for none.
    pub sample_every: u64,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the newest ones.
    pub keep: usize,
}

impl Default for LoopSettings {
    fn default() -> Self {
        Self {
            steps: 1000,
            accumulate: 1,
            optimiser: OptimiserSettings::default(),
            ema: None,
            report_every: 10,
            sample_every: 500,
            checkpoint_every: 500,
            keep: 2,
        }
    }
}

impl LoopSettings {
    /// # Errors
    /// The first key with a value that no run can have.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &'static str, value: String, expected| Err(Error::Setting { key, value, expected });
        let counts = [
            ("steps", self.steps),
            ("accumulate", self.accumulate),
            ("report_every", self.report_every),
            ("checkpoint_every", self.checkpoint_every),
            ("keep", self.keep as u64),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return wrong(key, "0".into(), "at least 1");
        }
        match self.ema {
            Some(decay) if !(0.0..1.0).contains(&decay) => wrong("ema", decay.to_string(), "in 0..1"),
            _ => Ok(()),
        }
    }
}

/// The loss of one micro-batch.
#[derive(Debug)]
pub struct Loss {
    /// What is minimised: a scalar, with its gradients recorded.
    pub total: Tensor,
    /// What it is made of, for the record.
    pub parts: Vec<(&'static str, Tensor)>,
}

/// What an update of one kind changes, and how: a run may have several kinds, with an optimiser each.
#[derive(Debug)]
pub struct Level {
    /// What it changes, some of the task's variables.
    pub variables: Vec<Variable>,
    /// How.
    pub optimiser: OptimiserSettings,
    /// Updates of this kind in the whole run.
    pub updates: u64,
}

/// What a run learns.
pub trait Task {
    /// What is learnt, in an order that is the same in every process.
    fn variables(&self) -> &[Variable];

    /// The kinds of updates. By default one of all variables, as the settings say.
    fn levels(&self, settings: &LoopSettings) -> Vec<Level> {
        vec![Level { variables: self.variables().to_vec(), optimiser: settings.optimiser, updates: settings.steps }]
    }

    /// The number of the kind that step number `step` is of.
    fn level(&self, _step: u64) -> usize {
        0
    }

    /// The loss of micro-batch number `micro` of the whole run.
    ///
    /// # Errors
    /// Whatever keeps the batch from being made or computed.
    fn loss(&mut self, micro: u64) -> Result<Loss>;

    /// Changes the gradients of an update before it is made.
    ///
    /// # Errors
    /// What libtorch says.
    fn gradients(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether the loss is computed in f16, and must be scaled.
    fn scales(&self) -> bool {
        false
    }

    /// What the task must remember besides its variables, such as its place in the data.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Goes on from what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// A state that is not one.
    fn restore(&mut self, _state: Value) -> Result<()> {
        Ok(())
    }

    /// A picture of what has been learnt so far.
    ///
    /// # Errors
    /// Whatever keeps it from being drawn.
    fn sample(&mut self) -> Result<Option<RgbImage>> {
        Ok(None)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done, and the variables hold the result (the average, where there is one).
    Finished,
    /// Interrupted after this step, which a checkpoint holds.
    Interrupted {
        /// Steps done.
        step: u64,
    },
}

/// Runs `task` to its end, or until it is interrupted; goes on from the newest checkpoint of `folder` where there is one.
///
/// # Errors
/// Whatever the task says; a loss or gradients that are not finite, where the last checkpoint stays; files that cannot be
/// written.
pub fn train(task: &mut dyn Task, settings: &LoopSettings, folder: &RunFolder, watch: &dyn Watch) -> Result<Outcome> {
    settings.check()?;
    let mut learner = Learner::new(task, settings)?;
    let first = learner.resume(task, folder)?;
    let mut metrics = Metrics::open(folder, first)?;
    watch.event(Event::Begin { step: first, steps: settings.steps });
    let mut mean = Mean::default();
    let mut since = Instant::now();
    for step in first..settings.steps {
        learner.step(task, step, &mut mean)?;
        let done = step + 1;
        let last = done == settings.steps;
        let stop = watch.interrupted();
        if done.is_multiple_of(settings.report_every) || last || stop {
            let report = mean.take(done, since.elapsed());
            since = Instant::now();
            metrics.write(&report)?;
            watch.event(Event::Step { report: &report });
        }
        if settings.sample_every > 0 && (done.is_multiple_of(settings.sample_every) || last) {
            let sampling = Instant::now();
            learner.sample(task, folder, done, watch)?;
            metrics.plot()?;
            since += sampling.elapsed();
        }
        if done.is_multiple_of(settings.checkpoint_every) || last || stop {
            let saving = Instant::now();
            learner.save(task, folder, done, settings.keep)?;
            watch.event(Event::Saved { step: done });
            since += saving.elapsed();
        }
        if stop && !last {
            return Ok(Outcome::Interrupted { step: done });
        }
    }
    metrics.plot()?;
    learner.swap(task)?;
    Ok(Outcome::Finished)
}

/// Everything that changes while a run learns, besides the variables themselves.
struct Learner<'a> {
    settings: &'a LoopSettings,
    levels: Vec<(Level, Optimiser)>,
    /// The level whose variables, and no others, have gradients.
    open: Option<usize>,
    ema: Option<Ema>,
    scaler: Option<Scaler>,
}

impl<'a> Learner<'a> {
    fn new(task: &dyn Task, settings: &'a LoopSettings) -> Result<Self> {
        let levels = task.levels(settings).into_iter().map(|level| {
            let optimiser = Optimiser::new(&level.variables, level.optimiser)?;
            Ok((level, optimiser))
        });
        Ok(Self {
            settings,
            levels: levels.collect::<Result<_>>()?,
            open: None,
            ema: settings.ema.map(|decay| Ema::new(task.variables(), decay)).transpose()?,
            scaler: task.scales().then(Scaler::default),
        })
    }

    /// Has gradients recorded for the variables of a level alone: the others stay as they are.
    fn open(&mut self, task: &dyn Task, level: usize) -> Result<()> {
        if self.open == Some(level) {
            return Ok(());
        }
        let own: HashSet<&str> =
            self.levels.get(level).iter().flat_map(|(l, _)| &l.variables).map(|(name, _)| name.as_str()).collect();
        for (name, value) in task.variables() {
            let _ = torch(value.tensor().f_set_requires_grad(own.contains(name.as_str())))?;
        }
        self.open = Some(level);
        Ok(())
    }

    fn step(&mut self, task: &mut dyn Task, step: u64, mean: &mut Mean) -> Result<()> {
        let level = task.level(step);
        self.open(task, level)?;
        let scale = self.scaler.map_or(1.0, |scaler| scaler.factor()) / self.settings.accumulate as f64;
        for part in 0..self.settings.accumulate {
            let loss = task.loss(step * self.settings.accumulate + part)?;
            let value = number(&loss.total)?;
            if !value.is_finite() && self.scaler.is_none() {
                return Err(Error::NotFinite { what: "loss", step });
            }
            let scaled = if scale == 1.0 { loss.total.shallow_clone() } else { torch(loss.total.f_mul_scalar(scale))? };
            torch(scaled.f_backward())?;
            mean.add("loss", value);
            for (name, part) in &loss.parts {
                mean.add(name, number(part)?);
            }
        }
        task.gradients()?;
        let Some((level, optimiser)) = self.levels.get_mut(level) else {
            return Err(torch::Error::Torch(format!("step {step} is of level {level}, which there is not")).into());
        };
        let update = optimiser.update(&level.variables, level.updates, self.scaler.as_ref())?;
        match &mut self.scaler {
            Some(scaler) => {
                scaler.record(update.done);
                if scaler.is_exhausted() {
                    return Err(Error::NotFinite { what: "gradient", step });
                }
            }
            None if !update.done => return Err(Error::NotFinite { what: "gradient", step }),
            None => {}
        }
        mean.add("norm", update.norm);
        mean.set_rate(update.rate);
        match &mut self.ema {
            Some(ema) => Ok(ema.update(task.variables())?),
            None => Ok(()),
        }
    }

    /// Exchanges variables and their average, where there is one.
    fn swap(&mut self, task: &dyn Task) -> Result<()> {
        Ok(self.ema.as_mut().map_or(Ok(()), |ema| ema.swap(task.variables()))?)
    }

    fn sample(&mut self, task: &mut dyn Task, folder: &RunFolder, step: u64, watch: &dyn Watch) -> Result<()> {
        self.swap(task)?;
        let sample = task.sample();
        self.swap(task)?;
        if let Some(picture) = sample? {
            let path = folder.write_sample(step, &picture)?;
            watch.event(Event::Sampled { path: &path });
        }
        Ok(())
    }

    fn save(&self, task: &dyn Task, folder: &RunFolder, step: u64, keep: usize) -> Result<()> {
        let progress = Progress {
            step,
            updates: self.levels.iter().map(|(_, optimiser)| optimiser.updates()).collect(),
            averaged: self.ema.as_ref().map(Ema::updates),
            scaler: self.scaler,
            task: task.state(),
        };
        let variables = task.variables();
        let mut groups = vec![Group::new("weights", variables, &tensors(variables))];
        for (i, (level, optimiser)) in self.levels.iter().enumerate() {
            for (name, moments) in moments(i).iter().zip(optimiser.moments()) {
                groups.push(Group::new(name, &level.variables, moments));
            }
        }
        groups.extend(self.ema.as_ref().map(|ema| Group::new("average", variables, ema.shadows())));
        checkpoint::write(folder, &progress, &groups)?;
        folder.forget(keep)
    }

    /// The step to go on with.
    fn resume(&mut self, task: &mut dyn Task, folder: &RunFolder) -> Result<u64> {
        let Some(stored) = checkpoint::newest(folder)? else { return Ok(0) };
        let variables = task.variables();
        for (name, value) in variables {
            stored.restore("weights", name, value.tensor())?;
        }
        for (i, (level, optimiser)) in self.levels.iter().enumerate() {
            for (group, moments) in moments(i).iter().zip(optimiser.moments()) {
                for ((name, _), tensor) in level.variables.iter().zip(moments) {
                    stored.restore(group, name, tensor)?;
                }
            }
        }
        for ((name, _), tensor) in variables.iter().zip(self.ema.iter().flat_map(Ema::shadows)) {
            stored.restore("average", name, tensor)?;
        }
        let Progress { step, updates, averaged, scaler, task: state } = stored.progress;
        for ((_, optimiser), updates) in self.levels.iter_mut().zip(updates) {
            optimiser.resume(updates)?;
        }
        if let (Some(ema), Some(updates)) = (&mut self.ema, averaged) {
            ema.resume(updates);
        }
        self.scaler = scaler;
        task.restore(state)?;
        Ok(step)
    }
}

fn tensors(variables: &[Variable]) -> Vec<Tensor> {
    variables.iter().map(|(_, value)| value.tensor().shallow_clone()).collect()
}

/// What [`Task::state`] gave, as the task's own type.
pub(crate) fn state<T: DeserializeOwned>(state: Value) -> Result<T> {
    serde_json::from_value(state)
        .map_err(|error| Error::Checkpoint { path: "state.json".into(), reason: error.to_string() })
}

/// What a task learns, by name, to be written as weights.
pub fn named(task: &dyn Task) -> Vec<(String, Tensor)> {
    learn::named(task.variables())
}

/// What the moments of a level are called in a checkpoint.
fn moments(level: usize) -> [String; 2] {
    let of = if level == 0 { String::new() } else { format!("{level}") };
    ["first", "second"].map(|name| format!("{name}{of}"))
}

fn torch<T>(result: Result<T, tch::TchError>) -> Result<T> {
    result.map_err(|error| torch::Error::from(error).into())
}

pub(crate) fn number(tensor: &Tensor) -> Result<f64> {
    torch(tensor.f_double_value(&[]))
}

/// Steps per second.
fn pace(steps: u64, elapsed: Duration) -> f64 {
    steps as f64 / elapsed.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests;
