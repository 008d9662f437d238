//! `pleach-train concept-images`: pictures of a concept, as a model draws it: what upper steps forget on.

use super::{
    drawing::{Drawing, DrawingArgs, Prompt, prompts},
    model::{Model, Named},
    place::Place,
    source::Wanted,
};
use crate::libtorch::libtorch;
use anyhow::{Context, ensure};
use clap::Args;
use pleach_console::{ExitCode, Interrupt, Printer, ReportArgs, ResultExt};
use pleach_model::files::{self, AtomicFolder, Overwrite};
use serde_json::json;
use std::{fmt::Write as _, path::PathBuf};

/// Captions of the pictures.
const METADATA: &str = "metadata.jsonl";

/// Arguments of `pleach-train concept-images`.
#[derive(Args, Clone, Debug)]
pub struct ConceptImagesArgs {
    /// What draws: a pipeline (a folder or a Hugging Face id), a family, or a student's unet folder
    #[arg(value_name = "MODEL")]
    model: String,
    /// Which expert of a family
    #[arg(long, value_name = "NAME")]
    expert: Option<String>,
    /// The pipeline that a student was cut out of, or where a family's base is now
    #[arg(long, value_name = "PIPELINE", default_value = "")]
    teacher: String,
    /// A prompt that asks for the concept
    #[arg(long, value_name = "PROMPT", required_unless_present = "prompts")]
    prompt: Vec<String>,
    /// Prompts that ask for it: JSON lines with text, or plain lines
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Pictures, the prompts taking turns [default: one for each prompt]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Folder of the pictures: an image folder with metadata.jsonl
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Replace pictures that are there already
    #[arg(long)]
    overwrite: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    device: Place,
    #[command(flatten)]
    drawing: DrawingArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
///
/// # Errors
/// A model or prompts that are wrong, a folder that is taken or cannot be written.
pub fn run(arguments: &ConceptImagesArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    libtorch()?;
    let device = arguments.device.device();
    let interrupt = Interrupt::install(printer)?;
    let mut asked: Vec<Prompt> =
        arguments.prompt.iter().map(|text| Prompt { text: text.clone(), ..Prompt::default() }).collect();
    if let Some(path) = &arguments.prompts {
        asked.extend(prompts(path)?);
    }
    let count = arguments.count.unwrap_or(asked.len());
    ensure!(count > 0, "--count is 0: nothing would be drawn");
    let asked: Vec<Prompt> = asked.iter().cycle().take(count).cloned().collect();
    let wanted = Wanted::network_only(arguments.drawing.resolution, device);
    let named = Named { model: &arguments.model, expert: arguments.expert.as_deref(), teacher: &arguments.teacher };
    let model = Model::open(&named, &wanted, printer)?;
    let mut chosen = model.chosen();
    let (Some(member), None) = (chosen.next(), chosen.next()) else {
        anyhow::bail!("pictures are drawn by one network: --expert names it");
    };
    let overwrite = if arguments.overwrite { Overwrite::IfItHolds(METADATA) } else { Overwrite::Never };
    let folder = AtomicFolder::create(&arguments.out, overwrite).hint("--overwrite replaces pictures")?;
    let drawing = Drawing::open(&model.base, &arguments.drawing, device)?;
    let bar = printer.progress(count as u64, "Drawing", "pictures");
    let pictures = drawing.draw(member, &asked, &|done| {
        bar.set(done as u64);
        !interrupt.requested()
    })?;
    drop(bar);
    let Some(pictures) = pictures else { return Ok(ExitCode::Incomplete) };
    let mut lines = String::new();
    for (number, (Prompt { text, labels }, picture)) in asked.iter().zip(&pictures).enumerate() {
        let name = format!("{number:06}.png");
        let path = folder.path().join(&name);
        picture.save(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut line = json!({ "file_name": name, "text": text });
        if !labels.is_empty() {
            line["labels"] = json!(labels);
        }
        writeln!(lines, "{line}")?;
    }
    files::write(&folder.path().join(METADATA), lines.as_bytes())?;
    folder.persist()?;
    if arguments.report.json {
        printer.json(&json!({ "out": arguments.out, "pictures": count }))?;
    }
    printer.status("Drew", format_args!("{count} pictures into {}", arguments.out.display()));
    Ok(ExitCode::Done)
}
