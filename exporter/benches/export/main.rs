//! Exports a UNet of Stable Diffusion 2.1's size, in f32 and f16, beside a plain copy of the same bytes.
//!
//! `cargo bench -p pleach-exporter --bench export [-- --json] [--folder FOLDER]`. Needs about 11 GB on the disk, for a while.
//! Each run is a process of its own, so that peak memory is its alone.

mod checkpoint;
mod measure;

use clap::{Parser, Subcommand};
use measure::Measured;
use pleach_console::{Align, ConsoleArgs, ExitCode, Printer, Table, human, run};
use pleach_exporter::{
    export::{Context, Plan},
    network::Network,
};
use pleach_model::{
    architecture::Architecture,
    checkpoint::Checkpoint,
    counter::At,
    files::{AtomicFolder, Overwrite, digest_file},
    manifest::Precision,
    unet::UNetConfig,
};
use serde::Serialize;
use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// What torch.onnx took for the same network on a machine of 2 cores: not measured here.
const TORCH_ONNX: &str = "torch.onnx, elsewhere: 37 s, 4.3 GB";

#[derive(Parser)]
struct Cli {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where to work; a temporary folder by default
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    job: Option<Job>,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// A process that is measured.
#[derive(Subcommand)]
#[command(hide = true)]
enum Job {
    /// Copies a file
    Copy { from: PathBuf, to: PathBuf },
    /// Exports a checkpoint in f32
    F32 { from: PathBuf, to: PathBuf },
    /// Exports a checkpoint in f16
    F16 { from: PathBuf, to: PathBuf },
}

#[derive(Serialize)]
struct Row {
    what: &'static str,
    #[serde(flatten)]
    measured: Measured,
    /// Time over that of the copy of as many bytes.
    ratio: f64,
    /// Size of the data file.
    data_bytes: u64,
    /// Size of the portable graph.
    graph_bytes: Option<u64>,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    run(&cli.console, |printer| {
        match &cli.job {
            None => bench(&cli, printer)?,
            Some(Job::Copy { from, to }) => copy(from, to)?,
            Some(Job::F32 { from, to }) => export(from, to, Precision::F32)?,
            Some(Job::F16 { from, to }) => export(from, to, Precision::F16)?,
        }
        Ok(ExitCode::Done)
    })
}

fn bench(cli: &Cli, printer: &Printer) -> anyhow::Result<()> {
    let parent = cli.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(parent)?;
    let (from, copied) = (folder.path().join("unet.safetensors"), folder.path().join("copy.safetensors"));
    printer.status("Writing", "a checkpoint with random weights");
    checkpoint::write(&from)?;
    let bytes = from.metadata()?.len();
    let mut rows = Vec::new();
    for (job, what) in [("copy", "copy"), ("f32", "export f32"), ("f16", "export f16")] {
        printer.status("Measuring", what);
        let to = if job == "copy" { copied.clone() } else { folder.path().join(job) };
        let measured = measure::child(&[job.as_ref(), from.as_os_str(), to.as_os_str()])?;
        let (data_bytes, graph_bytes) = match job {
            "copy" => (bytes, None),
            _ => (size(&to, "unet/model.onnx_data")?, Some(size(&to, "unet/model.onnx")?)),
        };
        let copy = rows.first().map_or(measured.seconds, |row: &Row| row.measured.seconds);
        let ratio = measured.seconds / copy;
        rows.push(Row { what, measured, ratio, data_bytes, graph_bytes });
        if to.is_dir() { std::fs::remove_dir_all(&to)? } else { std::fs::remove_file(&to)? }
    }
    if cli.json {
        printer.json(&rows)?;
    } else {
        print(&rows, printer)?;
    }
    Ok(())
}

fn size(folder: &Path, file: &str) -> anyhow::Result<u64> {
    Ok(folder.join(file).metadata()?.len())
}

fn print(rows: &[Row], printer: &Printer) -> anyhow::Result<()> {
    let right =
        ["seconds", "ratio", "peak resident", "peak anonymous", "data", "graph"].map(|name| (name, Align::Right));
    let mut table = Table::new([("", Align::Left)].into_iter().chain(right));
    for Row { what, measured, ratio, data_bytes, graph_bytes } in rows {
        table.row([
            (*what).to_owned(),
            format!("{:.1}", measured.seconds),
            format!("{ratio:.2}"),
            human::bytes(measured.peak_resident),
            human::bytes(measured.peak_anonymous),
            human::bytes(*data_bytes),
            graph_bytes.map_or_else(String::new, human::bytes),
        ]);
    }
    printer.table(&table)?;
    printer.note(TORCH_ONNX);
    Ok(())
}

/// Reads and writes, as `cp` did before copies could be left to the file system; synced, as an export is.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut buffer = vec![0; 4 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            n => to.write_all(&buffer[..n])?,
        }
    }
    Ok(to.sync_all()?)
}

/// What `pleach-export` does for a UNet: weights written and hashed while the checkpoint is hashed, both graphs, synced.
fn export(from: &Path, to: &Path, precision: Precision) -> anyhow::Result<()> {
    let config = UNetConfig::sd21_base();
    let network = Network::Unet { config, architecture: Architecture::full(), tokens: 77 };
    let checkpoint = Checkpoint::open(from)?;
    let tensors = network.bind(std::slice::from_ref(&checkpoint))?;
    let plan = Plan::new(network, precision)?;
    let folder = AtomicFolder::create(to, Overwrite::Never)?;
    std::thread::scope(|scope| {
        let hashing = scope.spawn(|| digest_file(from));
        let written = plan.write_weights("model", &tensors, folder.path(), &())?;
        let source = hashing.join().map_err(|_| anyhow::anyhow!("hashing failed"))??;
        let context =
            Context { counted_at: At::SD512, sources: vec![source.sha256], metadata: Vec::new(), data_files: &[] };
        plan.write_graphs("model", &context, &written, folder.path()).map_err(anyhow::Error::from)
    })?;
    folder.persist()?;
    Ok(())
}
