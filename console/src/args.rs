//! The options that every command takes.

use clap::{ArgAction, Args, ColorChoice};

use crate::printer::Settings;

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only (`-qq`).
    Silent,
    /// Errors and warnings (`-q`).
    Quiet,
    /// What is being done, with progress.
    #[default]
    Default,
    /// Also what the libraries report (`-v`).
    Verbose,
    /// Everything that is traced (`-vv`).
    Trace,
}

/// Options of every command; flatten it into the top of the command line.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output options")]
pub struct ConsoleArgs {
    /// Say less: once hides progress, twice hides warnings too
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,

    /// Say more; RUST_LOG chooses in detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// When to colour [NO_COLOR and CLICOLOR_FORCE are honoured]
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,

    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,
}

impl ConsoleArgs {
    /// What the options mean.
    pub fn settings(&self) -> Settings {
        Settings { verbosity: self.verbosity(), color: self.color, progress: !self.no_progress }
    }

    /// `-q` and `-v` together.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (0, 0) => Verbosity::Default,
            (0, 1) => Verbosity::Verbose,
            (0, _) => Verbosity::Trace,
            (1, _) => Verbosity::Quiet,
            _ => Verbosity::Silent,
        }
    }
}

/// The option of every command that reports.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ReportArgs {
    /// Print the report as JSON
    #[arg(long, help_heading = None::<&'static str>)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        console: ConsoleArgs,
    }

    fn settings(words: &[&str]) -> Settings {
        Cli::try_parse_from([&["x"], words].concat()).unwrap().console.settings()
    }

    #[test]
    fn options_mean_what_they_say() {
        assert_eq!(settings(&[]), Settings::default());
        assert_eq!(settings(&["-q"]).verbosity, Verbosity::Quiet);
        assert_eq!(settings(&["-qq"]).verbosity, Verbosity::Silent);
        assert_eq!(settings(&["-v"]).verbosity, Verbosity::Verbose);
        assert_eq!(settings(&["-vvv"]).verbosity, Verbosity::Trace);
        assert_eq!(settings(&["--color", "never"]).color, ColorChoice::Never);
        assert!(!settings(&["--no-progress"]).progress);
        assert!(Cli::try_parse_from(["x", "-q", "-v"]).is_err());
    }
}
