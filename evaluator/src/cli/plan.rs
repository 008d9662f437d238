//! `pleach audit plan`: what an audit will draw and look at, fixed before the first picture.

use anyhow::bail;
use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table, human, recipe};
use pleach_evaluator::run::{self, Makings, Planned, Recipe, RunFolder};
use pleach_runtime::{
    args::{RuntimeArgs, open_bundle},
    engine::Engine,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The arguments of `pleach audit plan`.
#[derive(clap::Args)]
pub struct Args {
    /// What to audit: bundles, prompts, protocols and instruments (TOML)
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    /// Folder of the run
    #[arg(long, short, value_name = "RUN")]
    out: PathBuf,
    /// Change one key of the recipe; the value is TOML, or else a string
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
    suites: Vec<&'a pleach_evaluator::document::SuiteInfo>,
    warnings: &'a [String],
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
    let makings = Makings { engine: &engine, open: &open, progress: &progress, folder };
    let (planned, warnings) = Planned::build(&asked, &makings, &run)?;
    for warning in &warnings {
        printer.warn(warning);
    }
    let plan = &planned.plan;
    let drawn = planned.samples.iter().filter(|sample| sample.skipped.is_none()).count() as u64;
    let pictures = drawn * plan.arms().len() as u64;
    if args.report.json {
        let suites = plan.suites.iter().map(|suite| &suite.info).collect();
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
        ("measures", Align::Left),
    ];
    let mut table = Table::new(columns);
    for suite in &planned.plan.suites {
        let info = &suite.info;
        let measures: Vec<&str> = suite.protocol.measures.iter().map(|measure| measure.name.as_str()).collect();
        table.row([
            info.name.clone(),
            info.protocol.clone(),
            human::exact(info.rows),
            human::exact(info.drawn),
            human::exact(info.prompts),
            human::exact(info.skipped),
            suite.drawing.steps.to_string(),
            measures.join(", "),
        ]);
    }
    printer.table(&table)?;
    Ok(())
}
