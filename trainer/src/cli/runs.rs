//! A run for each network that a command changes, and the family that comes out.

use super::{
    model::{Member, Model, Step},
    source::Source,
};
use crate::{
    finetune::{STUDENT_FILES, Teacher, write_student},
    prune::{PromptRouter, Routed, read_routes, route},
    run::{RunFolder, Start},
};
use pleach_console::{ExitCode, Printer};
use pleach_model::{family::FamilyFolder, tensor::Dtype};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// A network's parameters by name.
pub(super) type Tensors = Vec<(String, Tensor)>;

/// What a run left: parameters, or the step after which it was interrupted.
pub(super) type Left = Result<Tensors, u64>;

/// Where the runs lie, and what is done about them.
pub(super) struct Runs<'a> {
    /// Folder of the runs and of the family that they make.
    pub out: &'a Path,
    /// Whether those that are there go on.
    pub resume: bool,
    /// Whether the report is printed as JSON.
    pub json: bool,
}

impl Runs<'_> {
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
            let start = if self.resume && RunFolder::is_at(&run) { Start::Resume } else { Start::New };
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
        if self.json {
            let expert = |expert: &pleach_model::manifest::FamilyExpert| json!({ "name": expert.name, "suppressed": expert.suppressed });
            let mut report = Map::from_iter([("family".to_owned(), json!(root))]);
            report.extend(more);
            report.insert("experts".to_owned(), made.experts.iter().map(expert).collect());
            printer.json(&report)?;
        }
        Ok(ExitCode::Done)
    }
}

/// Which captions the experts of a family learn.
pub(super) struct Learnt<'a> {
    /// All of them, and not each its own alone.
    pub all: bool,
    /// Where each caption goes, as `pleach-train route` wrote it; without it the family's own router says.
    pub routes: Option<&'a Path>,
}

impl Learnt<'_> {
    /// Where the captions go, where there are experts that learn their own.
    pub fn by(
        &self,
        family: Option<&FamilyFolder>,
        source: &Source,
        device: Device,
        printer: &Printer,
    ) -> anyhow::Result<Option<Vec<Routed>>> {
        let Some(family) = family.filter(|_| !self.all) else { return Ok(None) };
        if let Some(path) = self.routes {
            return Ok(Some(read_routes(path)?));
        }
        let Some(router) = PromptRouter::open(family, device)? else { return Ok(None) };
        let names: Vec<String> = family.manifest().experts.iter().map(|expert| expert.name.clone()).collect();
        let bar = printer.progress(source.dataset.len() as u64, "Routing", "captions");
        Ok(Some(route(&*source.dataset, &router, &names, &|done| bar.set(done as u64))?))
    }
}
