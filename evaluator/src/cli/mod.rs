//! The command line of `pleach-audit`.

mod carry;
mod compare;
mod judge;
mod merge;
mod open;
mod plan;
mod protocols;
mod report;
mod rescore;
mod status;
mod study;
mod verify;

use clap::{Parser, Subcommand};
use pleach_console::{CompletionArgs, ConsoleArgs, ExitCode, completions, run_classified};

/// Audit what a bundle draws
#[derive(Parser)]
#[command(name = "pleach-audit", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    console: ConsoleArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Fix what an audit will draw and look at
    Plan(plan::Args),
    /// Draw and look, as far as it is not done; goes on where it was stopped
    Run(carry::Args),
    /// Say how far a run is
    Status(status::Args),
    /// Prove that a run is what its journals say
    Verify(verify::Args),
    /// Count a run, hold it against gates, write the report
    Report(report::Args),
    /// Measure by another protocol what is drawn and seen already
    Rescore(rescore::Args),
    /// Hold the subjects of two runs against each other, sample by sample
    Compare(compare::Args),
    /// Train, export and audit methods beside each other, and compare them
    Study(study::Args),
    /// Put the shards of several machines together
    Merge(merge::Args),
    /// Count how often pictures show what was asked for, with intervals
    Judge(judge::Args),
    /// List the protocols, or show one
    Protocols(protocols::Args),
    /// Write a shell's completions
    Completions(CompletionArgs),
}

/// Runs the command.
pub(crate) fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    run_classified(&cli.console, open::classify, |printer| match &cli.command {
        Command::Plan(arguments) => plan::run(arguments, printer),
        Command::Run(arguments) => carry::run(arguments, printer),
        Command::Status(arguments) => status::run(arguments, printer),
        Command::Verify(arguments) => verify::run(arguments, printer),
        Command::Report(arguments) => report::run(arguments, printer),
        Command::Rescore(arguments) => rescore::run(arguments, printer),
        Command::Compare(arguments) => compare::run(arguments, printer),
        Command::Study(arguments) => study::run(arguments, printer),
        Command::Merge(arguments) => merge::run(arguments, printer),
        Command::Judge(arguments) => judge::run(arguments, printer),
        Command::Protocols(arguments) => protocols::run(arguments, printer),
        Command::Completions(arguments) => {
            completions::<Cli>(*arguments, printer)?;
            Ok(ExitCode::Done)
        }
    })
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
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli/pleach-audit.md");
        Ok(pleach_console::reference::keep(Cli::command(), page.as_ref())?)
    }
}
