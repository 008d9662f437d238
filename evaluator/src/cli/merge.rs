//! `pleach audit merge`: the shards of several machines, made one run.

use pleach_console::{ExitCode, Printer, human};
use pleach_evaluator::run::{RunFolder, merge};
use std::path::PathBuf;

/// The arguments of `pleach audit merge`.
#[derive(clap::Args)]
pub struct Args {
    /// Folders of runs of one plan, each with some of its shards
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Folder of the whole run
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let runs: Vec<RunFolder> = args.runs.iter().map(RunFolder::new).collect();
    let (planned, state) = merge(&runs, &args.out)?;
    printer.status(
        "Merged",
        format_args!(
            "{} shards of {} samples: disjoint and complete",
            state.ended.len(),
            human::exact(planned.plan.count)
        ),
    );
    printer.status("Next", format_args!("pleach audit report {}", args.out.display()));
    Ok(ExitCode::Done)
}
