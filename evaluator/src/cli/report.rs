//! `pleach audit report`: counts a run, holds it against gates, writes the report.

use super::open::{code, planned, replayed, report, tell};
use anyhow::ensure;
use pleach_console::{ExitCode, Printer, ReportArgs};
use pleach_evaluator::{
    gate::{self, Demand},
    report::SHOWN,
    run::Planned,
    score::Answer,
};
use std::path::PathBuf;

/// What gates are, for the help.
const EXAMPLE: &str = r#"Gates:
  [[gate]]
  name = "stripes are gone"
  metric = "striped/style"               # SUITE/MEASURE
  rule = "bound"                         # the bad end of the 95 % interval; or point, or non_inferior with a margin
  at_most = 0.15

Exit code 0: every gate holds; 1: one does not; 3: not complete; 4: a file is not what the run says"#;

/// The arguments of `pleach audit report`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
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
    /// Report what the gates say, and exit as if there were none
    #[arg(long)]
    pub exit_zero: bool,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (folder, planned) = planned(&args.run)?;
    args.gating.check(&planned)?;
    let verified = replayed(&folder, &planned, printer)?;
    let out = args.out.clone().unwrap_or_else(|| folder.report());
    let (answer, written) = report(&folder, &planned, verified, &args.gating, &out)?;
    tell(&answer, &written, args.report.json, printer)?;
    Ok(args.gating.exit(&answer))
}

impl GatingArgs {
    /// Whether they can be meant, before hours are spent on what they are about.
    pub fn check(&self, planned: &Planned) -> anyhow::Result<()> {
        let share = self.max_error_rate;
        ensure!((0.0..=1.0).contains(&share), "--max-error-rate is {share}; it is a share, from 0 to 1");
        let suites = planned.plan.suites.iter();
        let known: Vec<String> = suites
            .flat_map(|suite| {
                let measures = suite.protocol.measures.iter();
                measures.map(|measure| format!("{}/{}", suite.info.name, measure.name))
            })
            .collect();
        for Demand { name, metric, .. } in self.demands()? {
            if !known.contains(&metric) {
                return Err(gate::Error::NoMetric { name, metric, known }.into());
            }
        }
        Ok(())
    }

    /// What the gates' file demands.
    pub fn demands(&self) -> gate::Result<Vec<Demand>> {
        self.gates.as_deref().map(Demand::read).transpose().map(Option::unwrap_or_default)
    }

    /// The exit code that was asked for.
    pub fn exit(&self, answer: &Answer) -> ExitCode {
        code(if self.exit_zero { &answer.ungated } else { &answer.audit.verdict })
    }
}
