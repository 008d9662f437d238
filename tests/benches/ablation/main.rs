//! The ablations of "Efficient Fine-Tuning and Concept Suppression for Pruned Diffusion Models" (figures 4 and 5) on the small world.
//!
//! A student of half the width of the base model is fine-tuned with the denoising loss, with distillation, with both, and with both
//! from random weights. On the way each draws pictures for captions that were not learnt from, whose features (the judge's, in ONNX
//! Runtime) are compared with those of rendered pictures: the Frechet distance, and how often the judge finds what was asked.
//! What is done is kept: the command goes on where it stopped.

mod learning;
mod looking;
mod report;

use anyhow::{Context, Result};
use clap::Parser;
use learning::{Bench, CONFIGURATIONS, CUT, TEACHER};
use looking::Looker;
use pleach_console::{ConsoleArgs, ExitCode, Printer, run};
use report::{Outcome, Results};
use std::path::PathBuf;

/// Fine-tune a pruned student with and without distillation, from the teacher's weights and from random ones
#[derive(Parser)]
struct Cli {
    /// The small world's base model: what `pleach-train pretrain` leaves in RUN/pipeline
    #[arg(long, value_name = "FOLDER")]
    base: PathBuf,
    /// Where runs and results are kept
    #[arg(long, default_value = "target/ablation")]
    work: PathBuf,
    /// Where table and plot are written
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// Pictures to learn from
    #[arg(long, default_value_t = 4000)]
    pictures: u64,
    /// Steps of each run
    #[arg(long, default_value_t = 400)]
    steps: u64,
    /// Steps between two looks
    #[arg(long, default_value_t = 100)]
    every: u64,
    /// Runs of each kind, with seeds that follow each other
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Pictures drawn for each look
    #[arg(long, default_value_t = 256)]
    drawn: usize,
    /// Latents in a batch
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Learning rate
    #[arg(long, default_value_t = 5e-4)]
    rate: f64,
    /// Share of every site's units that the student keeps
    #[arg(long, default_value_t = 0.5)]
    width: f64,
    /// Guidance of the pictures drawn
    #[arg(long, default_value_t = 2.0)]
    guidance: f64,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { pleach_runtime::engine::disable_telemetry() };
    let mut cli = Cli::parse();
    // Cargo runs a benchmark in its package's folder; paths are the caller's.
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in [&mut cli.base, &mut cli.work, &mut cli.docs] {
        *path = root.join(&*path);
    }
    run(&cli.console, |printer| ablate(&cli, printer))
}

fn ablate(cli: &Cli, printer: &Printer) -> Result<ExitCode> {
    std::fs::create_dir_all(&cli.work).with_context(|| format!("cannot make {}", cli.work.display()))?;
    let mut results = Results::open(&cli.work.join("results.jsonl"))?;
    let bench = Bench::open(cli)?;
    let mut looker = Looker::open(cli)?;
    let mut judge = |name: &str, seed, step, pictures: &[_]| -> Result<Outcome> {
        let outcome = looker.look(name, seed, step, pictures)?;
        let Outcome { frechet, found, .. } = &outcome;
        printer
            .status("Found", format_args!("{name}, seed {seed}, step {step}: Frechet {frechet:.2}, found {found:.3?}"));
        Ok(outcome)
    };
    for (name, width) in [(TEACHER, 1.0), (CUT, cli.width)] {
        if !results.has(name, 0) {
            let pictures = bench.untrained(cli, width)?;
            results.add(vec![judge(name, 0, 0, &pictures)?])?;
        }
    }
    for seed in 0..cli.seeds {
        for configuration in CONFIGURATIONS {
            if results.has(configuration.name, seed) {
                continue;
            }
            printer.status("Training", format_args!("{}, seed {seed}", configuration.name));
            let looks = bench.fine_tune(cli, &configuration, seed)?;
            let outcomes = looks.iter().map(|(step, pictures)| judge(configuration.name, seed, *step, pictures));
            results.add(outcomes.collect::<Result<_>>()?)?;
        }
    }
    let table = results.table();
    results.plot(&cli.docs.join("ablation.png"))?;
    printer.raw(table.as_bytes())?;
    Ok(ExitCode::Done)
}
