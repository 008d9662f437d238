//! One training step of a UNet beside the same step in eager PyTorch with diffusers.
//!
//! Both get the same random weights and inputs, compute the denoising loss and its gradients, clip them and update the weights with
//! fused AdamW, in f32, with the same number of threads. Each is a process of its own; they take turns, step by step, so that whatever
//! else the machine does hits both. Their losses are compared: after equal updates they stay equal.

mod contender;
mod report;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use contender::{Contender, Told};
use pleach_console::{ConsoleArgs, ExitCode, Printer, run};
use pleach_model::{
    architecture::Architecture,
    counter::{self, At},
    unet::UNetConfig,
};
use pleach_tests::random::RandomWeights;
use report::Report;
use std::{fs, num::NonZeroUsize, path::PathBuf, thread};

/// Time one training step beside eager PyTorch
#[derive(Parser)]
struct Cli {
    /// Steps timed for each, after one that is not
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// What is trained
    #[arg(long, value_enum, default_value = "world")]
    network: Network,
    /// Latents in a batch [default: 32 for the small world, 2 for the others]
    #[arg(long)]
    batch: Option<usize>,
    /// Height and width of the latents [default: 16 for the small world, 32 for the others]
    #[arg(long)]
    size: Option<usize>,
    /// Threads of each [default: one per core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// A Python with torch, diffusers and safetensors
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// What our process is told
    #[arg(long, hide = true)]
    contend: Option<String>,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Network {
    /// The UNet of the small world's base model: 4.8 M parameters
    World,
    /// A UNet of Stable Diffusion's form with less than half its channels: 142 M parameters
    Middle,
    /// Stable Diffusion 2.1's UNet: 866 M parameters, 14 GB of weights, gradients and moments
    Sd21,
}

impl Network {
    fn config(self) -> UNetConfig {
        let full = UNetConfig::sd21_base();
        match self {
            Self::World => pleach_trainer::pretrain::UnetRecipe::default().config(16, 128),
            Self::Middle => UNetConfig {
                block_out_channels: vec![128, 256, 512, 512],
                heads: vec![2, 4, 8, 8],
                cross_attention_dim: 768,
                ..full
            },
            Self::Sd21 => full,
        }
    }

    fn usual(self) -> (usize, usize) {
        match self {
            Self::World => (32, 16),
            Self::Middle | Self::Sd21 => (2, 32),
        }
    }
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    run(&cli.console, |printer| {
        match &cli.contend {
            Some(told) => contender::contend(told)?,
            None => compare(&cli, printer)?,
        }
        Ok(ExitCode::Done)
    })
}

fn compare(cli: &Cli, printer: &Printer) -> Result<()> {
    ensure!(cli.steps > 0, "there is nothing to time");
    let scratch = tempfile::tempdir().context("cannot make a folder for the checkpoint")?;
    let (batch, size) = cli.network.usual();
    let (batch, size) = (cli.batch.unwrap_or(batch), cli.size.unwrap_or(size));
    let config = cli.network.config();
    let at = At { height: size, width: size, tokens: contender::TOKENS };
    let counted = counter::unet(&config, &Architecture::full(), at)?;
    let threads = cli.threads.map_or_else(thread::available_parallelism, Ok)?.get();
    let told = Told { folder: scratch.path().to_owned(), threads, rate: 1e-4, batch, size };
    printer.status("Writing", "a checkpoint with random weights");
    fs::write(told.folder.join("config.json"), config.to_json().to_string())?;
    RandomWeights::new(2).write(&told.folder.join("unet.safetensors"), counted.tensors.clone())?;
    told.write_inputs(&config)?;
    let mut both = [Contender::ours(&told)?, Contender::peer(&cli.python, &told)?];
    let bar = printer.progress(((cli.steps + 1) * both.len()) as u64, "Stepping", "steps");
    for _ in 0..=cli.steps {
        for contender in &mut both {
            contender.step()?;
            bar.inc(1);
        }
    }
    bar.finish();
    let [ours, peer] = both.map(Contender::finish);
    let report = Report::new(&counted, [batch, size, threads], [ours?, peer?]);
    if report.apart() > 1e-3 {
        bail!("the two do not compute the same: their losses are {:.1e} apart", report.apart());
    }
    if cli.json {
        printer.json(&report)?
    } else {
        report.print(printer)?
    }
    Ok(())
}
