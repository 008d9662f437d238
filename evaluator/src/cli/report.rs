//! `pleach audit report`: counts a run, holds it against gates, writes the report.

use super::open::{code, planned, replayed, report, say};
use anyhow::ensure;
use pleach_console::{ExitCode, Printer, ReportArgs};
use pleach_evaluator::report::SHOWN;
use std::path::PathBuf;

/// The arguments of `pleach audit report`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    gating: GatingArgs,
    /// Folder of the report, which may be published as it is [default: RUN/report]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
}

/// What a report is held against, and what it shows.
#[derive(clap::Args)]
pub struct GatingArgs {
    /// What is demanded (TOML): exit code 1 where it does not hold
    #[arg(long, value_name = "FILE")]
    pub gates: Option<PathBuf>,
    /// The share, 0 to 1, of pictures that may have failed before the audit counts as incomplete
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub max_error_rate: f64,
    /// Most samples, with small pictures, that the page shows; those on which the models differ come first
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    pub samples: usize,
    /// Exit with 0 whatever the gates say
    #[arg(long)]
    pub exit_zero: bool,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    args.gating.check()?;
    let (folder, planned) = planned(&args.run)?;
    let verified = replayed(&folder, &planned, true, printer)?;
    let out = args.out.clone().unwrap_or_else(|| folder.report());
    let (answer, written) = report(&folder, &planned, verified, &args.gating, &out)?;
    let code = if args.report.json {
        printer.json(&answer.audit)?;
        code(&answer)
    } else {
        say(&answer, &written, printer)?
    };
    args.gating.exit(code)
}

impl GatingArgs {
    /// Whether they can be meant.
    pub fn check(&self) -> anyhow::Result<()> {
        let share = self.max_error_rate;
        ensure!((0.0..=1.0).contains(&share), "--max-error-rate is {share}; it is a share, from 0 to 1");
        Ok(())
    }

    /// The exit code that was asked for.
    pub fn exit(&self, code: ExitCode) -> anyhow::Result<ExitCode> {
        Ok(if self.exit_zero { ExitCode::Done } else { code })
    }
}
