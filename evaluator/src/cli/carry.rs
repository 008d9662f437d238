//! `pleach audit run`: draws and looks, as far as it is not done.

use super::{
    open::{Watching, environment, planned, report, say, with_pictures},
    report::GatingArgs,
};
use anyhow::bail;
use clap::ValueEnum;
use pleach_console::{ExitCode, Interrupt, Printer, human};
use pleach_evaluator::run::{self, Arm, Means, Shard, Stage, Told, carry_out, verify};
use pleach_runtime::{
    args::{ProviderArgs, RuntimeArgs, open_bundle},
    engine::Engine,
};
use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

/// The arguments of `pleach audit run`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run, which `pleach audit plan` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Which part of the run this process does, from 0: 0/4 is the first of four [default: what torchrun, Slurm or a Kubernetes indexed job (with PLEACH_SHARDS) says; else all of it]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Only draw, or only look at what is drawn
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// Pictures that are drawn before their records are written; results do not depend on it
    #[arg(long, value_name = "N", default_value = "4")]
    batch: NonZeroUsize,
    /// Stop after so long; the same command goes on
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// The audited bundle, where it lies elsewhere than when the run was planned
    #[arg(long, value_name = "BUNDLE")]
    subject: Option<String>,
    /// The baseline, where it lies elsewhere
    #[arg(long, value_name = "BUNDLE")]
    baseline: Option<String>,
    #[command(flatten)]
    gating: GatingArgs,
    /// Write no report when everything is done
    #[arg(long)]
    no_report: bool,
    #[command(flatten)]
    runtime: RuntimeArgs,
    #[command(flatten)]
    provider: ProviderArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum StageName {
    Draw,
    Look,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (folder, plan) = planned(&args.run)?;
    args.gating.check(&plan)?;
    let shard = shard(args, printer)?;
    let providers = args.provider.providers()?;
    let engine = Engine::start(&args.runtime.engine())?;
    let bundle = |arm: Arm| -> run::Result<_> {
        let (moved, planned) = match arm {
            Arm::Subject => (&args.subject, Some(&plan.plan.subject)),
            Arm::Baseline => (&args.baseline, plan.plan.baseline.as_ref()),
        };
        let source = moved.clone().or_else(|| planned.map(|planned| planned.source.clone())).unwrap_or_default();
        Ok(open_bundle(&source, printer)?)
    };
    let options = args.runtime.options(providers);
    let stage = args.stage.map(|stage| match stage {
        StageName::Draw => Stage::Draw,
        StageName::Look => Stage::Look,
    });
    let means = Means {
        engine: &engine,
        bundle: &bundle,
        environment: environment(&engine, &options.providers),
        options,
        batch: args.batch,
        stage,
    };
    let limit = args.time_limit.map(Duration::from_secs);
    let mut watching = Watching::new(printer, Interrupt::install(printer)?, limit);
    let result = carry_out(&folder, &plan, shard, &means, &mut watching);
    let spent = watching.finish();
    rates(&spent, printer);
    match result {
        Err(run::Error::Stopped) => {
            printer.warn("stopped; the same command goes on");
            return Ok(ExitCode::Incomplete);
        }
        other => other?,
    }
    let verified = verify(&folder, &plan)?;
    if !verified.state.is_complete() {
        printer.status("Done", format_args!("shard {shard}"));
        return Ok(ExitCode::Done);
    }
    if args.no_report {
        printer.status("Done", "everything is drawn and looked at");
        return Ok(ExitCode::Done);
    }
    let out = folder.report();
    let verified = with_pictures(verified, &folder, printer)?;
    let (answer, written) = report(&folder, &plan, verified, &args.gating, &out)?;
    say(&answer, &written, printer)?;
    Ok(args.gating.exit(&answer))
}

fn shard(args: &Args, printer: &Printer) -> anyhow::Result<Shard> {
    if let Some(shard) = args.shard {
        return Ok(shard);
    }
    Ok(match Shard::told(|name| std::env::var(name).ok()) {
        Told::By(scheduler, shard) => {
            printer.note(format_args!("{scheduler} says that this is shard {shard}"));
            shard
        }
        Told::Unfinished { index } => bail!(
            "this is pod {index} of an indexed job, and nobody says of how many: set PLEACH_SHARDS, or give --shard {index}/N"
        ),
        Told::Nothing => Shard::WHOLE,
    })
}

/// How long drawing and looking took.
fn rates(spent: &[(Duration, u64); 2], printer: &Printer) {
    for ((duration, count), verb) in spent.iter().zip(["Drew", "Looked at"]) {
        if *count > 0 {
            let rate = *count as f64 / duration.as_secs_f64().max(1e-9);
            printer.status(
                verb,
                format_args!(
                    "{} pictures in {} ({rate:.2} a second)",
                    human::exact(*count),
                    human::duration(*duration)
                ),
            );
        }
    }
}
