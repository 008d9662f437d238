//! `cargo xtask`: what a person would otherwise type by hand.
//!
//! It links no native library and depends on no other crate of the workspace, so it runs on a machine that has nothing yet.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to a person is all that this program does")]

mod bench;
mod demo;
mod docs;
mod native;
mod setup;
mod test;
mod tools;
mod wheel;

use std::path::Path;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// Set-up, a demonstration, tests and benchmarks of Pleach.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the native libraries into .native/, from pinned wheels; a second run does nothing
    Setup(setup::Args),
    /// Set up, build, and do the main job on the small world: prune, suppress, export, draw, audit
    Demo(demo::Args),
    /// Write the reference of the command lines, docs/cli, anew from their definitions
    Docs,
    /// Run everything that CI runs: set-up, format, clippy, tests, docs
    Test,
    /// Run a benchmark, built for release; without a name, all that time something, and write docs/benchmarks.md
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup(args) => setup::run(&args, root()).map(|()| true),
        Task::Demo(args) => demo::run(&args, root()),
        Task::Docs => docs::run(root()),
        Task::Test => test::run(root()),
        Task::Bench(args) => bench::run(&args, root()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The folder of the workspace.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The cargo that runs this program, to be run in the workspace.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // What cargo tells this program about its own package would be news to build scripts that watch it, and rebuild theirs.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}
