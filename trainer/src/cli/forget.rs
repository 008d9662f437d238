//! What `suppress` and `erase` share: their arguments, a run for each network that forgets, and the family that comes out.

use super::{
    concepts::ConceptArgs,
    model::{Member, Model, Named, Step},
    place::Place,
};
use crate::{
    finetune::{STUDENT_FILES, Teacher, write_student},
    run::Start,
};
use clap::Args;
use pleach_console::{ExitCode, Printer, RecipeArgs, ReportArgs};
use pleach_model::tensor::Dtype;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tch::Tensor;

/// A network's parameters by name.
pub(super) type Tensors = Vec<(String, Tensor)>;

/// What a run left: parameters, or the step after which it was interrupted.
pub(super) type Left = Result<Tensors, u64>;

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

    fn run(&self, name: &str) -> PathBuf {
        self.out.join("runs").join(name)
    }

    fn student(&self, name: &str) -> PathBuf {
        self.run(name).join("student/unet")
    }

    /// Changes each chosen member that is not done yet, in the folder of its run, and writes what is left; false where it was interrupted.
    pub(super) fn each(
        &self,
        members: &[Member],
        teacher: &Teacher,
        printer: &Printer,
        change: impl Fn(&Member, &Path, Start) -> anyhow::Result<Left>,
    ) -> anyhow::Result<bool> {
        for member in members.iter().filter(|member| member.chosen) {
            let Member { name, architecture, .. } = member;
            let student = self.student(name);
            if self.resume && student.join(STUDENT_FILES[2]).is_file() {
                printer.note(format_args!("{name} is done"));
                continue;
            }
            let run = self.run(name);
            // Of several runs some may not have begun when all were to go on.
            let start = if self.resume && run.is_dir() { Start::Resume } else { Start::New };
            match change(member, &run, start)? {
                Ok(tensors) => write_student(&student, teacher, architecture, &tensors, Dtype::F32)?,
                Err(step) => {
                    printer.note(format_args!(
                        "{name}: stopped after step {step}; the same command with --resume goes on from there"
                    ));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Writes the family of what was left, and says so, with `more` in the report.
    pub(super) fn finish(
        &self,
        model: Model,
        step: &Step<'_>,
        more: impl IntoIterator<Item = (String, Value)>,
        printer: &Printer,
    ) -> anyhow::Result<ExitCode> {
        let root = self.out.join("family");
        let made = model.write(&root, &|name| self.student(name), step, printer)?;
        printer.status("Made", root.display());
        if self.report.json {
            let expert = |expert: &pleach_model::manifest::FamilyExpert| json!({ "name": expert.name, "suppressed": expert.suppressed });
            let mut report = Map::from_iter([("family".to_owned(), json!(root))]);
            report.extend(more);
            report.insert("experts".to_owned(), made.experts.iter().map(expert).collect());
            printer.json(&report)?;
        }
        Ok(ExitCode::Done)
    }
}
