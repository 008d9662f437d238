//! `pleach-train`: learning, pruning and suppressing.

use clap::{Parser, Subcommand};
use pleach_console::{CompletionArgs, ConsoleArgs, ExitCode, Printer, ReportArgs, completions, run};
use pleach_trainer::{cli, doctor::Report, native};

/// Train, prune and suppress with libtorch
#[derive(Parser)]
#[command(name = "pleach-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    console: ConsoleArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Compute latents and text embeddings of a data set once, for training
    Cache(cli::cache::CacheArgs),
    /// Draw pictures of a concept, for `suppress` to forget on
    ConceptImages(cli::concept_images::ConceptImagesArgs),
    /// Say which libtorch was found, where, and what is wrong with it
    Doctor(ReportArgs),
    /// Make finished networks forget concepts: ESD, UCE, ConceptPrune, concept ablation, SalUn, EraseDiff
    Erase(cli::erase::EraseArgs),
    /// Fine-tune a student or the experts of a family, with the teacher beside them
    Finetune(cli::finetune::FinetuneArgs),
    /// Put pictures that several models drew of the same prompts beside each other
    Grid(cli::grid::GridArgs),
    /// Make a family of files that APTP's authors published
    ImportAptp(cli::import_aptp::ImportArgs),
    /// Make the base model of the small world from nothing
    Pretrain(cli::pretrain::PretrainArgs),
    /// Draw prompts and count what a classifier finds
    Probe(cli::probe::ProbeArgs),
    /// Make a family of smaller networks out of one, with a router that chooses by the prompt
    Prune(cli::prune::PruneArgs),
    /// Write a report on a family: what is left of its experts, and which prompts go to them
    Report(cli::report::FamilyReportArgs),
    /// Say which expert of a family prompts go to
    Route(cli::route::RouteArgs),
    /// Fine-tune networks while they forget concepts
    Suppress(cli::suppress::SuppressArgs),
    /// Write pictures of the small world with captions
    World(cli::world::WorldArgs),
    /// Write a shell's completions
    Completions(CompletionArgs),
}

fn main() -> std::process::ExitCode {
    native::keep_freed_memory();
    let parsed = Cli::parse();
    run(&parsed.console, |printer| match &parsed.command {
        Command::Cache(arguments) => cli::cache::run(arguments, printer),
        Command::ConceptImages(arguments) => cli::concept_images::run(arguments, printer),
        Command::Doctor(report) => doctor(report, printer),
        Command::Erase(arguments) => cli::erase::run(arguments, printer),
        Command::Finetune(arguments) => cli::finetune::run(arguments, printer),
        Command::Grid(arguments) => cli::grid::run(arguments, printer),
        Command::ImportAptp(arguments) => cli::import_aptp::run(arguments, printer),
        Command::Pretrain(arguments) => cli::pretrain::run(arguments, printer),
        Command::Probe(arguments) => cli::probe::run(arguments, printer),
        Command::Prune(arguments) => cli::prune::run(arguments, printer),
        Command::Report(arguments) => cli::report::run(arguments, printer),
        Command::Route(arguments) => cli::route::run(arguments, printer),
        Command::Suppress(arguments) => cli::suppress::run(arguments, printer),
        Command::World(arguments) => cli::world::run(arguments, printer),
        Command::Completions(arguments) => {
            completions::<Cli>(*arguments, printer)?;
            Ok(ExitCode::Done)
        }
    })
}

fn doctor(options: &ReportArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let report = Report::new()?;
    if options.json {
        printer.json(&report)?;
    } else {
        report.print(printer)?;
    }
    Ok(if report.is_healthy() { ExitCode::Done } else { ExitCode::No })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_says_what_the_command_line_does() -> anyhow::Result<()> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli/pleach-train.md");
        Ok(pleach_console::reference::keep(Cli::command(), page.as_ref())?)
    }
}
