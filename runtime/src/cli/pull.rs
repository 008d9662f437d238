//! `pleach pull`: a model of Hugging Face into the cache that all its tools share, and where it lies there.

use pleach_console::{ExitCode, Printer, ReportArgs, human};
use pleach_hub::{BUNDLE_FILES, Config, Hub, Id, Snapshot, checkpoint_files};
use serde::Serialize;
use std::{fs, path::Path};

/// The arguments of `pleach pull`.
#[derive(clap::Args)]
pub struct Args {
    /// The repository, a revision of it if wanted: org/name or org/name@revision
    #[arg(value_name = "REPO[@REVISION]")]
    id: String,

    /// The files of an ONNX pipeline instead of those of a diffusers checkpoint
    #[arg(long)]
    onnx: bool,

    /// Weights to fetch where the checkpoint has several variants (fp16)
    #[arg(long, value_name = "NAME", conflicts_with = "onnx")]
    variant: Option<String>,

    /// Fetch the files that match, instead of those that a pipeline is made of; * crosses folders
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["onnx", "variant"])]
    include: Vec<String>,

    /// Leave out the files that match
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Ask nobody, answer from the cache [HF_HUB_OFFLINE=1 does the same]
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    repository: String,
    revision: &'a str,
    commit: &'a str,
    folder: &'a Path,
    bytes: u64,
    files: &'a [String],
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let id: Id = args.id.parse()?;
    let mut config = Config::from_env()?;
    config.offline |= args.offline;
    let patterns = match (&args.include[..], args.onnx) {
        ([], true) => BUNDLE_FILES.map(str::to_owned).into(),
        ([], false) => checkpoint_files(args.variant.as_deref()),
        (include, _) => include.to_vec(),
    };
    let copies = printer.copies("Fetching");
    let progress = |file: &str, position, total| copies.update(file, position, total);
    let snapshot = Hub::new(config).resolve_except(&id, &patterns, &args.exclude, &progress)?;
    let report = Report::new(&snapshot);
    if args.report.json {
        printer.json(&report)?;
    } else {
        printer.line(snapshot.folder.display())?;
    }
    let Report { repository, commit, bytes, files, .. } = report;
    let count = files.len();
    printer.status("Pulled", format_args!("{repository}@{commit}: {count} files, {}", human::bytes(bytes)));
    Ok(ExitCode::Done)
}

impl<'a> Report<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let Snapshot { id, commit, folder, files } = snapshot;
        let bytes = files.iter().filter_map(|file| fs::metadata(folder.join(file)).ok()).map(|file| file.len()).sum();
        Self { repository: id.repository(), revision: id.revision(), commit, folder, bytes, files }
    }
}
