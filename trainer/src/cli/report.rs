//! `pleach-train report`: what a family is like.

use crate::{
    prune::{read_routes, report},
    run::{heatmaps, histogram},
};
use anyhow::Context;
use clap::Args;
use image::RgbImage;
use pleach_console::{Align, ExitCode, Printer, ReportArgs, ResultExt, Table, human};
use pleach_model::{
    family::FamilyFolder,
    files::{self, AtomicFolder, Overwrite},
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The report's file, by which its folder is known.
const REPORT: &str = "report.md";
/// What is left of the experts.
const MAPS: &str = "experts.png";
/// How clearly prompts are routed.
const MARGINS: &str = "margins.png";
/// Bars of the histogram.
const BINS: usize = 40;

/// Arguments of `pleach-train report`.
#[derive(Args, Clone, Debug)]
pub struct FamilyReportArgs {
    /// Folder of the family
    #[arg(value_name = "FAMILY")]
    family: PathBuf,
    /// Routes of captions, as `prune` and `route` write them [default: routes.jsonl beside the family, if it is there]
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// Folder to write to [default: report beside the family]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    report: &'a Path,
    base_parameters: u64,
    experts: &'a [report::ExpertReport],
}

/// Runs the command. A report that is there already is replaced.
///
/// # Errors
/// No family, no routes where they were asked for, a folder that cannot be written.
pub fn run(arguments: &FamilyReportArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let family = FamilyFolder::open(&arguments.family)?;
    let beside = |name: &str| std::path::absolute(&arguments.family).map(|family| family.with_file_name(name));
    let routes = match &arguments.routes {
        Some(path) => Some(read_routes(path)?),
        None => {
            Some(beside("routes.jsonl")?).filter(|path| path.is_file()).map(|path| read_routes(&path)).transpose()?
        }
    };
    let experts = report::experts(&family, routes.as_deref())?;
    let margins = routes.as_ref().map(|routes| {
        let margins: Vec<f64> = routes.iter().map(|route| f64::from(route.margin)).collect();
        histogram("margin between the first and the second expert", &margins, BINS)
    });
    let out = arguments.out.clone().map_or_else(|| beside("report"), Ok)?;
    let folder = AtomicFolder::create(&out, Overwrite::IfItHolds(REPORT)).hint("--out chooses another folder")?;
    let save = |name: &str, picture: &RgbImage| {
        let path = folder.path().join(name);
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))
    };
    save(MAPS, &heatmaps(&report::maps(&family)?)?)?;
    if let Some(margins) = margins.transpose()? {
        save(MARGINS, &margins)?;
    }
    let text = markdown(&family, &experts, routes.as_ref().map(Vec::len));
    files::write(&folder.path().join(REPORT), text.as_bytes())?;
    folder.persist()?;
    if arguments.report.json {
        let base_parameters = family.manifest().base.parameters;
        printer.json(&Report { report: &out, base_parameters, experts: &experts })?;
    } else {
        printer.table(&table(&experts, routes.as_ref().map(Vec::len)))?;
    }
    printer.status("Wrote", out.join(REPORT).display());
    Ok(ExitCode::Done)
}

/// A row for each expert: name, parameters, share of the MACs, share of the prompts.
fn rows(experts: &[report::ExpertReport], prompts: Option<usize>) -> impl Iterator<Item = [String; 4]> {
    experts.iter().map(move |expert| {
        let share = expert.prompts.zip(prompts).map(|(own, all)| 100.0 * own as f64 / all.max(1) as f64);
        let share = share.map_or_else(|| "unknown".to_owned(), |share| format!("{share:.1} %"));
        let macs = format!("{:.1} %", 100.0 * expert.macs_ratio);
        [expert.name.clone(), human::exact(expert.parameters), macs, share]
    })
}

const HEADINGS: [&str; 4] = ["expert", "parameters", "MACs of the base's", "prompts"];

/// A table of experts, with the share of so many prompts that goes to each.
pub(super) fn table(experts: &[report::ExpertReport], prompts: Option<usize>) -> Table {
    let columns = [Align::Left, Align::Right, Align::Right, Align::Right];
    let mut table = Table::new(HEADINGS.into_iter().zip(columns));
    rows(experts, prompts).for_each(|row| {
        table.row(row);
    });
    table
}

fn markdown(family: &FamilyFolder, experts: &[report::ExpertReport], prompts: Option<usize>) -> String {
    let manifest = family.manifest();
    let mut text = String::from("# Experts\n\n");
    let at = manifest.counted_at;
    let made: Vec<&str> =
        manifest.experts.iter().take(1).flat_map(|expert| &expert.made).map(|made| made.method.as_str()).collect();
    let (base, parameters) = (&manifest.base.source, human::exact(manifest.base.parameters));
    write!(
        text,
        "Base: `{base}`, {parameters} parameters. Made by: {}. MACs at {} x {} latents and {} tokens.\n\n",
        made.join(", "),
        at.height,
        at.width,
        at.tokens
    )
    .unwrap_or_default();
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    text += &line(&HEADINGS.map(str::to_owned));
    text += "|---|---|---|---|\n";
    rows(experts, prompts).for_each(|row| text += &line(&row));
    text += &format!("\nShare of each site's units that is left:\n\n![experts]({MAPS})\n");
    if prompts.is_some() {
        text += &format!("\nHow clearly prompts are routed:\n\n![margins]({MARGINS})\n");
    }
    for expert in experts {
        text += &format!("\n## {}\n\n", expert.name);
        if !expert.removed.is_empty() {
            text += &format!("Without {}.\n\n", expert.removed.join(", "));
        }
        if expert.prompts == Some(0) {
            text += "No prompt goes here.\n";
        }
        for (prompt, margin) in &expert.examples {
            text += &format!("- {prompt} (margin {margin:.4})\n");
        }
    }
    text
}
