//! What the commands about a run have in common.

use super::report::GatingArgs;
use image::RgbImage;
use pleach_console::{ExitCode, Interrupt, Printer, Progress, ResultExt};
use pleach_evaluator::{
    document::{Environment, Verdict},
    report,
    run::{Planned, RunFolder, Stage, Verified, Watch, verify},
    score::{Answer, Question, audit},
};
use pleach_model::files::Sha256;
use pleach_runtime::engine::{Engine, ProviderKind, Providers};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The exit code of an error of this crate.
pub fn classify(error: &anyhow::Error) -> Option<ExitCode> {
    use pleach_evaluator::{instrument, run};
    if let Some(report::Error::File(error)) = error.downcast_ref() {
        return run::is_full(error).then_some(ExitCode::Incomplete);
    }
    if let Some(error) = error.downcast_ref::<run::Error>() {
        return if error.is_integrity() {
            Some(ExitCode::Integrity)
        } else {
            error.is_resumable().then_some(ExitCode::Incomplete)
        };
    }
    error.downcast_ref::<instrument::Error>().filter(|error| error.is_integrity()).map(|_| ExitCode::Integrity)
}

/// The folder of a run that was planned.
pub fn planned(folder: &Path) -> anyhow::Result<(RunFolder, Planned)> {
    let run = RunFolder::new(folder);
    if !run.plan().is_file() {
        return Err(anyhow::anyhow!("{} is not the folder of a run: it has no plan.json", folder.display()))
            .hint("pleach audit plan RECIPE --out RUN writes one");
    }
    let planned = Planned::read(&run)?;
    Ok((run, planned))
}

/// Replays a run and looks whether its pictures are what they should be.
pub fn replayed(run: &RunFolder, planned: &Planned, printer: &Printer) -> anyhow::Result<Verified> {
    with_pictures(verify(run, planned)?, run, printer)
}

/// Looks whether the pictures of a run that was replayed are what they should be.
pub fn with_pictures(verified: Verified, run: &RunFolder, printer: &Printer) -> anyhow::Result<Verified> {
    let mut bar = None;
    let looked = |done, of| bar.get_or_insert_with(|| printer.progress(of, "Checking", "pictures")).set(done);
    Ok(verified.with_pictures(run, looked)?)
}

/// Counts a run and writes its report.
pub fn report(
    run: &RunFolder,
    planned: &Planned,
    verified: Verified,
    gating: &GatingArgs,
    out: &Path,
) -> anyhow::Result<(Answer, PathBuf)> {
    report_on(planned, verified, gating, |picture| run.open_picture(picture).ok(), out)
}

/// The same for what has its pictures from elsewhere.
pub fn report_on(
    planned: &Planned,
    verified: Verified,
    gating: &GatingArgs,
    picture: impl Fn(Sha256) -> Option<RgbImage>,
    out: &Path,
) -> anyhow::Result<(Answer, PathBuf)> {
    let demands = gating.demands()?;
    let Verified { state, checks } = verified;
    let max_error_rate = gating.max_error_rate;
    let answer = audit(Question { planned, state: &state, checks, demands: &demands, max_error_rate })?;
    let shown = |hash: &str| picture(hash.parse().ok()?);
    let folder = report::write(&answer.audit, &answer.samples, &answer.lines, (gating.samples, shown), out)?;
    Ok((answer, folder))
}

/// Says the verdict, in the words of the report.
pub fn say(answer: &Answer, folder: &Path, printer: &Printer) -> anyhow::Result<()> {
    let verdict = &answer.audit.verdict;
    printer.line(format_args!("{}: {}", verdict.status.word(), verdict.reasons.join("; ")))?;
    printer.status("Report", folder.join("index.html").display());
    Ok(())
}

/// Prints the document where JSON was asked for, and says the verdict otherwise.
pub fn tell(answer: &Answer, folder: &Path, json: bool, printer: &Printer) -> anyhow::Result<()> {
    if json { Ok(printer.json(&answer.audit)?) } else { say(answer, folder, printer) }
}

/// The exit code that the verdict says.
pub fn code(verdict: &Verdict) -> ExitCode {
    let codes = [ExitCode::Done, ExitCode::No, ExitCode::Usage, ExitCode::Incomplete, ExitCode::Integrity];
    codes.into_iter().find(|code| *code as u8 == verdict.exit_code).unwrap_or(ExitCode::Integrity)
}

/// What draws and looks on this machine.
pub fn environment(engine: &Engine, providers: &Providers) -> Environment {
    let mut names: Vec<String> = providers.list().iter().map(|provider| provider.kind().to_string()).collect();
    if names.is_empty() {
        names.push(ProviderKind::Cpu.to_string());
    }
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    Environment {
        pleach: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("PLEACH_COMMIT").map(str::to_owned),
        onnxruntime: engine.dylib().version.clone(),
        providers: names,
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        processor,
    }
}

/// Shows how a run goes on, and stops it.
pub struct Watching {
    printer: Printer,
    interrupt: Interrupt,
    until: Option<Instant>,
    bar: Option<Progress>,
    begun: Option<(Stage, Instant)>,
    spent: [(Duration, u64); 2],
}

impl Watching {
    /// Stops at an interrupt, or when `limit` is over.
    pub fn new(printer: &Printer, interrupt: Interrupt, limit: Option<Duration>) -> Self {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        Self { printer: printer.clone(), interrupt, until, bar: None, begun: None, spent: [(Duration::ZERO, 0); 2] }
    }

    /// Seconds and pictures of drawing and looking.
    pub fn finish(mut self) -> [(Duration, u64); 2] {
        self.settle();
        self.spent
    }

    fn settle(&mut self) {
        if let Some((stage, begun)) = self.begun.take() {
            self.spent[usize::from(stage == Stage::Look)].0 += begun.elapsed();
        }
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}

impl Watch for Watching {
    fn begin(&mut self, stage: Stage, who: &str, count: u64) {
        self.settle();
        let (verb, unit) = match stage {
            Stage::Draw => ("Drawing", "pictures"),
            Stage::Look => ("Looking", "pictures"),
        };
        let bar = self.printer.progress(count, verb, unit);
        bar.message(who.to_owned());
        (self.bar, self.begun) = (Some(bar), Some((stage, Instant::now())));
    }

    fn done(&mut self, count: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(count);
        }
        if let Some((stage, _)) = self.begun {
            self.spent[usize::from(stage == Stage::Look)].1 += count;
        }
    }

    fn stopped(&mut self) -> bool {
        self.interrupt.requested() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}
