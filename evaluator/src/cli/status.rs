//! `pleach audit status`: how far a run is.

use super::open::planned;
use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table, human};
use pleach_evaluator::run::{Planned, Shard, State, draws, looks, missing_shards};
use serde::Serialize;
use std::path::PathBuf;

/// The arguments of `pleach audit status`.
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
    shards: Vec<ShardReport>,
}

#[derive(Serialize)]
struct ShardReport {
    shard: String,
    done: bool,
    drawn: u64,
    pictures: u64,
    /// What instruments have still to look at, of what is drawn.
    to_look: u64,
}

/// Runs the command: 0 where everything is done, 3 where something is left.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let (folder, planned) = planned(&args.run)?;
    let state = State::of_run(&folder, &planned)?;
    let count = state.journals.keys().next().map_or(1, |shard| shard.count);
    let shards = (0..count).map(|index| of_shard(&planned, &state, Shard { index, count })).collect();
    let complete = !state.journals.is_empty() && missing_shards(&state).is_empty();
    let report = Report { complete, shards };
    if args.report.json {
        printer.json(&report)?;
    } else {
        let columns = [
            ("shard", Align::Left),
            ("drawn", Align::Right),
            ("of", Align::Right),
            ("to look at", Align::Right),
            ("", Align::Left),
        ];
        let mut table = Table::new(columns);
        for shard in &report.shards {
            let done = if shard.done { "done" } else { "" };
            let [drawn, of, look] = [shard.drawn, shard.pictures, shard.to_look].map(human::exact);
            table.row([shard.shard.clone(), drawn, of, look, done.to_owned()]);
        }
        printer.table(&table)?;
    }
    Ok(if complete { ExitCode::Done } else { ExitCode::Incomplete })
}

fn of_shard(planned: &Planned, state: &State, shard: Shard) -> ShardReport {
    let pictures = draws(planned, shard, &State::default()).len() as u64;
    let left = draws(planned, shard, state).len() as u64;
    let to_look = planned.plan.instruments.keys().map(|name| looks(planned, shard, state, name).len() as u64).sum();
    ShardReport {
        shard: shard.to_string(),
        done: state.ended.contains(&shard),
        drawn: pictures - left,
        pictures,
        to_look,
    }
}
