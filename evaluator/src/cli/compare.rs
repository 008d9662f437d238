//! `pleach audit compare`: the subjects of two runs, sample by sample.

use super::{
    open::{planned, replayed, report_on, tell},
    report::GatingArgs,
};
use pleach_console::{ExitCode, Printer, ReportArgs};
use pleach_evaluator::run::{Verified, compare};
use std::path::PathBuf;

/// The arguments of `pleach audit compare`.
#[derive(clap::Args)]
pub struct Args {
    /// The run whose subject is compared with
    #[arg(value_name = "RUN")]
    first: PathBuf,
    /// The run whose subject is audited; it has the same samples
    #[arg(value_name = "OTHER")]
    second: PathBuf,
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
    let (first_run, first) = planned(&args.first)?;
    let (second_run, second) = planned(&args.second)?;
    args.gating.check(&second)?;
    let before = replayed(&first_run, &first, printer)?;
    let Verified { state, checks } = replayed(&second_run, &second, printer)?;
    let (plan, state) = compare((&first, &before.state), (&second, &state))?;
    let pictures = |picture| first_run.open_picture(picture).or_else(|_| second_run.open_picture(picture)).ok();
    let (answer, written) = report_on(&plan, Verified { state, checks }, &args.gating, pictures, &args.out)?;
    tell(&answer, &written, args.report.json, printer)?;
    Ok(args.gating.exit(&answer))
}
