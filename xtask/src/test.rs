//! `cargo xtask test`: everything that CI runs, from a fresh clone.
//!
//! Every stage runs cargo with the same environment, so that none rebuilds what another one built.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{cargo, setup};

/// A stage's name, cargo's arguments, and the variables that concern this stage alone.
type Stage = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const STAGES: [Stage; 4] = [
    ("format", &["fmt", "--all", "--check"], &[]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], &[]),
    ("tests", &["test", "--workspace", "--no-fail-fast"], &[]),
    ("docs", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "--deny warnings")]),
];

/// Runs the stages; false as soon as one fails.
pub fn run(root: &Path) -> Result<bool> {
    let mut times = Vec::new();
    let mut finish = |name: &str, start: Instant| {
        let seconds = start.elapsed().as_secs_f64();
        println!("==> {name}: {seconds:.1} s\n");
        times.push(format!("{name} {seconds:.1} s"));
    };

    let start = Instant::now();
    println!("==> set-up");
    setup::run(&setup::Args::default(), root)?;
    finish("set-up", start);

    for (name, arguments, variables) in STAGES {
        let start = Instant::now();
        println!("==> {name}: cargo {}", arguments.join(" "));
        let mut command = cargo(root);
        let status = command.args(arguments).envs(variables.iter().copied()).status().context("cannot run cargo")?;
        if !status.success() {
            println!("==> {name} failed");
            return Ok(false);
        }
        finish(name, start);
    }
    println!("==> all passed: {}", times.join(", "));
    Ok(true)
}
