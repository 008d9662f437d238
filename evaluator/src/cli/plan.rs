//! `pleach audit plan`: what an audit will draw and look at, fixed before the first picture.

use anyhow::bail;
use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table, human, recipe};
use pleach_evaluator::{
    document::SuiteInfo,
    run::{self, Makings, Planned, Recipe, RunFolder},
    stats::{detectable_difference, detectable_rate},
};
use pleach_runtime::{
    args::{RuntimeArgs, open_bundle},
    engine::Engine,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a recipe is, for the help.
const EXAMPLE: &str = r#"A recipe; paths in it start in its folder:
  title = "Stripes suppressed"
  subject = "bundle"                     # what is audited; a folder or a Hugging Face id
  baseline = "base-bundle"               # what it is compared with, if anything

  [instrument.judge]                     # what looks, by the name that the protocol has for it
  folder = "judge"

  [[suite]]
  name = "striped"
  prompts = "asked.jsonl"
  protocol = "small-world-suppressed"    # `pleach audit protocols` lists them

Then: pleach audit run RUN"#;

/// The arguments of `pleach audit plan`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// What to audit: bundles, prompts, protocols and instruments (TOML)
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    /// Folder of the run
    #[arg(long, short, value_name = "RUN")]
    out: PathBuf,
    /// Change one key of the recipe, such as suite.0.rows=100; the value is TOML, or else a string
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<recipe::Override>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    run: &'a Path,
    plan: String,
    samples: u64,
    pictures: u64,
    suites: Vec<SuiteReport<'a>>,
    warnings: &'a [String],
}

/// A suite, and what its number of prompts can show.
#[derive(Serialize)]
struct SuiteReport<'a> {
    #[serde(flatten)]
    info: &'a SuiteInfo,
    power: Power,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let asked: Recipe = recipe::load(Some(&args.recipe), &args.set)?;
    let run = RunFolder::new(&args.out);
    if run.plan().exists() {
        bail!(
            "{} holds a plan already: a plan is fixed before the first picture; give another folder",
            args.out.display()
        );
    }
    let engine = Engine::start(&args.runtime.engine())?;
    let open = |source: &str| open_bundle(source, printer).map_err(run::Error::from);
    let copies = printer.copies("Fetching");
    let progress = |file: &str, position, total| copies.update(file, position, total);
    let folder = args.recipe.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let makings = Makings { engine: &engine, open: &open, progress: &progress, folder, baseline_elsewhere: false };
    let (planned, warnings) = Planned::build(&asked, &makings, &run)?;
    for warning in &warnings {
        printer.warn(warning);
    }
    let plan = &planned.plan;
    let drawn = planned.samples.iter().filter(|sample| sample.skipped.is_none()).count() as u64;
    let pictures = drawn * plan.arms().len() as u64;
    if args.report.json {
        let of = |info| Ok(SuiteReport { info, power: Power::of(info.prompts)? });
        let suites = plan.suites.iter().map(|suite| of(&suite.info)).collect::<anyhow::Result<_>>()?;
        let (run, samples) = (run.path(), plan.count);
        printer.json(&Report {
            run,
            plan: planned.sha256.to_string(),
            samples,
            pictures,
            suites,
            warnings: &warnings,
        })?;
    } else {
        print(&planned, printer)?;
        let models = if plan.baseline.is_some() { "both models" } else { "one model" };
        printer.status("Planned", format_args!("{} pictures by {models}", human::exact(pictures)));
        printer.status("Next", format_args!("pleach audit run {}", args.out.display()));
    }
    Ok(ExitCode::Done)
}

fn print(planned: &Planned, printer: &Printer) -> anyhow::Result<()> {
    let columns = [
        ("suite", Align::Left),
        ("protocol", Align::Left),
        ("rows", Align::Right),
        ("drawn", Align::Right),
        ("prompts", Align::Right),
        ("skipped", Align::Right),
        ("steps", Align::Right),
        ("rate seen", Align::Right),
        ("difference found", Align::Right),
    ];
    let mut table = Table::new(columns);
    for suite in &planned.plan.suites {
        let info = &suite.info;
        let power = Power::of(info.prompts)?;
        table.row([
            info.name.clone(),
            info.protocol.clone(),
            human::exact(info.rows),
            human::exact(info.drawn),
            human::exact(info.prompts),
            human::exact(info.skipped),
            suite.drawing.steps.to_string(),
            power.rate.map_or_else(String::new, share),
            power.difference.map_or_else(String::new, share),
        ]);
    }
    printer.table(&table)?;
    printer.note(
        "rate seen: the smallest of which a picture is seen at all in 4 audits of 5; difference found: the smallest between the models \
         that is told from chance in 4 of 5, where they disagree about a fifth of the prompts",
    );
    Ok(())
}

/// What so many prompts can show.
#[derive(Clone, Copy, Serialize)]
struct Power {
    rate: Option<f64>,
    difference: Option<f64>,
}

impl Power {
    const LEVEL: f64 = 0.05;
    const POWER: f64 = 0.8;
    /// Share of prompts about which two models disagree.
    const DISCORDANCE: f64 = 0.2;

    fn of(prompts: u64) -> anyhow::Result<Self> {
        let prompts = u32::try_from(prompts).unwrap_or(u32::MAX);
        Ok(Self {
            rate: detectable_rate(prompts, 0.0, Self::LEVEL, Self::POWER)?,
            difference: detectable_difference(prompts, Self::DISCORDANCE, Self::LEVEL, Self::POWER)?,
        })
    }
}

fn share(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
