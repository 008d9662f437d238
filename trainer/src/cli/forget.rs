//! What `suppress` and `erase` share: their arguments.

use super::{concepts::ConceptArgs, model::Named, place::Place, runs::Runs};
use clap::Args;
use pleach_console::{RecipeArgs, ReportArgs};
use std::path::PathBuf;

/// Arguments of commands that make networks forget.
#[derive(Args, Clone, Debug)]
pub struct ForgetArgs {
    /// What forgets: a family, a student's unet folder, or a pipeline (a folder or a Hugging Face id)
    #[arg(value_name = "MODEL")]
    model: String,
    /// Which expert of a family; `all` for all
    #[arg(long, value_name = "NAME")]
    expert: Option<String>,
    /// Folder of the runs and of the family that they make
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) concept: ConceptArgs,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) device: Place,
    /// Go on where the runs in the folder stopped
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    pub(super) recipe: RecipeArgs,
    #[command(flatten)]
    report: ReportArgs,
}

impl ForgetArgs {
    /// The model, with the pipeline that a recipe names.
    pub(super) fn named<'a>(&'a self, teacher: &'a str) -> Named<'a> {
        Named { model: &self.model, expert: self.expert.as_deref(), teacher }
    }

    /// Where the concepts' pictures are encoded.
    pub(super) fn concepts(&self) -> PathBuf {
        self.out.join("concepts")
    }

    /// The networks' runs.
    pub(super) fn runs(&self) -> Runs<'_> {
        Runs { out: &self.out, resume: self.resume, json: self.report.json }
    }
}
