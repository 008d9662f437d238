//! Doing the steps: several cells at a time, each step once.

use super::{
    Cell, Error, Plan, ProgramInfo, Programs, Record, Result, Step, StepKind, Store, Work,
    command::{Running, fresh},
};
use crate::{
    document::Environment,
    report,
    run::{self, Arm, Makings, Planned, RunFolder, Shard, Stage, Verified, carry_out, verify},
    score::{Question, audit},
};
use pleach_model::files::Sha256;
use pleach_runtime::{bundle::Bundle, engine::Engine, pipeline::Options};
use std::{
    collections::HashMap,
    fs::{self, File},
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

/// What a study is conducted with.
pub struct Means<'m> {
    /// ONNX Runtime.
    pub engine: &'m Engine,
    /// Opens a bundle: a folder, or an id of Hugging Face.
    pub open: &'m (dyn Fn(&str) -> run::Result<Bundle> + Sync),
    /// How pipelines are opened.
    pub options: Options,
    /// What draws and looks, for the record.
    pub environment: Environment,
    /// Pictures that are drawn before their records are written.
    pub batch: NonZeroUsize,
    /// The programs that train and export.
    pub programs: &'m Programs,
    /// Where paths of the recipe begin.
    pub folder: &'m Path,
}

/// Hears how a study goes on, from several threads, and may stop it.
pub trait Watch: Sync {
    /// A step begins.
    fn begin(&self, step: &Step);

    /// A step is done, now or before.
    fn done(&self, step: &Step);

    /// A step failed.
    fn failed(&self, step: &Step, error: &Error);

    /// Whether to stop: running commands are ended.
    fn stopped(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Watch for () {
    fn begin(&self, _: &Step) {}

    fn done(&self, _: &Step) {}

    fn failed(&self, _: &Step, _: &Error) {}
}

/// Does the steps of the cells of a shard, as far as they are not done, `jobs` cells at a time. A cell that fails does not keep others
/// from being done; what failed in an earlier call is tried again.
///
/// # Errors
/// [`Error::Stopped`]: the same call goes on.
pub fn conduct(
    plan: &Plan,
    store: &Store,
    means: &Means<'_>,
    jobs: NonZeroUsize,
    shard: Shard,
    watch: &dyn Watch,
) -> Result<()> {
    let cells: Vec<&Cell> = (0..).zip(&plan.cells).filter(|(i, _)| shard.holds(*i)).map(|(_, cell)| cell).collect();
    let next = AtomicUsize::new(0);
    let conductor = Conductor { store, means, watch, over: Mutex::default() };
    thread::scope(|scope| {
        for _ in 0..jobs.get().min(cells.len()) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if watch.stopped() {
                        break;
                    }
                    // What went wrong is in the store, where the report finds it.
                    let _ = conductor.ensure(&cell.compare);
                }
            });
        }
    });
    if watch.stopped() { Err(Error::Stopped) } else { Ok(()) }
}

struct Conductor<'c> {
    store: &'c Store,
    means: &'c Means<'c>,
    watch: &'c dyn Watch,
    /// Steps that are over in this call: whether they are done, or else why not.
    over: Mutex<HashMap<Sha256, Option<String>>>,
}

impl Conductor<'_> {
    fn known(&self, step: &Step) -> Option<Result<()>> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        over.get(&step.key).map(|failure| match failure {
            None => Ok(()),
            Some(failure) => Err(Error::Needed(failure.clone())),
        })
    }

    fn is_over(&self, step: &Step, failure: Option<String>) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).insert(step.key, failure);
    }

    /// Does a step, and before it what it needs.
    fn ensure(&self, step: &Arc<Step>) -> Result<()> {
        if let Some(known) = self.known(step) {
            return known;
        }
        if !self.store.is_done(step.key) {
            step.needs.iter().try_for_each(|need| self.ensure(need))?;
        }
        let held = self.store.lock(step.key, || self.watch.stopped());
        let Some(held) = held.inspect_err(|error| self.watch.failed(step, error))? else { return Err(Error::Stopped) };
        if let Some(known) = self.known(step) {
            return known;
        }
        if self.watch.stopped() {
            return Err(Error::Stopped);
        }
        let result = if self.store.is_done(step.key) { Ok(()) } else { self.attempt(step, &held) };
        match &result {
            Ok(()) => {
                self.is_over(step, None);
                self.watch.done(step);
            }
            Err(Error::Stopped) => {}
            Err(error) => {
                self.is_over(step, Some(format!("{} ({}): {error}", step.name, kind(step.kind))));
                self.watch.failed(step, error);
            }
        }
        result
    }

    /// Does it, and keeps what it made, or else its log.
    fn attempt(&self, step: &Arc<Step>, held: &File) -> Result<()> {
        self.watch.begin(step);
        let partial = self.store.partial(step.key);
        let program = match &step.work {
            Work::Command { program, .. } => self.means.programs.info(*program)?.clone(),
            _ => ProgramInfo::own(),
        };
        let mut record = Record::of(step, program);
        let begun = Instant::now();
        let result = match &step.work {
            Work::Command { program, arguments, recipe } => {
                fresh(&partial)?;
                let (program, recipe) = (*program, recipe.as_ref());
                let running = Running { program, arguments, recipe, folder: &partial, held };
                running.run(self.means.programs, &|| self.watch.stopped(), &mut record)
            }
            Work::Draw(recipe) => self.draw(recipe, &partial),
            Work::Compare(baseline, subject) => {
                fresh(&partial)?;
                self.compare(baseline, subject, &partial.join("out"))
            }
        };
        if record.seconds == 0.0 {
            record.seconds = begun.elapsed().as_secs_f64();
        }
        match result {
            Err(Error::Stopped) => Err(Error::Stopped),
            Err(error) => {
                record.failure = Some(error.to_string());
                fs::create_dir_all(&partial).map_err(|source| Error::Io { path: partial.clone(), source })?;
                self.store.settle(step.key, &record)?;
                Err(error)
            }
            Ok(()) => {
                if !matches!(step.work, Work::Command { .. }) {
                    record.exit_code = Some(0);
                }
                self.store.settle(step.key, &record)
            }
        }
    }

    /// Plans, draws and looks; goes on where it was stopped.
    fn draw(&self, recipe: &run::Recipe, partial: &Path) -> Result<()> {
        let run = RunFolder::new(partial.join("out"));
        let means = self.means;
        let planned = if run.plan().is_file() {
            Planned::read(&run)?
        } else {
            fresh(partial)?;
            let progress = |_: &str, _: u64, _: u64| {};
            let makings = Makings {
                engine: means.engine,
                open: means.open,
                progress: &progress,
                folder: means.folder,
                baseline_elsewhere: true,
            };
            Planned::build(recipe, &makings, &run)?.0
        };
        let bundle = |_: Arm| (means.open)(&planned.plan.subject.source);
        let of_run = run::Means {
            engine: means.engine,
            bundle: &bundle,
            options: means.options.clone(),
            environment: means.environment.clone(),
            batch: means.batch,
            stage: None,
        };
        carry_out(&run, &planned, Shard::WHOLE, &of_run, &mut Stopping(self.watch))?;
        Ok(())
    }

    /// Holds the pictures of a model against those of the start, and writes the report of that.
    fn compare(&self, baseline: &Step, subject: &Step, out: &Path) -> Result<()> {
        let [first, second] = [baseline, subject].map(|step| RunFolder::new(self.store.out(step.key)));
        let (a, b) = (Planned::read(&first)?, Planned::read(&second)?);
        let before = verify(&first, &a)?.with_pictures(&first, |_, _| {})?;
        let Verified { state, checks } = verify(&second, &b)?.with_pictures(&second, |_, _| {})?;
        let (planned, state) = run::compare((&a, &before.state), (&b, &state))?;
        let answer = audit(Question { planned: &planned, state: &state, checks, demands: &[], max_error_rate: 0.0 })?;
        let open = |picture: Sha256| first.open_picture(picture).or_else(|_| second.open_picture(picture)).ok();
        let shown = |hash: &str| open(hash.parse().ok()?);
        report::write(&answer.audit, &answer.samples, &answer.lines, (report::SHOWN, shown), out)?;
        Ok(())
    }
}

/// What a step is for, in a word.
pub fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Prepare => "prepare",
        StepKind::Train => "train",
        StepKind::Export => "export",
        StepKind::Draw => "draw",
        StepKind::Compare => "compare",
    }
}

/// Stops a run when the study is stopped.
struct Stopping<'w>(&'w dyn Watch);

impl run::Watch for Stopping<'_> {
    fn begin(&mut self, _: Stage, _: &str, _: u64) {}

    fn done(&mut self, _: u64) {}

    fn stopped(&mut self) -> bool {
        self.0.stopped()
    }
}
