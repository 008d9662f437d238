//! What every Pleach binary shares, so that all of them speak alike.
//!
//! - [`Printer`]: results on stdout, everything else on stderr; statuses, warnings, tables, JSON, progress bars.
//! - [`run`]: from the arguments to an exit code, printing an error once; [`ExitCode`], [`ResultExt`].
//! - [`Interrupt`]: the first Ctrl-C is a flag that loops poll, the second ends the process.
//! - [`recipe`]: TOML files with `--set key.path=value` on top, unknown keys refused by name.
//! - [`human`]: counts, bytes and durations as people read them.
//! - [`reference`](mod@reference): the reference of a command line in Markdown, held to its definition.
//!
//! ```no_run
//! use clap::Parser;
//! use pleach_console::{ConsoleArgs, ExitCode, ResultExt, run};
//!
//! #[derive(Parser)]
//! struct Cli {
//!     folder: std::path::PathBuf,
//!     #[command(flatten)]
//!     console: ConsoleArgs,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let cli = Cli::parse();
//!     run(&cli.console, |printer| {
//!         let entries = std::fs::read_dir(&cli.folder).hint("give a folder that you may read")?;
//!         let bar = printer.progress(3, "Counting", "entries");
//!         let mut count = 0;
//!         for entry in entries {
//!             entry?;
//!             count += 1;
//!             bar.inc(1);
//!         }
//!         bar.finish();
//!         printer.line(format_args!("{count}"))?;
//!         Ok(ExitCode::Done)
//!     })
//! }
//! ```

mod args;
mod color;
mod completions;
mod exit;
pub mod human;
mod interrupt;
mod logging;
mod printer;
mod progress;
pub mod recipe;
pub mod reference;
mod table;

pub use args::{ConsoleArgs, ReportArgs, Verbosity};
pub use completions::{CompletionArgs, completions};
pub use exit::{Classify, ExitCode, Failure, ResultExt, run, run_classified};
pub use interrupt::{Interrupt, InterruptError};
pub use logging::{LoggingError, install_logging};
pub use printer::{Captured, PrintError, Printer, Settings, Streams};
pub use progress::{Copies, Progress};
pub use recipe::{RecipeArgs, RecipeError};
pub use table::{Align, Table};
