//! Experts of Stable Diffusion 2.1's UNet with random weights in every precision, and what PyTorch makes of the whole network.
//!
//! Every network is opened in a process of its own; those of one contest are open together and take turns, step by step, so that whatever
//! else the machine does hits all of them, and times are compared round by round. All of them at once do not fit into memory, so there are
//! three contests, each with the whole network in f32:
//!
//! - it, eager PyTorch, and what torch.onnx exports of that in ONNX Runtime, both in Python. Diffusers knows no pruned widths, so the experts
//!   have no such peers;
//! - all experts in f32, int8 and int4;
//! - all experts in f16.
//!
//! Then one process opens two experts through the host cache, one after the other.

use crate::{
    Cli, PRECISIONS,
    report::{Contest, Exported, Report},
    resident,
};
use anyhow::{Context, Result, bail, ensure};
use pleach_console::Printer;
use pleach_model::{architecture::Architecture, manifest::Precision};
use pleach_tests::stepping::{Contender, Engine, Settings, TORCH_EXPORT, python_command, take_turns};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

/// The Python side of the peers.
const PEER: &str = include_str!("peer.py");

/// What only a large network has.
#[derive(clap::Args)]
pub struct Args {
    /// Shares of the multiply-accumulates that experts of a large network have left, all sites cut alike; the first is the whole
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 0.8, 0.55])]
    shares: Vec<f64>,
    /// Pictures of a step of a large network, two for one with guidance
    #[arg(long, default_value_t = 2)]
    batch: usize,
    /// Height and width of its latents
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// A Python with torch, diffusers, onnxscript and onnxruntime: the peers of a large network [default: no peers]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// What a process of an engine is told
    #[arg(long, hide = true)]
    pub contend: Option<String>,
    /// What a process that exports is told
    #[arg(long, hide = true)]
    pub export: Option<String>,
    /// What a process that opens several experts is told
    #[arg(long, hide = true)]
    pub resident: Option<String>,
}

/// An expert: its checkpoint, and an export in each precision.
struct Expert {
    share: f64,
    checkpoint: Settings,
    exports: Vec<Settings>,
}

impl Expert {
    fn contestant(&self, precision: Precision, engine: Engine) -> Option<(f64, Engine, &Settings)> {
        let settings = self.exports.iter().find(|settings| settings.precision == precision)?;
        Some((self.share, engine, settings))
    }
}

pub fn measure(cli: &Cli, tiny: bool, printer: &Printer) -> Result<()> {
    let args = &cli.large;
    let rounds = cli.rounds.unwrap_or(4);
    ensure!(rounds > 0, "there is nothing to time");
    ensure!(
        args.shares.first() == Some(&1.0),
        "the first of the shares is 1: the others are compared with the whole network"
    );
    let scratch = cli.scratch.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let scratch = scratch.context("cannot make a folder for the networks")?;
    let settings = |folder: PathBuf, architecture, precision| -> Result<Settings> {
        let threads = cli.threads.map_or_else(thread::available_parallelism, Ok)?;
        let checkpoint = folder.join("unet.safetensors");
        Ok(Settings { folder, checkpoint, architecture, precision, batch: args.batch, size: args.size, threads, tiny })
    };
    let whole = settings(scratch.path().join("1"), Architecture::full(), Precision::F32)?;
    let (mut experts, mut contests, mut exported): (Vec<Expert>, Vec<Contest>, Vec<Exported>) = Default::default();
    for &share in &args.shares {
        let checkpoint = match share {
            1.0 => whole.clone(),
            _ => settings(scratch.path().join(share.to_string()), whole.pruned(share)?, Precision::F32)?,
        };
        printer.status("Writing", format_args!("a checkpoint of {share}"));
        fs::create_dir_all(&checkpoint.folder)?;
        checkpoint.write_checkpoint()?;
        let mut expert = Expert { share, checkpoint, exports: Vec::new() };
        for precision in PRECISIONS {
            printer.status("Exporting", format_args!("{share} in {precision}"));
            let folder = expert.checkpoint.folder.join(precision.to_string());
            let settings = Settings { folder, precision, ..expert.checkpoint.clone() };
            let begun = Instant::now();
            export_alone(&settings)?;
            let seconds = begun.elapsed().as_secs_f64();
            exported.push(Exported { share, precision, seconds, bytes: settings.bytes(Engine::Cpu)? });
            expert.exports.push(settings);
        }
        if share == 1.0
            && let Some(python) = &args.python
        {
            contests.push(against_peers(&expert, python, rounds, printer)?);
        }
        fs::remove_file(&expert.checkpoint.checkpoint)?;
        experts.push(expert);
    }
    let all = |precision, engine| experts.iter().filter_map(move |expert| expert.contestant(precision, engine));
    let on_cpu = |precisions: &[Precision]| -> Vec<_> {
        precisions.iter().flat_map(|&precision| all(precision, Engine::Cpu)).collect()
    };
    let narrow = on_cpu(&[Precision::F32, Precision::Int8, Precision::Int4]);
    contests.push(contest("the CPU's precisions", &narrow, None, rounds, printer)?);
    let mut mapped = on_cpu(&[Precision::F32, Precision::Int8]);
    mapped.extend(all(Precision::Int8, Engine::CpuMapped));
    contests.push(contest("weights of 8-bit convolutions mapped", &mapped, None, rounds, printer)?);
    let half: Vec<_> = experts[0]
        .contestant(Precision::F32, Engine::Cpu)
        .into_iter()
        .chain(all(Precision::F16, Engine::Cpu))
        .collect();
    contests.push(contest("half precision", &half, None, rounds, printer)?);
    let mut residents = Vec::new();
    for (precision, engine) in [
        (Precision::F32, Engine::CpuCached),
        (Precision::Int8, Engine::CpuCached),
        (Precision::Int8, Engine::CpuMapped),
    ] {
        let two: Vec<_> = all(precision, engine).take(2).map(|(share, _, settings)| (share, settings)).collect();
        residents.push(resident::measure(precision, engine, &two, printer)?);
    }
    let report = Report::new(&experts[0].checkpoint, exported, contests, residents)?;
    if cli.json { Ok(printer.json(&report)?) } else { report.print(printer) }
}

/// The whole network beside what PyTorch makes of the same checkpoint.
fn against_peers(whole: &Expert, python: &Path, rounds: usize, printer: &Printer) -> Result<Contest> {
    let settings = &whole.checkpoint;
    settings.write_for_python()?;
    printer.status("Exporting", "1 by torch.onnx");
    export_by_torch(settings, python)?;
    let mut contestants: Vec<_> = whole.contestant(Precision::F32, Engine::Cpu).into_iter().collect();
    contestants.extend([Engine::TorchOnnx, Engine::Torch].map(|engine| (1.0, engine, settings)));
    let contest = contest("PyTorch", &contestants, Some(python), rounds, printer);
    fs::remove_dir_all(settings.folder.join(TORCH_EXPORT))?;
    contest
}

/// Exports in a process of its own: what calibration leaves behind would be missing where networks take turns.
fn export_alone(settings: &Settings) -> Result<()> {
    let told = serde_json::to_string(settings)?;
    let status = Command::new(env::current_exe()?).args(["--quiet", "--export", &told]).status();
    ensure!(status.context("cannot start a process")?.success(), "nothing was exported; what was said is above");
    Ok(())
}

/// Lets torch.onnx write its export below the folder.
fn export_by_torch(settings: &Settings, python: &Path) -> Result<()> {
    fs::create_dir_all(settings.folder.join(TORCH_EXPORT))?;
    let told = serde_json::json!({ "engine": "export", "settings": settings });
    let mut command = python_command(python, PEER);
    command.arg(told.to_string()).stdout(Stdio::null());
    if !command.status().with_context(|| format!("cannot start {}", python.display()))?.success() {
        bail!("torch.onnx has exported nothing; what it said is above");
    }
    Ok(())
}

/// Opens all, and lets them take turns.
fn contest(
    name: &'static str,
    contestants: &[(f64, Engine, &Settings)],
    python: Option<&Path>,
    rounds: usize,
    printer: &Printer,
) -> Result<Contest> {
    let mut contenders = Vec::new();
    for &(share, engine, settings) in contestants {
        printer.status("Opening", format_args!("{share} in {}, {engine}", settings.precision));
        contenders.push(match python.filter(|_| matches!(engine, Engine::Torch | Engine::TorchOnnx)) {
            Some(python) => Contender::in_python(engine, settings, python, PEER)?,
            None => Contender::start(engine, settings)?,
        });
    }
    printer.status("Stepping", format_args!("{name}: {rounds} rounds and one that is not counted"));
    let timed = take_turns(contenders, rounds, || ())?;
    Contest::new(name, contestants.iter().copied().zip(timed))
}
