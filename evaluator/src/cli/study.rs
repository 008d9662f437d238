//! `pleach audit study`: methods beside each other, trained, exported and audited.

use super::open::environment;
use pleach_console::{Align, ExitCode, Interrupt, Printer, Progress, ReportArgs, Table, recipe};
use pleach_evaluator::{
    report::study as report,
    run::{self, Shard},
    study::{
        CellStatus, Error, Means, Plan, Programs, Recipe, RowValue, Step, Store, Study, StudyStatus, Watch, collect,
        conduct,
    },
};
use pleach_runtime::{
    args::{ProviderArgs, RuntimeArgs, open_bundle},
    engine::Engine,
};
use std::{
    collections::HashSet,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The arguments of `pleach audit study`.
#[derive(clap::Args)]
pub struct Args {
    /// Methods, concepts, training seeds, and how they are audited (TOML)
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    /// Folder of the study: its steps, and its report; the same command goes on
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Change one key of the recipe, such as variables.steps=100; the value is TOML, or else a string
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<recipe::Override>,
    /// Cells that are done at the same time
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// Which part of the cells this process does, from 0: 0/4 is the first of four
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder of pleach-train and pleach-export [default: beside this program, then $PATH]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Pictures that are drawn before their records are written; results do not depend on it
    #[arg(long, value_name = "N", default_value = "4")]
    batch: NonZeroUsize,
    /// Only say what there is to do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    runtime: RuntimeArgs,
    #[command(flatten)]
    provider: ProviderArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command: 0 where every cell is done, 1 where cells failed, 3 where cells are not done yet.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let asked: Recipe = recipe::load(Some(&args.recipe), &args.set)?;
    let folder = args.recipe.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::path::absolute(folder)?;
    let store = Store::new(&args.out);
    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let plan = Plan::build(asked, &folder, &store)?;
    let mine = (0..).zip(&plan.cells).filter(|(index, _)| shard.holds(*index)).map(|(_, cell)| cell);
    let steps = Plan::steps(mine);
    let left: Vec<_> = steps.iter().filter(|step| !store.is_done(step.key)).collect();
    if args.dry_run {
        for step in &left {
            printer.line(format_args!("{} {:?} {}", step.key, step.kind, step.name))?;
        }
        printer.status("Planned", format_args!("{} of {} steps are left", left.len(), steps.len()));
        return Ok(if left.is_empty() { ExitCode::Done } else { ExitCode::Incomplete });
    }
    if !left.is_empty() {
        let watching = Watching {
            printer: printer.clone(),
            bar: printer.progress(left.len() as u64, "Studying", "steps"),
            left: Mutex::new(left.iter().map(|step| step.key).collect()),
            interrupt: Interrupt::install(printer)?,
        };
        match carry_out(args, &plan, &store, &folder, shard, &watching, printer) {
            Err(Error::Stopped) => printer.warn("stopped; the same command goes on"),
            other => other?,
        }
    }
    let study = collect(&plan, &store)?;
    let written = report::write(&study, &store.report())?;
    if args.report.json {
        printer.json(&study)?;
    } else {
        print(&study, printer)?;
        printer.status("Report", written.join("index.html").display());
    }
    Ok(match study.status {
        StudyStatus::Complete => ExitCode::Done,
        StudyStatus::Failed => ExitCode::No,
        StudyStatus::Incomplete => ExitCode::Incomplete,
    })
}

fn carry_out(
    args: &Args,
    plan: &Plan,
    store: &Store,
    folder: &Path,
    shard: Shard,
    watching: &Watching,
    printer: &Printer,
) -> Result<(), Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Asked(error.to_string());
    let providers = args.provider.providers().map_err(|error| wrong(&error))?;
    let mut engine = args.runtime.engine();
    engine.threads = engine.threads.or(plan.recipe.threads);
    let engine = Engine::start(&engine).map_err(|error| wrong(&error))?;
    let programs = Programs::find(args.programs.as_deref(), &plan.programs(), plan.recipe.threads)?;
    let open = |source: &str| open_bundle(source, printer).map_err(run::Error::from);
    let options = args.runtime.options(providers);
    let means = Means {
        engine: &engine,
        open: &open,
        environment: environment(&engine, &options.providers),
        options,
        batch: args.batch,
        programs: &programs,
        folder,
    };
    conduct(plan, store, &means, args.jobs, shard, watching)
}

fn print(study: &Study, printer: &Printer) -> anyhow::Result<()> {
    let mut columns = vec![("", Align::Left)];
    columns.extend(study.columns.iter().map(|column| (column.name.as_str(), Align::Right)));
    columns.extend([("cells", Align::Right), ("seconds", Align::Right)]);
    let mut table = Table::new(columns);
    for row in study.rows.iter().filter(|row| row.concept.is_none()) {
        let value = |column: &str| {
            let found: Option<&RowValue> = row.values.iter().find(|value| value.column == column);
            found.and_then(|value| value.estimate.as_ref()).map_or_else(String::new, |e| format!("{:.4}", e.value))
        };
        let mut cells = vec![row.method.clone()];
        cells.extend(study.columns.iter().map(|column| value(&column.name)));
        cells.push(format!("{} of {}", row.done, row.cells));
        cells.push(row.seconds.map_or_else(String::new, |seconds| format!("{seconds:.0}")));
        table.row(cells);
    }
    printer.table(&table)?;
    for cell in study.cells.iter().filter(|cell| cell.status == CellStatus::Failed) {
        let why = cell.failure.as_deref().and_then(|failure| failure.lines().next()).unwrap_or_default();
        printer.warn(format_args!("{}, {}, seed {}: {why}", cell.method, cell.concept, cell.seed));
    }
    Ok(())
}

/// Shows how a study goes on, and stops it.
struct Watching {
    printer: Printer,
    bar: Progress,
    left: Mutex<HashSet<pleach_model::files::Sha256>>,
    interrupt: Interrupt,
}

impl Watching {
    fn over(&self, step: &Step) {
        if self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(&step.key) {
            self.bar.inc(1);
        }
    }
}

impl Watch for Watching {
    fn begin(&self, step: &Step) {
        self.bar.message(format!("{:?}: {}", step.kind, step.name));
    }

    fn done(&self, step: &Step) {
        self.over(step);
    }

    fn failed(&self, step: &Step, error: &Error) {
        self.over(step);
        self.printer.warn(format_args!("{:?} of {}: {error}", step.kind, step.name));
    }

    fn stopped(&self) -> bool {
        self.interrupt.requested()
    }
}
