//! Stable Diffusion 2.1's UNet with random weights, pruned: a step of APTP in libtorch, experts cut out of it, and what a step of theirs
//! takes in ONNX Runtime against the multiply-accumulates that they have left.
//!
//! Each thing is done in a process of its own, so that none adds to another's memory; the experts and the whole network take turns, step by
//! step.

mod alone;

use alone::{Cut, Doing, Done, Pruned};
use anyhow::{Context, Result};
use clap::Parser;
use pleach_console::{Align, ConsoleArgs, ExitCode, Printer, Table, human, run};
use pleach_model::{architecture::Architecture, manifest::Precision};
use pleach_tests::{
    random::RandomWeights,
    stepping::{Contender, Engine, Settings, Timed, contend, median, take_turns},
    world::learning::in_workspace,
};
use serde::Serialize;
use serde_json::json;
use std::{fs, num::NonZeroUsize, path::PathBuf, thread};

/// Prune Stable Diffusion 2.1's UNet, and time what is left
#[derive(Parser)]
struct Cli {
    /// Shares of the multiply-accumulates that experts have left, all sites cut alike
    #[arg(long, value_delimiter = ',', default_values_t = [0.8, 0.55])]
    shares: Vec<f64>,
    /// Steps timed for each network, after one that is not
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Steps of pruning, half of them before there are experts
    #[arg(long, default_value_t = 4)]
    pruning: u64,
    /// Pictures of a step that is timed
    #[arg(long, default_value_t = 2)]
    batch: usize,
    /// Height and width of its latents; half of it for pruning
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Threads [default: one per core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// The router's sentence encoder
    #[arg(long, default_value = ".native/sentence/all-MiniLM-L6-v2")]
    sentences: PathBuf,
    /// A small UNet, to try the benchmark itself
    #[arg(long)]
    tiny: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Where networks are kept while it runs, 14 GB [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// What a process with a network to step is told
    #[arg(long, hide = true)]
    contend: Option<String>,
    /// What a process with something else to do is told
    #[arg(long, hide = true)]
    alone: Option<String>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// A network whose step was timed.
#[derive(Serialize)]
struct Row {
    name: String,
    parameters: u64,
    macs: u64,
    /// Of the whole network's multiply-accumulates.
    macs_ratio: f64,
    /// The median of its steps over the whole network's, pair by pair.
    time_ratio: f64,
    #[serde(flatten)]
    timed: Timed,
}

#[derive(Serialize)]
struct Report {
    teacher_bytes: u64,
    pruning: Done<Pruned>,
    cutting: Vec<(f64, Done<Cut>)>,
    stepping: Vec<Row>,
}

fn main() -> std::process::ExitCode {
    pleach_trainer::native::keep_freed_memory();
    let mut cli = Cli::parse();
    in_workspace([&mut cli.sentences]);
    run(&cli.console, |printer| {
        match (&cli.contend, &cli.alone) {
            (Some(told), _) => contend(told)?,
            (None, Some(told)) => alone::work(told, printer)?,
            (None, None) => measure(&cli, printer)?,
        }
        Ok(ExitCode::Done)
    })
}

fn measure(cli: &Cli, printer: &Printer) -> Result<()> {
    let scratch = cli.scratch.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let scratch = scratch.context("cannot make a folder for the networks")?;
    let threads = cli.threads.map_or_else(thread::available_parallelism, Ok)?;
    let settings = |name: &str, architecture| {
        let folder = scratch.path().join(name);
        let checkpoint = folder.join("checkpoint/diffusion_pytorch_model.safetensors");
        let (precision, batch, size) = (Precision::F32, cli.batch, cli.size);
        Settings { folder, checkpoint, architecture, precision, batch, size, threads, tiny: cli.tiny }
    };
    let whole = settings("whole", Architecture::full());
    let teacher = whole.folder.join("checkpoint");
    printer.status("Writing", "a checkpoint with random weights");
    fs::create_dir_all(&teacher)?;
    fs::write(teacher.join("config.json"), whole.config().to_json().to_string())?;
    RandomWeights::new(2).write(&whole.checkpoint, whole.count()?.tensors)?;

    printer.status("Pruning", format_args!("{} steps of one caption", cli.pruning));
    let doing = Doing::Prune {
        teacher: teacher.clone(),
        sentences: cli.sentences.clone(),
        steps: cli.pruning,
        size: cli.size / 2,
    };
    let pruning = alone::run(&doing, threads)?;
    let mut networks = vec![whole];
    let mut cutting = Vec::new();
    for &share in &cli.shares {
        printer.status("Cutting", format_args!("an expert of {share}"));
        let expert = settings(&format!("expert-{share}"), networks[0].pruned(share)?);
        let doing = Doing::Cut {
            teacher: teacher.clone(),
            architecture: expert.architecture.clone(),
            to: expert.folder.join("checkpoint"),
        };
        cutting.push((share, alone::run(&doing, threads)?));
        networks.push(expert);
    }
    let teacher_bytes = fs::metadata(&networks[0].checkpoint)?.len();
    let report = Report { teacher_bytes, pruning, cutting, stepping: step(cli, &networks, printer)? };
    if cli.json { Ok(printer.json(&json!(report))?) } else { report.print(printer) }
}

/// Exports the networks, and lets them take turns.
fn step(cli: &Cli, networks: &[Settings], printer: &Printer) -> Result<Vec<Row>> {
    let mut contenders = Vec::new();
    for network in networks {
        printer.status("Exporting", network.folder.display());
        network.export()?;
        contenders.push(Contender::start(Engine::Cpu, network)?);
    }
    let steps = printer.progress(((cli.steps + 1) * contenders.len()) as u64, "Stepping", "steps");
    let timed = take_turns(contenders, cli.steps, || steps.inc(1))?;
    steps.finish();
    let first = timed.first().map(|timed| timed.step_seconds.clone()).unwrap_or_default();
    let all = networks[0].count()?.macs().exact as f64;
    let row = |(network, timed): (&Settings, Timed)| {
        let count = network.count()?;
        let pairs: Vec<f64> = timed.step_seconds.iter().zip(&first).map(|(own, whole)| own / whole).collect();
        Ok(Row {
            name: network.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            parameters: count.parameters(),
            macs: count.macs().exact * cli.batch as u64,
            macs_ratio: count.macs().exact as f64 / all,
            time_ratio: median(&pairs),
            timed,
        })
    };
    networks.iter().zip(timed).map(row).collect()
}

impl Report {
    fn print(&self, printer: &Printer) -> Result<()> {
        let Self { teacher_bytes, pruning, cutting, stepping } = self;
        let bytes = |bytes: Option<u64>| bytes.map_or("?".into(), human::bytes);
        let Done { found: Pruned { step_seconds }, seconds, peak } = pruning;
        printer.line(format_args!(
            "pruning: open {:.1} s, steps {:.2?} s, peak {}",
            seconds - step_seconds.iter().sum::<f64>(),
            step_seconds,
            bytes(*peak)
        ))?;
        for (share, Done { found: Cut { bytes: expert }, seconds, peak }) in cutting {
            printer.line(format_args!(
                "cutting to {share}: {seconds:.1} s, peak {}; teacher and expert are {} and {}",
                bytes(*peak),
                human::bytes(*teacher_bytes),
                human::bytes(*expert)
            ))?;
        }
        let (l, r) = (Align::Left, Align::Right);
        let mut table = Table::new([
            ("network", l),
            ("parameters", r),
            ("MACs", r),
            ("ratio", r),
            ("step (median)", r),
            ("min to max", r),
            ("ratio of time", r),
            ("peak", r),
        ]);
        for row in stepping {
            let steps = &row.timed.step_seconds;
            let least = steps.iter().copied().fold(f64::INFINITY, f64::min);
            let most = steps.iter().copied().fold(0.0, f64::max);
            table.row([
                row.name.clone(),
                human::count(row.parameters),
                human::count(row.macs),
                format!("{:.3}", row.macs_ratio),
                format!("{:.2} s", median(steps)),
                format!("{least:.2} to {most:.2} s"),
                format!("{:.3}", row.time_ratio),
                bytes(row.timed.stepped.peak),
            ]);
        }
        Ok(printer.table(&table)?)
    }
}
