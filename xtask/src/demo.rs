//! `cargo xtask demo`: from a bare machine to a first picture, with a checkpoint that the tests use.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{cargo, setup};

/// A Stable Diffusion 2 pipeline of about a million random weights: it draws noise.
const CHECKPOINT: &str = "tests/fixtures/sd2/pipeline";
const PROMPT: &str = "a red star and a blue ring";

/// Sets up, exports the checkpoint and draws with it; false if a step fails.
pub fn run(root: &Path) -> Result<bool> {
    setup::run(&setup::Args::default(), root)?;

    let folder = root.join("target/demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (bundle, picture) = ("target/demo/bundle", "target/demo/picture.png");
    let export = ["run", "--package", "pleach-exporter", "--bin", "pleach-export", "--", CHECKPOINT, "--out", bundle];
    let generate = ["run", "--package", "pleach-runtime", "--bin", "pleach", "--", "generate", bundle, PROMPT];
    for arguments in
        [[&export[..], &["--verify"]].concat(), [&generate[..], &["--seed", "7", "--out", picture]].concat()]
    {
        println!("\n$ cargo {}", arguments.join(" "));
        if !cargo(root).args(&arguments).status().context("cannot run cargo")?.success() {
            return Ok(false);
        }
    }
    println!("\nThe picture is {picture}.");
    Ok(true)
}
