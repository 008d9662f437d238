//! One UNet step in ONNX Runtime beside the same step in libtorch.
//!
//! A UNet with random weights is written as a checkpoint and exported. Each engine then opens it in a process of its own, so that none
//! adds to another's memory, and the processes take turns, step by step, so that whatever else the machine does hits all of
//! them. All work in f32 with the same number of threads, on the same inputs; their outputs are compared.

mod report;

use anyhow::{Context, Result, bail};
use clap::Parser;
use pleach_console::{ConsoleArgs, ExitCode, Printer, run};
use pleach_model::{architecture::Architecture, manifest::Precision};
use pleach_tests::stepping::{Contender, Engine, Settings, contend, take_turns};
use report::Report;
use std::{num::NonZeroUsize, path::PathBuf, thread};

/// Time one UNet step in ONNX Runtime beside libtorch
#[derive(Parser)]
struct Cli {
    /// Steps timed for each engine, after one that is not
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Pictures, two for one with guidance
    #[arg(long, default_value_t = 2)]
    batch: usize,
    /// Height and width of the latents
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Threads of each engine [default: one per core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Engines to compare
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Engine::ALL)]
    engines: Vec<Engine>,
    /// Precisions of ONNX Runtime's graph for the CPU that are compared too, calibrated with one step
    #[arg(long, value_delimiter = ',', value_parser = precision)]
    precisions: Vec<Precision>,
    /// A small UNet, to try the benchmark itself
    #[arg(long)]
    tiny: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Where the checkpoint, the export and the host cache are kept while it runs, 11 GB [default: the system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// What a process of an engine is told
    #[arg(long, hide = true)]
    contend: Option<String>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    run(&cli.console, |printer| {
        match &cli.contend {
            Some(told) => contend(told)?,
            None => compare(&cli, printer)?,
        }
        Ok(ExitCode::Done)
    })
}

fn precision(name: &str) -> Result<Precision, String> {
    let value = serde_json::Value::from(name);
    serde_json::from_value(value).map_err(|_| "expected f32, f16, int8 or int4".to_owned())
}

fn compare(cli: &Cli, printer: &Printer) -> Result<()> {
    if cli.steps == 0 || cli.engines.is_empty() && cli.precisions.is_empty() {
        bail!("there is nothing to time");
    }
    let scratch = match &cli.scratch {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let scratch = scratch.context("cannot make a folder for the checkpoint")?;
    let threads = cli.threads.map_or_else(thread::available_parallelism, Ok)?;
    let folder = scratch.path().to_owned();
    let settings = Settings {
        checkpoint: folder.join("unet.safetensors"),
        folder,
        architecture: Architecture::full(),
        precision: Precision::F32,
        batch: cli.batch,
        size: cli.size,
        threads,
        tiny: cli.tiny,
    };
    printer.status("Writing", "a checkpoint with random weights");
    settings.write_checkpoint()?;
    printer.status("Exporting", "it to ONNX");
    settings.export()?;

    let mut contenders = Vec::new();
    for &engine in &cli.engines {
        printer.status("Opening", engine);
        contenders.push(Contender::start(engine, &settings)?);
    }
    for &precision in &cli.precisions {
        printer.status("Exporting", format_args!("it in {precision}"));
        let settings = Settings { folder: settings.folder.join(precision.to_string()), precision, ..settings.clone() };
        settings.export()?;
        printer.status("Opening", precision);
        contenders.push(Contender::start(Engine::Cpu, &settings)?);
    }
    let steps = printer.progress(((cli.steps + 1) * contenders.len()) as u64, "Stepping", "steps");
    let results = take_turns(contenders, cli.steps, || steps.inc(1))?;
    steps.finish();
    let report = Report::new(&settings, results)?;
    if cli.json {
        printer.json(&report)?;
    } else {
        report.print(printer)?;
    }
    Ok(())
}
