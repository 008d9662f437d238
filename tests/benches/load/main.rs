//! The ways to give ONNX Runtime a UNet of Stable Diffusion 2.1's size: time until it is ready, and memory that belongs to no file.
//!
//! `file` lets ONNX Runtime follow the path that the graph names, `memory` gives it the weights as well; the rest is what the runtime
//! does: the checked graph as bytes with the folder of the checked file, and the host cache at the first start and after it. Each way
//! has a process of its own, and takes one step, whose output must be the same bits for all.

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use ort::session::{Session, builder::GraphOptimizationLevel};
use pleach_console::{Align, ConsoleArgs, ExitCode, Printer, Table, human, run};
use pleach_model::{architecture::Architecture, manifest::Precision};
use pleach_runtime::engine::{Engine, EngineOptions, HostCache};
use pleach_tests::{
    memory::Memory,
    stepping::{self, CPU_GRAPH, Settings},
};
use serde::{Deserialize, Serialize};
use std::{env, fs, path::PathBuf, process::Command, sync::Arc, thread, time::Instant};

const WEIGHTS: &str = "unet/model.onnx_data";

/// Time and memory of the ways to open a UNet in ONNX Runtime
#[derive(Parser)]
struct Cli {
    /// A small UNet, to try the benchmark itself
    #[arg(long)]
    tiny: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Where the export and the host cache are kept while it runs, 11 GB [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// What a process is told
    #[arg(long, hide = true, num_args = 2)]
    open: Option<Vec<String>>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// A way to open the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// The path of the graph
    File,
    /// Graph and weights as bytes
    Memory,
    /// The graph as bytes, the weights as a file
    Bytes,
    /// The same through an empty host cache
    First,
    /// Through the host cache, which has it
    Second,
}

#[derive(Serialize, Deserialize)]
struct Opened {
    seconds: f64,
    memory: Memory,
}

#[derive(Serialize)]
struct Row {
    way: Way,
    #[serde(flatten)]
    opened: Opened,
    /// Whether its output is that of the first, bit for bit.
    same: bool,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    run(&cli.console, |printer| {
        match cli.open.as_deref() {
            Some([way, settings]) => open(serde_json::from_str(way)?, &serde_json::from_str(settings)?, printer)?,
            _ => compare(&cli, printer)?,
        }
        Ok(ExitCode::Done)
    })
}

fn compare(cli: &Cli, printer: &Printer) -> Result<()> {
    let scratch = cli.scratch.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let scratch = scratch.context("cannot make a folder for the export")?;
    let folder = scratch.path().to_owned();
    let settings = Settings {
        checkpoint: folder.join("unet.safetensors"),
        folder,
        architecture: Architecture::full(),
        precision: Precision::F32,
        batch: 2,
        size: 64,
        threads: thread::available_parallelism()?,
        tiny: cli.tiny,
    };
    printer.status("Exporting", "a network with random weights");
    settings.write_checkpoint()?;
    settings.export()?;
    fs::remove_file(&settings.checkpoint)?;
    let told = serde_json::to_string(&settings)?;
    let mut rows = Vec::new();
    let mut first = None;
    for &way in Way::value_variants() {
        let name = serde_json::to_string(&way)?;
        printer.status("Opening", &name);
        let child = Command::new(env::current_exe()?).args(["--quiet", "--open", &name, &told]).output()?;
        if !child.status.success() {
            bail!("{}", String::from_utf8_lossy(&child.stderr));
        }
        let output = settings.output("output")?;
        let same = first
            .get_or_insert_with(|| output.clone())
            .iter()
            .map(|x| x.to_bits())
            .eq(output.iter().map(|x| x.to_bits()));
        rows.push(Row { way, opened: serde_json::from_slice(&child.stdout)?, same });
    }
    if cli.json {
        return Ok(printer.json(&rows)?);
    }
    let mut table = Table::new([
        ("way", Align::Left),
        ("ready", Align::Right),
        ("private", Align::Right),
        ("peak resident", Align::Right),
        ("output", Align::Left),
    ]);
    for Row { way, opened: Opened { seconds, memory }, same } in &rows {
        let bytes = |bytes: Option<u64>| bytes.map_or("?".into(), human::bytes);
        let same = if *same { "same bits" } else { "differs" };
        table.row([
            serde_json::to_string(way)?.trim_matches('"').to_owned(),
            format!("{seconds:.2} s"),
            bytes(memory.private),
            bytes(memory.peak),
            same.to_owned(),
        ]);
    }
    Ok(printer.table(&table)?)
}

/// The process of a way.
fn open(way: Way, settings: &Settings, printer: &Printer) -> Result<()> {
    let (opened, output) = match way {
        Way::File | Way::Memory => plain(way == Way::Memory, settings)?,
        Way::Bytes => through_runtime(settings, settings.cache(stepping::Engine::Cpu))?,
        Way::First | Way::Second => through_runtime(settings, settings.cache(stepping::Engine::CpuCached))?,
    };
    settings.keep_output("output", &output)?;
    Ok(printer.json(&opened)?)
}

fn through_runtime(settings: &Settings, cache: HostCache) -> Result<(Opened, Vec<f32>)> {
    let opening = Instant::now();
    let engine = Engine::start(&EngineOptions { threads: Some(settings.threads), ..EngineOptions::default() })?;
    let mut network = settings.open(&engine, CPU_GRAPH, cache)?;
    let opened = Opened { seconds: opening.elapsed().as_secs_f64(), memory: Memory::now() };
    Ok((opened, settings.step(&mut network)?))
}

/// As a program does it that knows ONNX Runtime only.
fn plain(memory: bool, settings: &Settings) -> Result<(Opened, Vec<f32>)> {
    let opening = Instant::now();
    let library = env::var_os("ORT_DYLIB_PATH").context("ORT_DYLIB_PATH is not set")?;
    let environment = ort::init_from(PathBuf::from(library))?.build()?;
    let graph = settings.folder.join(CPU_GRAPH);
    let open = || -> ort::Result<Session> {
        let mut builder = Session::builder(&environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(settings.threads.get())?;
        if !memory {
            return builder.commit_from_file(&graph);
        }
        let read = |file: &str| fs::read(settings.folder.join(file)).map_err(ort::Error::wrap);
        let name = WEIGHTS.rsplit('/').next().unwrap_or_default();
        builder = builder.with_external_initializer_file_in_memory(name, Arc::from(read(WEIGHTS)?))?;
        builder.commit_from_memory(&read(CPU_GRAPH)?)
    };
    let mut session = open()?;
    let opened = Opened { seconds: opening.elapsed().as_secs_f64(), memory: Memory::now() };
    let [sample, timestep, context] =
        settings.inputs().map(|tensor| ort::value::Tensor::from_array((tensor.shape, tensor.data)));
    let outputs = session.run(ort::inputs! {
        "sample" => sample?, "timestep" => timestep?, "encoder_hidden_states" => context?
    })?;
    Ok((opened, outputs["out_sample"].try_extract_tensor::<f32>()?.1.to_vec()))
}
