//! A family of the small world in every precision: size of its files, what a step takes, what its pictures lose against single precision, and
//! whether the judge still sees the same in them.
//!
//! The family is exported once for each precision. Every bundle draws the same prompts from the same noise, each by the expert that the
//! router chooses; then the experts of all bundles take turns, step by step, in one process.
//!
//! With `--network sd21` it is Stable Diffusion 2.1's UNet with random weights, of which there are no pictures, see [`large`].

mod drawn;
mod large;
mod report;
mod resident;
mod steps;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use drawn::Drawn;
use pleach_console::{Align, ConsoleArgs, ExitCode, Printer, Table, human, run};
use pleach_exporter::{
    export::{Input, Options, export},
    quantize::calibrate,
};
use pleach_model::{
    family::FamilyFolder,
    manifest::{Bundle as Manifest, FileEntry, Precision},
};
use pleach_runtime::{
    bundle::Bundle,
    engine::{Engine, EngineOptions},
};
use pleach_tests::{
    stepping::{Settings, contend},
    world::learning::in_workspace,
};
use pleach_trainer::world::sample_single;
use serde::Serialize;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};
use steps::Stepped;

const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::F16, Precision::Int8, Precision::Int4];
/// Seed of the prompts, and of those that calibration draws.
const PROMPTS: [u64; 2] = [0x0069_6e66_6572, 0x6361_6c69];
/// Prompts that calibration draws.
const CALIBRATED: u64 = 16;

/// Draw with a family in every precision, and count what is lost; or time experts of Stable Diffusion 2.1's size
#[derive(Parser)]
struct Cli {
    /// What is measured
    #[arg(long, value_enum, default_value = "world")]
    network: Measured,
    #[command(flatten)]
    large: large::Args,
    /// Folder of a family of the small world [default: the base model alone]
    #[arg(long, value_name = "FOLDER")]
    family: Option<PathBuf>,
    /// The pipeline that it was cut out of, with its judge
    #[arg(long, value_name = "FOLDER", default_value = "assets/world")]
    base: PathBuf,
    /// Prompts that are drawn
    #[arg(long, default_value_t = 300)]
    prompts: u64,
    /// Denoising steps of each picture
    #[arg(long, default_value_t = 12)]
    steps: usize,
    /// Guidance scale
    #[arg(long, default_value_t = 2.0)]
    guidance: f64,
    /// Rounds of steps that are timed [default: 50, of a large network 4]
    #[arg(long)]
    rounds: Option<usize>,
    /// Threads [default: one per core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Where the bundles are kept while it runs; of Stable Diffusion 2.1's size 26 GB [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// A family of the small world
    World,
    /// Experts of Stable Diffusion 2.1's UNet with random weights
    Sd21,
    /// The same of a small UNet, to try the benchmark itself
    Tiny,
}

/// A precision.
#[derive(Serialize)]
struct Row {
    precision: Precision,
    /// Bytes of graphs and weights of all experts, what they share once.
    experts: u64,
    /// The same of everything else.
    others: u64,
    /// Seconds of a step of each expert: the median.
    steps: Vec<f64>,
    /// Medians of the steps over those in single precision, pair by pair.
    ratios: Vec<f64>,
    drawn: Drawn,
}

fn main() -> std::process::ExitCode {
    let mut cli = Cli::parse();
    in_workspace([&mut cli.base].into_iter().chain(&mut cli.family));
    run(&cli.console, |printer| {
        let large::Args { contend: step, export, resident, .. } = &cli.large;
        match (step, export, resident, cli.network) {
            (Some(told), ..) => contend(told)?,
            (_, Some(told), ..) => serde_json::from_str::<Settings>(told)?.export()?,
            (_, _, Some(told), _) => resident::work(told, printer)?,
            (_, _, _, Measured::World) => compare(&cli, printer)?,
            (_, _, _, network) => large::measure(&cli, network == Measured::Tiny, printer)?,
        }
        Ok(ExitCode::Done)
    })
}

fn compare(cli: &Cli, printer: &Printer) -> Result<()> {
    let rounds = cli.rounds.unwrap_or(50);
    ensure!(cli.prompts > 0 && rounds > 0, "there is nothing to draw or to time");
    let scratch = cli.scratch.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let scratch = scratch.context("cannot make a folder for the bundles")?;
    let engine = Engine::start(&EngineOptions { threads: cli.threads, ..EngineOptions::default() })?;
    let judge = scratch.path().join("judge");
    export(&Input::checkpoint(cli.base.join("judge")), &judge, &Options::default(), &())?;
    let input = match &cli.family {
        Some(family) => Input::Family(Box::new(FamilyFolder::open(family)?), cli.base.clone()),
        None => Input::checkpoint(&cli.base),
    };
    let prompts = |seed, count| (0..count).map(|index| sample_single(seed, index).caption).collect::<Vec<_>>();
    let mut folders = Vec::new();
    for precision in PRECISIONS {
        printer.status("Exporting", precision);
        let folder = scratch.path().join(precision.to_string());
        let calibration = calibrate::Options {
            prompts: prompts(PROMPTS[1], CALIBRATED),
            guidance: cli.guidance as f32,
            ..calibrate::Options::default()
        };
        let options = Options { precision, engine: Some(engine.clone()), calibration, ..Options::default() };
        export(&input, &folder, &options, &())?;
        folders.push(folder);
    }
    printer.status("Drawing", format_args!("{} prompts in each precision", cli.prompts));
    let prompts = prompts(PROMPTS[0], cli.prompts);
    let drawn = drawn::compare(&engine, &folders, &judge, &prompts, (cli.steps, cli.guidance))?;
    printer.status("Stepping", format_args!("{rounds} rounds"));
    let bundles = folders.iter().map(|folder| Bundle::open(folder)).collect::<Result<Vec<_>, _>>()?;
    let stepped = steps::take_turns(&engine, &bundles, rounds)?;
    let mut rows = Vec::new();
    for ((precision, folder), (drawn, Stepped { steps, ratios })) in
        PRECISIONS.into_iter().zip(&folders).zip(drawn.into_iter().zip(stepped))
    {
        let [experts, others] = bytes(folder)?;
        rows.push(Row { precision, experts, others, steps, ratios, drawn });
    }
    if cli.json { Ok(printer.json(&rows)?) } else { print(&rows, printer) }
}

/// Bytes of the experts' files and of the other networks', each file once.
fn bytes(folder: &Path) -> Result<[u64; 2]> {
    let manifest = Manifest::read(folder)?;
    let networks = manifest.all_files().into_iter().filter(|entry| entry.file.contains(".onnx"));
    let (experts, others): (Vec<FileEntry>, Vec<FileEntry>) =
        networks.partition(|entry| entry.file.starts_with("unet/"));
    Ok([experts, others].map(|files| files.iter().map(|entry| entry.bytes).sum()))
}

fn print(rows: &[Row], printer: &Printer) -> Result<()> {
    let (l, r) = (Align::Left, Align::Right);
    let mut table = Table::new([
        ("precision", l),
        ("experts", r),
        ("others", r),
        ("step of each expert", r),
        ("over f32", r),
        ("PSNR, median (10 %)", r),
        ("the judge finds the same", r),
    ]);
    for Row { precision, experts, others, steps, ratios, drawn } in rows {
        let list = |numbers: Vec<String>| numbers.join(", ");
        table.row([
            precision.to_string(),
            human::bytes(*experts),
            human::bytes(*others),
            list(steps.iter().map(|seconds| format!("{:.1} ms", 1e3 * seconds)).collect()),
            list(ratios.iter().map(|ratio| format!("{ratio:.2}")).collect()),
            drawn.decibels(),
            list(drawn.agreement.iter().map(|head| format!("{} {}", head.head, head.rate())).collect()),
        ]);
    }
    Ok(printer.table(&table)?)
}
