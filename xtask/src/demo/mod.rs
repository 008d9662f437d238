//! `cargo xtask demo`: the main job for real, on the small world: prune, suppress, export, draw, audit.

mod runner;
mod steps;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

use crate::{cargo, setup};
use runner::{End, Runner, lock};
use steps::{Program, Size, steps};

/// The small world's base model.
const BASE: &str = "assets/world";
/// Where everything is kept by default.
const OUT: &str = "target/demo";
/// Where the programs are built.
const BUILT: &str = "target/release";
/// The packages that have them.
const PACKAGES: [&str; 4] = ["pleach-runtime", "pleach-exporter", "pleach-trainer", "pleach-evaluator"];

#[derive(clap::Args)]
pub struct Args {
    /// Where everything is kept; the same command goes on with what is there [default: target/demo]
    #[arg(short, long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Use the programs in this folder, and set up and build nothing
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// So few steps and pictures that what comes out means nothing: to see that everything works
    #[arg(long)]
    quick: bool,
}

/// Sets up, builds, and does every step that is not done; false if one fails or was stopped.
pub fn run(args: &Args, root: &Path) -> Result<bool> {
    let absolute = |path: &PathBuf| std::path::absolute(path).with_context(|| format!("{} is no path", path.display()));
    let out = args.out.as_ref().map(absolute).transpose()?.unwrap_or_else(|| OUT.into());
    let programs = args.programs.as_ref().map(absolute).transpose()?;
    // Paths of the workspace are as short as a person in it types them.
    std::env::set_current_dir(root).with_context(|| format!("cannot enter {}", root.display()))?;
    if programs.is_none() {
        setup::run(&setup::Args::default(), root)?;
        if !build(root)? {
            return Ok(false);
        }
    }
    let programs = programs.unwrap_or_else(|| BUILT.into());
    for program in Program::ALL {
        let path = programs.join(format!("{}{}", program.name(), std::env::consts::EXE_SUFFIX));
        ensure!(path.is_file(), "there is no {}", path.display());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if !asked.swap(true, Ordering::Relaxed) {
            eprintln!("\nStopping: the command at work finishes its step.");
        }
    })
    .context("cannot listen for Ctrl-C")?;

    let size = if args.quick { Size::QUICK } else { Size::WHOLE };
    let held = lock(&out)?;
    let runner = Runner { out: &out, base: BASE, programs: &programs, stop: &stop };
    match runner.run(&steps(&size), &held)? {
        End::Done(seconds) => {
            println!("\n{}", summary::of(&out, &programs, seconds)?);
            Ok(true)
        }
        End::Stopped => {
            println!("Stopped. The same command goes on from here.");
            Ok(false)
        }
        End::Failed => Ok(false),
    }
}

fn build(root: &Path) -> Result<bool> {
    println!("Building Pleach for release; the first time takes minutes.");
    let mut command = cargo(root);
    command.args(["build", "--release"]).args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    Ok(command.status().context("cannot run cargo")?.success())
}
