//! `cargo xtask docs`: the pages in docs/cli, made from the definitions of the four command lines.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cargo;

/// The tests that hold the pages to the programs write them under this variable.
const WRITE: &str = "PLEACH_WRITE_DOCS";
const ARGUMENTS: [&str; 11] = [
    "test",
    "--package",
    "pleach-runtime",
    "--package",
    "pleach-exporter",
    "--package",
    "pleach-trainer",
    "--package",
    "pleach-evaluator",
    "--bins",
    "the_reference_says_what_the_command_line_does",
];

/// Writes the pages; false if a program does not build.
pub fn run(root: &Path) -> Result<bool> {
    let written = cargo(root).args(ARGUMENTS).env(WRITE, "1").status().context("cannot run cargo")?.success();
    if written {
        println!("\nThe pages are in docs/cli.");
    }
    Ok(written)
}
