//! Suppression on the small world. An expert of the base model is distilled on data without one of the styles, which it still draws. Then
//! every method makes it forget that style, and the judge counts in how many pictures the style is left, and what became of everything
//! else. The commands are those that a person types. What is done is kept: the benchmark goes on where it stopped.

mod ground;
mod methods;
mod report;

use anyhow::{Context, Result};
use clap::Parser;
use ground::Ground;
use pleach_console::{ConsoleArgs, ExitCode, Printer, run};
use pleach_tests::world::learning::in_workspace;
use report::Results;
use std::{fs, path::PathBuf};

/// Suppress a style in the small world by every method, and count what is left
#[derive(Parser)]
struct Cli {
    /// The small world's base model
    #[arg(long, value_name = "FOLDER", default_value = "assets/world")]
    base: PathBuf,
    /// Where data, runs and results are kept
    #[arg(long, default_value = "target/suppression")]
    work: PathBuf,
    /// Where the pictures are written
    #[arg(long, default_value = "docs")]
    docs: PathBuf,
    /// The program that is measured, built for release
    #[arg(long, value_name = "FILE", default_value = "target/release/pleach-train")]
    program: PathBuf,
    /// The style
    #[arg(long, default_value = "striped")]
    style: String,
    /// The style that takes its place, for methods that want one
    #[arg(long, default_value = "flat")]
    anchor: String,
    /// Share of the multiply-accumulates that the expert has
    #[arg(long, default_value_t = 0.8)]
    share: f64,
    /// Pictures that the expert is distilled on, before those of the style are left out
    #[arg(long, default_value_t = 4000)]
    pictures: u64,
    /// Steps that it is distilled in
    #[arg(long, default_value_t = 300)]
    steps: u64,
    /// Pictures of the style that methods forget on
    #[arg(long, default_value_t = 88)]
    concept_pictures: usize,
    /// Prompts with the style that are drawn, and as many without
    #[arg(long, default_value_t = 96)]
    drawn: usize,
    /// Methods alone, and not how bilevel fine-tuning depends on its settings
    #[arg(long)]
    no_sweep: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    console: ConsoleArgs,
}

fn main() -> std::process::ExitCode {
    let mut cli = Cli::parse();
    let Cli { base, work, docs, program, .. } = &mut cli;
    in_workspace([base, work, docs, program]);
    run(&cli.console, |printer| compare(&cli, printer))
}

fn compare(cli: &Cli, printer: &Printer) -> Result<ExitCode> {
    fs::create_dir_all(&cli.work).with_context(|| format!("cannot make {}", cli.work.display()))?;
    let mut results = Results::open(&cli.work.join("results.jsonl"))?;
    let ground = Ground::prepare(cli, printer)?;
    for (name, model) in [(report::BASE, &cli.base), (report::EXPERT, &ground.expert)] {
        if !results.has(name) {
            results.add(ground.probe(name, model, 0.0, printer)?)?;
        }
    }
    let mut variants = methods::methods(&ground);
    let sweep = if cli.no_sweep { Vec::new() } else { methods::sweep(&ground) };
    variants.extend(sweep.iter().map(|(_, variant)| variant.clone()));
    for variant in &variants {
        if !results.has(&variant.name) {
            let (family, seconds) = ground.forget(variant, printer)?;
            results.add(ground.probe(&variant.name, &family, seconds, printer)?)?;
        }
    }
    let names: Vec<&str> = [report::BASE, report::EXPERT].into_iter().chain(methods::names()).collect();
    results.pictures(&cli.docs.join("suppression.png"), &names, |name| ground.grid(name))?;
    if !sweep.is_empty() {
        results.plot(&cli.docs.join("bilevel.png"), &sweep)?;
    }
    let all: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).collect();
    let all = [report::BASE, report::EXPERT].into_iter().chain(all);
    printer.raw(results.table(&cli.style, all).as_bytes())?;
    Ok(ExitCode::Done)
}
