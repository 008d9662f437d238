//! `pleach audit rescore`: other thresholds, labels or measures on what was drawn and seen already.

use super::{
    open::{planned, replayed, report, tell},
    report::GatingArgs,
};
use pleach_console::{ExitCode, Printer, ReportArgs};
use pleach_evaluator::protocol::Protocol;
use std::path::PathBuf;

/// The arguments of `pleach audit rescore`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The suite that is measured otherwise
    #[arg(long, value_name = "NAME")]
    suite: String,
    /// The protocol whose measures count: a preset, or a file
    #[arg(long, value_name = "ID|FILE")]
    protocol: String,
    #[command(flatten)]
    gating: GatingArgs,
    /// Folder of the report
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (folder, before) = planned(&args.run)?;
    let planned = before.measured_by(&args.suite, &Protocol::open(&args.protocol)?)?;
    args.gating.check(&planned)?;
    let verified = replayed(&folder, &before, printer)?;
    let (answer, written) = report(&folder, &planned, verified, &args.gating, &args.out)?;
    tell(&answer, &written, args.report.json, printer)?;
    Ok(args.gating.exit(&answer))
}
