//! `pleach-train probe`: a quick look at what a model draws.

use super::{
    drawing::{Drawing, DrawingArgs, Prompt, prompts},
    model::{Model, Named},
    place::Place,
    source::Wanted,
};
use crate::{
    libtorch::libtorch,
    probe::{HeadCount, Judge, count},
    run::grid,
};
use anyhow::{Context, ensure};
use clap::Args;
use pleach_console::{Align, ExitCode, Interrupt, Printer, ReportArgs, Table};
use serde::Serialize;
use std::{fs, path::PathBuf};

/// Pictures in the grid.
const SHOWN: usize = 48;
/// Pictures in a row of it.
const COLUMNS: usize = 8;
/// Where a pipeline of the small world has its judge.
const JUDGE: &str = "judge";

/// Arguments of `pleach-train probe`.
#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// What draws: a family, a student's unet folder, or a pipeline (a folder or a Hugging Face id)
    #[arg(value_name = "MODEL")]
    model: String,
    /// Which expert of a family; `all` for all, each with all prompts
    #[arg(long, value_name = "NAME")]
    expert: Option<String>,
    /// The pipeline that a student was cut out of, or where a family's base is now
    #[arg(long, value_name = "PIPELINE", default_value = "")]
    teacher: String,
    /// Prompts: JSON lines with text and labels, as `world` writes them, or plain lines
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Prompts that are drawn, the first ones [default: all]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Folder of the classifier that judges [default: judge beside the parts of the base]
    #[arg(long, value_name = "DIR")]
    judge: Option<PathBuf>,
    /// Folder for a grid of pictures of each expert
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    device: Place,
    #[command(flatten)]
    drawing: DrawingArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// What was found of one expert.
#[derive(Serialize)]
struct Probed {
    expert: String,
    suppressed: Vec<String>,
    pictures: usize,
    heads: Vec<HeadCount>,
    grid: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A model, prompts or a classifier that are wrong.
pub fn run(arguments: &ProbeArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    libtorch()?;
    let device = arguments.device.device();
    let interrupt = Interrupt::install(printer)?;
    let mut asked = prompts(&arguments.prompts)?;
    asked.truncate(arguments.count.unwrap_or(usize::MAX));
    ensure!(!asked.is_empty(), "--count is 0: nothing would be drawn");
    let wanted = Wanted::network_only(arguments.drawing.resolution, device);
    let named = Named { model: &arguments.model, expert: arguments.expert.as_deref(), teacher: &arguments.teacher };
    let model = Model::open(&named, &wanted, printer)?;
    let judge = arguments.judge.clone().unwrap_or_else(|| model.base.folder.join(JUDGE));
    let judge = Judge::open(&judge, device).context("cannot open the classifier; --judge names its folder")?;
    let drawing = Drawing::open(&model.base, &arguments.drawing, device)?;
    let mut probed = Vec::new();
    for member in model.chosen() {
        let bar = printer.progress(asked.len() as u64, &member.name, "pictures");
        let pictures = drawing.draw(member, &asked, &|done| {
            bar.set(done as u64);
            !interrupt.requested()
        })?;
        drop(bar);
        let Some(pictures) = pictures else { return Ok(ExitCode::Incomplete) };
        let mut found = Vec::new();
        for part in pictures.chunks(64) {
            found.extend(judge.look(part)?);
        }
        let judged: Vec<_> = asked.iter().map(|prompt: &Prompt| &prompt.labels).zip(found).collect();
        let path = match &arguments.out {
            None => None,
            Some(out) => {
                fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
                let path = out.join(format!("{}.png", member.name));
                let shown = grid(&pictures[..SHOWN.min(pictures.len())], COLUMNS, 2);
                shown.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
                printer.status("Drew", path.display());
                Some(path)
            }
        };
        probed.push(Probed {
            expert: member.name.clone(),
            suppressed: member.suppressed.clone(),
            pictures: pictures.len(),
            heads: count(judge.heads(), &judged),
            grid: path,
        });
    }
    if arguments.report.json {
        printer.json(&probed)?;
    } else {
        printer.table(&table(&probed))?;
    }
    Ok(ExitCode::Done)
}

fn table(probed: &[Probed]) -> Table {
    let (l, r) = (Align::Left, Align::Right);
    let mut table =
        Table::new([("expert", l), ("head", l), ("class", l), ("found", r), ("of", r), ("rate", r), ("unasked", r)]);
    for Probed { expert, heads, .. } in probed {
        for head in heads {
            let mut row = |class: &str, [found, asked]: [usize; 2], unasked: String| {
                let rate =
                    if asked == 0 { String::new() } else { format!("{:.1} %", 100.0 * found as f64 / asked as f64) };
                table.row([
                    expert.as_str(),
                    &head.head,
                    class,
                    &found.to_string(),
                    &asked.to_string(),
                    &rate,
                    &unasked,
                ]);
            };
            row("(exactly)", [head.exact, head.asked], String::new());
            for class in &head.classes {
                row(&class.class, [class.found, class.asked], class.unasked.to_string());
            }
        }
    }
    table
}
