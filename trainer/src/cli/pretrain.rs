//! `pleach-train pretrain`: the small world's base model from nothing.

use super::watch::Shown;
use crate::{
    pretrain::{Pretraining, Recipe, Stage},
    run::Outcome,
};
use pleach_console::{ExitCode, Interrupt, Printer, RecipeArgs, ReportArgs};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `pleach-train pretrain`.
#[derive(clap::Args, Clone, Debug)]
pub struct PretrainArgs {
    /// Folder of the runs, and of the pipeline that they make
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Only these parts, in the order in which they need each other
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Stage::ALL)]
    stage: Vec<Stage>,
    /// Go on where runs in the folder stopped
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
///
/// # Errors
/// The recipe is wrong, a run exists or has another recipe, a loss is not finite, the disk is full.
pub fn run(arguments: &PretrainArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let recipe: Recipe = arguments.recipe.load_over(&Recipe::default())?;
    if arguments.recipe.printed(&recipe, printer)? {
        return Ok(ExitCode::Done);
    }
    let interrupt = Interrupt::install(printer)?;
    printer.status("Drawing", format_args!("{} pictures of the small world", recipe.pictures));
    let pretraining = Pretraining::new(&recipe, &arguments.out, arguments.resume)?;
    for stage in Stage::ALL.into_iter().filter(|stage| arguments.stage.contains(stage)) {
        if arguments.resume && pretraining.is_made(stage) {
            continue;
        }
        let what = format!("{stage:?}");
        if let Outcome::Interrupted { step } = pretraining.run(stage, &Shown::new(printer, &interrupt, &what))? {
            printer.note(format_args!(
                "stopped after step {step} of {what}; the same command with --resume goes on from there"
            ));
            return Ok(ExitCode::Incomplete);
        }
    }
    let accuracy = if pretraining.is_made(Stage::Judge) { Some(pretraining.examine()?) } else { None };
    if arguments.report.json {
        printer.json(&json!({ "pipeline": pretraining.pipeline(), "judge": accuracy }))?;
    } else {
        printer.status("Made", pretraining.pipeline().display());
        for (head, rate) in accuracy.iter().flatten() {
            printer.line(format_args!("judge, {head}: right on {:.2} % of fresh pictures", 100.0 * rate))?;
        }
    }
    Ok(ExitCode::Done)
}
