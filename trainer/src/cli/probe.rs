//! `pleach-train probe`: a quick look at what a model draws.

use super::{
    drawing::{Drawing, DrawingArgs, Prompt, prompts},
    model::{Model, Named},
    place::Place,
    source::Wanted,
};
use crate::{
    libtorch::libtorch,
    probe::{HeadCount, Judge, Labels, count},
    run::grid,
};
use anyhow::{Context, ensure};
use clap::Args;
use pleach_console::{Align, ExitCode, Interrupt, Printer, ReportArgs, Table};
use pleach_model::vision::Head;
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
    /// Count prompts that ask for this class apart from the others: `style=striped`
    #[arg(long, value_name = "HEAD=CLASS", value_parser = split)]
    split: Option<(String, String)>,
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
    groups: Vec<Group>,
    grid: Option<PathBuf>,
}

/// What was found of some of its pictures.
#[derive(Serialize)]
struct Group {
    prompts: String,
    heads: Vec<HeadCount>,
}

fn split(text: &str) -> Result<(String, String), String> {
    let (head, class) = text.split_once('=').ok_or("expected HEAD=CLASS, such as style=striped")?;
    Ok((head.to_owned(), class.to_owned()))
}

/// The pictures of prompts that ask for a class, and the others; all, where none is named.
fn groups(
    heads: &[Head],
    judged: Vec<(&Labels, Vec<Vec<usize>>)>,
    split: Option<&(String, String)>,
) -> anyhow::Result<Vec<Group>> {
    let Some((head, class)) = split else {
        return Ok(vec![Group { prompts: "all".into(), heads: count(heads, &judged) }]);
    };
    let asks = |labels: &Labels| labels.get(head).is_some_and(|classes| classes.contains(class));
    let (with, without): (Vec<_>, Vec<_>) = judged.into_iter().partition(|(labels, _)| asks(labels));
    ensure!(!with.is_empty(), "--split: no prompt has the label {head} = {class}");
    Ok(vec![
        Group { prompts: class.clone(), heads: count(heads, &with) },
        Group { prompts: "others".into(), heads: count(heads, &without) },
    ])
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
        let judged = asked.iter().map(|prompt: &Prompt| &prompt.labels).zip(found).collect();
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
            groups: groups(judge.heads(), judged, arguments.split.as_ref())?,
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
    let mut table = Table::new([
        ("expert", l),
        ("prompts", l),
        ("head", l),
        ("class", l),
        ("found", r),
        ("of", r),
        ("rate", r),
        ("unasked", r),
    ]);
    let groups = probed.iter().flat_map(|probed| probed.groups.iter().map(|group| (&probed.expert, group)));
    for (expert, Group { prompts, heads }) in groups {
        for head in heads {
            let mut row = |class: &str, [found, asked]: [usize; 2], unasked: &str| {
                let rate = 100.0 * found as f64 / asked.max(1) as f64;
                let rate = if asked == 0 { String::new() } else { format!("{rate:.1} %") };
                let [found, asked] = [found, asked].map(|count| count.to_string());
                table.row([expert.as_str(), prompts, &head.head, class, &found, &asked, &rate, unasked]);
            };
            row("(exactly)", [head.exact, head.asked], "");
            for class in &head.classes {
                row(&class.class, [class.found, class.asked], &class.unasked.to_string());
            }
        }
    }
    table
}
