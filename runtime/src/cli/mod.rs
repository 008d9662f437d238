//! The command line.

mod bench;
mod coverage;
mod doctor;
mod external;
mod generate;
mod inspect;
mod names;
mod output;
mod prompts;
#[cfg(feature = "hub")]
mod pull;
mod route;
mod watch;

use clap::{Parser, Subcommand};
use pleach_console::{CompletionArgs, ConsoleArgs, ExitCode, completions, run_classified};
use pleach_runtime::{bundle, pipeline};
use std::ffi::OsString;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::io::{self, Write as _};

/// Draw pictures with ONNX bundles, on any device.
#[derive(Parser)]
#[command(
    name = "pleach",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND|PROGRAM",
    after_help = external::HELP
)]
struct Cli {
    #[command(flatten)]
    console: ConsoleArgs,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draw pictures from prompts
    Generate(Box<generate::Args>),
    /// Say which expert of a bundle draws a prompt
    Route(route::Args),
    /// Measure how fast a bundle draws on this machine
    Bench(Box<bench::Args>),
    /// Show what a bundle holds, or how a picture was made
    Inspect(inspect::Args),
    /// Say how much of a bundle an execution provider takes, without the provider
    Coverage(coverage::Args),
    /// Download a model of Hugging Face, and say where it lies
    #[cfg(feature = "hub")]
    Pull(pull::Args),
    /// Say what this machine has for running bundles, and what is wrong
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(CompletionArgs),
    /// Print this help, or that of a command or program
    Help {
        /// Its name, and that of a command of it
        #[arg(value_name = "NAME")]
        words: Vec<OsString>,
    },
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    let Cli { console, command } = Cli::parse();
    let code = run_classified(&console, classify, |printer| match command {
        Command::Generate(args) => generate::run(&args, printer),
        Command::Route(args) => route::run(&args, printer),
        Command::Bench(args) => bench::run(&args, printer),
        Command::Inspect(args) => inspect::run(&args, printer),
        Command::Coverage(args) => coverage::run(&args, printer),
        #[cfg(feature = "hub")]
        Command::Pull(args) => pull::run(&args, printer),
        Command::Doctor(args) => doctor::run(&args, printer),
        Command::Completions(args) => {
            completions::<Cli>(args, printer)?;
            Ok(ExitCode::Done)
        }
        Command::Help { words } => external::help(&console, &words),
        Command::External(words) => external::run(&console, &words),
    });
    divert_what_is_left();
    code
}

/// Sends to standard error what C's standard output still holds. QNN's emulator writes there, where results go, and C keeps it until
/// the program ends.
fn divert_what_is_left() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if io::stdout().flush().is_ok() {
        // SAFETY: both are numbers, and nothing of ours is written to either from here on.
        unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
    }
}

/// Exit codes of the library's errors; every other error is one of usage.
fn classify(error: &anyhow::Error) -> Option<ExitCode> {
    #[cfg(feature = "hub")]
    if error.downcast_ref().is_some_and(pleach_hub::Error::is_integrity) {
        return Some(ExitCode::Integrity);
    }
    if error.downcast_ref().is_some_and(pleach_runtime::coverage::Error::is_integrity) {
        return Some(ExitCode::Integrity);
    }
    let integrity = match (error.downcast_ref::<pipeline::Error>(), error.downcast_ref::<bundle::Error>()) {
        (Some(pipeline::Error::Cancelled), _) => return Some(ExitCode::Incomplete),
        (Some(error), _) => error.is_integrity(),
        (_, Some(error)) => error.is_integrity(),
        _ => false,
    };
    integrity.then_some(ExitCode::Integrity)
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[cfg(feature = "hub")]
    #[test]
    fn the_reference_says_what_the_command_line_does() -> anyhow::Result<()> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli/pleach.md");
        Ok(pleach_console::reference::keep(Cli::command(), page.as_ref())?)
    }
}
