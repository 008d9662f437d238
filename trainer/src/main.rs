//! `pleach-train`: learning, pruning and suppressing.

use clap::{Parser, Subcommand};
use pleach_console::{CompletionArgs, ConsoleArgs, ExitCode, Printer, ReportArgs, completions, run};
use pleach_trainer::doctor::Report;

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
    /// Say which libtorch was found, where, and what is wrong with it
    Doctor(ReportArgs),
    /// Write a shell's completions
    Completions(CompletionArgs),
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    run(&cli.console, |printer| match &cli.command {
        Command::Doctor(report) => doctor(report, printer),
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
