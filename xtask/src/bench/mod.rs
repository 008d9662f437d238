//! `cargo xtask bench`: the benchmarks by name, or all that time something, whose tables become docs/benchmarks.md.

mod page;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValue;
use page::{Page, Section};

use crate::{cargo, native, setup};

/// A benchmark: its name, the package that has it as a bench target of the same name, and what it measures.
struct Bench {
    name: &'static str,
    package: &'static str,
    about: &'static str,
    /// The runs of it that the page has.
    runs: &'static [Run],
}

/// A run of a benchmark, which is a section of the page.
struct Run {
    title: &'static str,
    /// What it measures, where that is not what the benchmark does by itself.
    about: Option<&'static str>,
    arguments: &'static [&'static str],
    python: Python,
}

/// Whether a run takes a Python with the peers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Python {
    No,
    /// Without one it has no peers.
    Welcome,
    Needed,
}

/// The only run of a benchmark, as it is.
const fn plain(title: &'static str, python: Python) -> Run {
    Run { title, about: None, arguments: &[], python }
}

const BENCHES: [Bench; 10] = [
    Bench {
        name: "ablation",
        package: "pleach-tests",
        about: "fine-tune a half-wide student with and without distillation: Frechet distance against steps",
        runs: &[],
    },
    Bench {
        name: "bilevel",
        package: "pleach-tests",
        about: "lower and upper steps of bilevel fine-tuning beside what their passes cost: medians, ratios, peak memory",
        runs: &[plain("Bilevel fine-tuning", Python::No)],
    },
    Bench {
        name: "export",
        package: "pleach-exporter",
        about: "export Stable Diffusion 2.1's UNet to ONNX: seconds, peak memory, bytes",
        runs: &[plain("Export", Python::No)],
    },
    Bench {
        name: "family",
        package: "pleach-tests",
        about: "prune to a family by APTP and to single experts by rules, fine-tune all alike: routing, Frechet distance",
        runs: &[],
    },
    Bench {
        name: "infer",
        package: "pleach-tests",
        about: "a family of the small world in every precision: bytes, steps, pictures against f32, what the judge finds; \
                with --network sd21 experts of Stable Diffusion's size beside PyTorch and torch.onnx, which --python must have",
        runs: &[
            plain("The small world in every precision", Python::No),
            Run {
                title: "Experts of Stable Diffusion 2.1's size in every precision",
                about: Some(
                    "experts of 1, 0.8 and 0.55 of the multiply-accumulates beside PyTorch and torch.onnx: bytes, steps, memory, \
                     two experts in one process",
                ),
                arguments: &["--network", "sd21"],
                python: Python::Welcome,
            },
        ],
    },
    Bench {
        name: "load",
        package: "pleach-tests",
        about: "open that UNet in ONNX Runtime in every way there is: seconds, private memory",
        runs: &[plain("Opening", Python::No)],
    },
    Bench {
        name: "prune",
        package: "pleach-tests",
        about: "Stable Diffusion 2.1's UNet pruned: a step of APTP, cutting experts, and their steps against their multiply-accumulates",
        runs: &[plain("Pruning", Python::No)],
    },
    Bench {
        name: "step",
        package: "pleach-tests",
        about: "one UNet step in ONNX Runtime beside libtorch: medians, ratio, peak memory, load time",
        runs: &[plain("One UNet step", Python::No)],
    },
    Bench {
        name: "suppression",
        package: "pleach-tests",
        about: "make an expert of the small world forget a style by every method: what is left of it, and of everything else",
        runs: &[],
    },
    Bench {
        name: "train",
        package: "pleach-tests",
        about: "one training step of a UNet beside eager PyTorch, which --python must have: medians, ratio, peak memory",
        runs: &[plain("A training step", Python::Needed)],
    },
];

#[derive(clap::Args)]
pub struct Args {
    /// The benchmark; without one, all that time something, in turn
    #[arg(value_parser = names())]
    name: Option<String>,
    /// Put what it prints into docs/benchmarks.md, as all of them do
    #[arg(long, requires = "name", conflicts_with = "arguments")]
    record: bool,
    /// A Python with torch, diffusers, onnxscript and onnxruntime: the peers of some benchmarks
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Passed on to the benchmark, which prints and changes no page
    #[arg(last = true, requires = "name")]
    arguments: Vec<String>,
}

fn names() -> clap::builder::PossibleValuesParser {
    BENCHES.map(|bench| PossibleValue::new(bench.name).help(bench.about)).into()
}

/// Builds the benchmark for release and runs it, or all; false if one fails.
pub fn run(args: &Args, root: &Path) -> Result<bool> {
    // The program that some of them run.
    let mut command = cargo(root);
    command.args(["build", "--release", "--package", "pleach-trainer"]);
    if !command.status().context("cannot run cargo")?.success() {
        return Ok(false);
    }
    let chosen: Vec<&Bench> = match &args.name {
        Some(name) => BENCHES.iter().filter(|bench| bench.name == name).collect(),
        None => BENCHES.iter().collect(),
    };
    if let ([bench], Some(_), false) = (chosen.as_slice(), &args.name, args.record) {
        let mut command = bench.command(root, args.python.as_deref());
        command.args(&args.arguments);
        return Ok(command.status().context("cannot run cargo")?.success());
    }
    if chosen.iter().all(|bench| bench.runs.is_empty()) {
        bail!("it trains for hours and times nothing, so it is no part of docs/benchmarks.md; leave --record out");
    }
    record(&chosen, args.python.as_deref(), root)
}

impl Bench {
    fn command(&self, root: &Path, python: Option<&Path>) -> Command {
        let mut command = cargo(root);
        command.args(["bench", "--package", self.package, "--bench", self.name, "--"]);
        if let Some(python) = python {
            command.arg("--python").arg(python);
        }
        command
    }
}

/// Does the runs of these benchmarks and writes each one's section as it ends; false if one fails, after the others.
fn record(benches: &[&Bench], python: Option<&Path>, root: &Path) -> Result<bool> {
    // Compiling is no load to measure under.
    for bench in benches.iter().filter(|bench| !bench.runs.is_empty()) {
        let mut command = cargo(root);
        command.args(["bench", "--no-run", "--package", bench.package, "--bench", bench.name]);
        if !command.status().context("cannot run cargo")?.success() {
            return Ok(false);
        }
    }
    let mut done = true;
    for (bench, run) in benches.iter().flat_map(|bench| bench.runs.iter().map(move |run| (bench, run))) {
        let given = python.filter(|_| run.python != Python::No);
        if given.is_none() && run.python == Python::Needed {
            println!("==> {}: left out, since it needs --python", run.title);
            continue;
        }
        println!("==> {}", run.title);
        let machine = machine(root)?;
        let start = Instant::now();
        let mut command = bench.command(root, given);
        command.args(run.arguments);
        let (status, printed) = listen(&mut command)?;
        if !status {
            eprintln!("==> {} failed; its section stays as it was", run.title);
            done = false;
            continue;
        }
        let peers: &[&str] = if given.is_some() { &["--python", "PYTHON"] } else { &[] };
        let passed = [run.arguments, peers].concat();
        let passed = if passed.is_empty() { String::new() } else { format!(" -- {}", passed.join(" ")) };
        let order = BENCHES.iter().flat_map(|bench| bench.runs).map(|run| run.title);
        let section = Section {
            title: run.title,
            text: format!(
                "{}.\n\n`cargo xtask bench {}{passed}`, {} s. {machine}.\n\n```text\n{}\n```\n",
                capitalised(run.about.unwrap_or(bench.about).split(';').next().unwrap_or_default()),
                bench.name,
                start.elapsed().as_secs(),
                printed.trim_end()
            ),
        };
        Page::read(root)?.with(&section, order).write(root)?;
    }
    println!("==> the page is docs/benchmarks.md");
    Ok(done)
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// Runs a command and prints what it prints, which is the second of the two.
fn listen(command: &mut Command) -> Result<(bool, String)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let mut text = String::new();
    for line in BufReader::new(child.stdout.take().context("a benchmark has no output")?).lines() {
        let line = line.context("a benchmark prints what is no text")?;
        println!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    Ok((child.wait().context("cannot wait for cargo")?.success(), text))
}

/// The machine, its load, and the versions of what is measured, in one line.
fn machine(root: &Path) -> Result<String> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let says = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().context("cannot count the cores")?;
    let mut parts = vec![format!("{cores} cores")];
    parts.extend(field(&file("/proc/cpuinfo"), "model name"));
    if let Some(kilobytes) =
        field(&file("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
    {
        parts.push(format!("{} GB of memory", kilobytes.div_ceil(1_000_000)));
    }
    parts.push(native::platform());
    if let Some(load) = file("/proc/loadavg").split(' ').next().filter(|load| !load.is_empty()) {
        parts.push(format!("load {load} before"));
    }
    for part in native::parts()?.iter().filter(|part| ["libtorch", "onnxruntime"].contains(&part.name.as_str())) {
        let home = root.join(".native").join(&part.folder);
        match (setup::own(part, &home, |name| std::env::var_os(name)), part.build(&native::platform(), false)) {
            (Some((variable, _)), _) => parts.push(format!("{} of {variable}", part.name)),
            (None, Some(build)) => parts.extend(build.packages()?.split(", ").next().map(str::to_owned)),
            (None, None) => {}
        }
    }
    parts.extend(says("rustc", &["--version"]).map(|text| text.split(" (").next().unwrap_or_default().to_owned()));
    if let Some(commit) = says("git", &["log", "-1", "--format=%h of %cs"]) {
        // The page itself is what this run changes.
        let status = ["status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs/benchmarks.md"];
        let changed = says("git", &status).is_some_and(|text| !text.is_empty());
        parts.push(format!("commit {commit}{}", if changed { " and changes to it" } else { "" }));
    }
    Ok(parts.join(", "))
}
