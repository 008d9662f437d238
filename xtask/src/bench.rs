//! `cargo xtask bench`: the benchmarks by name.

use std::path::Path;

use anyhow::{Context, Result};
use clap::builder::PossibleValue;

use crate::cargo;

/// A benchmark: its name, the package that has it as a bench target of the same name, and what it measures.
type Bench = (&'static str, &'static str, &'static str);

const BENCHES: [Bench; 10] = [
    (
        "ablation",
        "pleach-tests",
        "fine-tune a half-wide student with and without distillation: Frechet distance against steps",
    ),
    (
        "bilevel",
        "pleach-tests",
        "lower and upper steps of bilevel fine-tuning beside what their passes cost: medians, ratios, peak memory",
    ),
    ("export", "pleach-exporter", "export Stable Diffusion 2.1's UNet to ONNX: seconds, peak memory, bytes"),
    (
        "family",
        "pleach-tests",
        "prune to a family by APTP and to single experts by rules, fine-tune all alike: routing, Frechet distance",
    ),
    (
        "infer",
        "pleach-tests",
        "a family of the small world in every precision: bytes, steps, pictures against f32, what the judge finds; \
         with --network sd21 experts of Stable Diffusion's size beside PyTorch and torch.onnx, which --python must have",
    ),
    ("load", "pleach-tests", "open that UNet in ONNX Runtime in every way there is: seconds, private memory"),
    (
        "prune",
        "pleach-tests",
        "Stable Diffusion 2.1's UNet pruned: a step of APTP, cutting experts, and their steps against their multiply-accumulates",
    ),
    ("step", "pleach-tests", "one UNet step in ONNX Runtime beside libtorch: medians, ratio, peak memory, load time"),
    (
        "suppression",
        "pleach-tests",
        "make an expert of the small world forget a style by every method: what is left of it, and of everything else",
    ),
    (
        "train",
        "pleach-tests",
        "one training step of a UNet beside eager PyTorch, which --python must have: medians, ratio, peak memory",
    ),
];

#[derive(clap::Args)]
pub struct Args {
    #[arg(value_parser = names())]
    name: String,
    /// Passed on to the benchmark
    #[arg(last = true)]
    arguments: Vec<String>,
}

fn names() -> clap::builder::PossibleValuesParser {
    BENCHES.map(|(name, _, about)| PossibleValue::new(name).help(about)).into()
}

/// Builds the benchmark for release and runs it; false if it fails.
pub fn run(args: &Args, root: &Path) -> Result<bool> {
    let Some((name, package, _)) = BENCHES.into_iter().find(|(name, ..)| *name == args.name) else {
        anyhow::bail!("there is no benchmark `{}`", args.name);
    };
    // The program that some of them run.
    let mut command = cargo(root);
    command.args(["build", "--release", "--package", "pleach-trainer"]);
    if !command.status().context("cannot run cargo")?.success() {
        return Ok(false);
    }
    let mut command = cargo(root);
    command.args(["bench", "--package", package, "--bench", name, "--"]).args(&args.arguments);
    Ok(command.status().context("cannot run cargo")?.success())
}
