//! `pleach audit verify`: whether a run is what its journals say.

use super::open::{planned, replayed};
use pleach_console::{ExitCode, Printer, ReportArgs};
use pleach_evaluator::run::missing_shards;
use serde::Serialize;
use std::path::PathBuf;

/// The arguments of `pleach audit verify`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    complete: bool,
    checks: Vec<String>,
}

/// Runs the command: 0 where all is well, 3 where it is and something is left to do, 4 where it is not.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (folder, planned) = planned(&args.run)?;
    let verified = replayed(&folder, &planned, printer)?;
    let missing = missing_shards(&verified.state);
    let complete = missing.is_empty() && !verified.state.journals.is_empty();
    if args.report.json {
        printer.json(&Report { complete, checks: verified.checks })?;
    } else {
        for check in &verified.checks {
            printer.line(format_args!("ok: {check}"))?;
        }
        if !complete {
            printer.note(format_args!("{} shards are not done", missing.len()));
        }
    }
    Ok(if complete { ExitCode::Done } else { ExitCode::Incomplete })
}
