//! The command line of `pleach-audit`.

mod judge;
mod protocols;

use clap::{Parser, Subcommand};
use pleach_console::{CompletionArgs, ConsoleArgs, ExitCode, completions, run};

/// Judge what a bundle draws
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
    run(&cli.console, |printer| match &cli.command {
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
}
