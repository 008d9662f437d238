//! `pleach-audit judge`: how often pictures show what was asked for.

use anyhow::{Context, ensure};
use pleach_console::{Align, ExitCode, Interrupt, Printer, ReportArgs, Table};
use pleach_evaluator::judge::{Asked, Classifier, Error, HeadScore, Rate, Seen, Truth, score};
use pleach_model::files::{self, digest_file};
use pleach_runtime::{
    engine::{Engine, EngineOptions},
    png,
};
use serde::Serialize;
use std::{
    collections::HashSet,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// The arguments of `pleach-audit judge`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the pictures (PNG): what `pleach generate` drew, or an image folder
    #[arg(value_name = "PICTURES")]
    pictures: PathBuf,
    /// Folder of the classifier, as `pleach export` writes it
    #[arg(long, value_name = "DIR")]
    classifier: PathBuf,
    /// What the pictures should show: JSON lines with text (the prompt), labels, and file_name where it belongs to one picture
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// The least share, 0 to 1, of pictures in which each head must find what was asked: where one finds less, the exit code is 1
    #[arg(long, value_name = "RATE")]
    require: Option<f64>,
    /// Also print every class
    #[arg(long)]
    by_class: bool,
    /// Threads to compute with [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// ONNX Runtime to use [default: $ORT_DYLIB_PATH, beside this program, the system's]
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    /// Pictures judged.
    pictures: usize,
    /// Lines of the labels that no picture was found for.
    missing: usize,
    /// The classifier's files.
    classifier: Vec<FileReport>,
    heads: Vec<HeadScore>,
    /// Whether each head found as much as was required; none where nothing was.
    passed: Option<bool>,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    sha256: String,
}

/// Pictures that are looked at together.
const BATCH: usize = 64;

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    if let Some(rate) = args.require {
        ensure!((0.0..=1.0).contains(&rate), "--require is {rate}; it is a share, from 0 to 1");
    }
    let engine = Engine::start(&EngineOptions { dylib: args.ort_lib.clone(), threads: args.threads })?;
    let mut classifier = Classifier::open(&engine, &args.classifier)?;
    let truth = Truth::read(&args.labels, classifier.heads())?;
    let files = pictures(&args.pictures)?;
    ensure!(!files.is_empty(), "{}: no PNG files are there", args.pictures.display());
    let interrupt = Interrupt::install(printer)?;
    let bar = printer.progress(files.len() as u64, "Judging", "pictures");
    let mut judged = Vec::new();
    let mut lines = HashSet::new();
    for part in files.chunks(BATCH) {
        let mut asked = Vec::new();
        let mut decoded = Vec::new();
        for file in part {
            let (line, one) = ask(file, &truth)?;
            lines.insert(line);
            asked.push(one);
            decoded
                .push(image::open(file).map_err(|source| Error::Picture { path: file.clone(), source })?.into_rgb8());
        }
        judged.extend(asked.into_iter().zip(look(&mut classifier, &decoded)?));
        bar.inc(part.len() as u64);
        if interrupt.requested() {
            return Ok(ExitCode::Incomplete);
        }
    }
    bar.finish();
    let heads = score(classifier.heads(), &judged)?;
    let passed = args.require.map(|rate| heads.iter().all(|head| head.found.rate >= rate));
    let missing = truth.len() - lines.len();
    let report = Report { pictures: judged.len(), missing, classifier: identity(&args.classifier)?, heads, passed };
    if args.report.json {
        printer.json(&report)?;
    } else {
        print(&report, args, printer)?;
    }
    Ok(if passed == Some(false) { ExitCode::No } else { ExitCode::Done })
}

/// The PNG files right in a folder, by name.
fn pictures(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read the folder {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The line that a picture belongs to: the one that names it, or the one with the prompt that it carries.
fn ask<'t>(file: &Path, truth: &'t Truth) -> anyhow::Result<(usize, &'t Asked)> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some(found) = truth.of_name(name) {
        return Ok(found);
    }
    let recipe = png::describe(file)?.recipe;
    let found = recipe.and_then(|recipe| truth.of_prompt(&recipe.prompt));
    Ok(found.ok_or_else(|| Error::Unasked { picture: file.to_owned(), truth: truth.path().to_owned() })?)
}

/// Looks at pictures of any sizes.
fn look(classifier: &mut Classifier, pictures: &[image::RgbImage]) -> anyhow::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for alike in pictures.chunk_by(|a, b| a.dimensions() == b.dimensions()) {
        seen.extend(classifier.look(&alike.iter().collect::<Vec<_>>())?);
    }
    Ok(seen)
}

fn identity(folder: &Path) -> anyhow::Result<Vec<FileReport>> {
    let files = ["config.json", "model.onnx", "model.onnx_data"].into_iter().filter(|name| folder.join(name).is_file());
    let report = |name: &str| -> Result<FileReport, files::Error> {
        let digest = digest_file(&folder.join(name))?;
        Ok(FileReport { file: name.to_owned(), sha256: digest.sha256.to_string() })
    };
    Ok(files.map(report).collect::<Result<_, _>>()?)
}

fn print(report: &Report, args: &Args, printer: &Printer) -> anyhow::Result<()> {
    let columns = ["", "pictures", "found", "95 % interval", "nothing else", "95 % interval"];
    let align = |i: usize| if i == 0 { Align::Left } else { Align::Right };
    let mut table = Table::new(columns.iter().enumerate().map(|(i, name)| (*name, align(i))));
    let rate = |rate: &Rate| {
        let percent = |share: f64| format!("{:.1}", 100.0 * share);
        let Rate { rate, interval, .. } = rate;
        [format!("{} %", percent(*rate)), format!("{} to {}", percent(interval.low), percent(interval.high))]
    };
    for HeadScore { head, found, exact, classes } in &report.heads {
        let row = [vec![head.clone(), found.of.to_string()], rate(found).to_vec(), rate(exact).to_vec()];
        table.row(row.concat());
        for class in classes.iter().filter(|_| args.by_class) {
            let instead: Vec<String> = class.instead.iter().map(|(name, count)| format!("{count} {name}")).collect();
            let instead = if instead.is_empty() { String::new() } else { format!("instead: {}", instead.join(", ")) };
            let row = [
                vec![format!("  {}", class.class), class.found.of.to_string()],
                rate(&class.found).to_vec(),
                vec![instead, String::new()],
            ];
            table.row(row.concat());
        }
    }
    printer.table(&table)?;
    if report.missing > 0 {
        printer.warn(format_args!("{} lines of {} have no picture", report.missing, args.labels.display()));
    }
    if report.passed == Some(false) {
        printer.warn("a head found less than --require asks for");
    }
    Ok(())
}
