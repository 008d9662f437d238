//! The networks that a command changes: a pipeline's UNet, a student, experts of a family; and the family that they become.

use super::{
    prune::seen_from,
    source::{Base, Wanted},
};
use crate::{
    finetune::STUDENT_FILES,
    prune::{NewExpert, NewFamily, NewRouting, base_files, beside},
};
use anyhow::{Context, bail, ensure};
use pleach_console::Printer;
use pleach_model::{
    architecture::Architecture,
    checkpoint::Checkpoint,
    family::{self, FamilyFolder},
    files::Overwrite,
    manifest::{Family, Made},
    pipeline::Network,
    student::Student,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The file that marks a family.
const MANIFEST: &str = "pleach.json";
/// All experts of a family.
const ALL: &str = "all";

/// A network that can be changed.
pub(super) struct Member {
    pub name: String,
    pub architecture: Architecture,
    /// Its weights, where it has others than the base's.
    pub weights: Option<Checkpoint>,
    /// How it was made.
    made: Vec<Made>,
    /// Concepts that it was trained not to draw.
    pub suppressed: Vec<String>,
    /// Whether the command changes it.
    pub chosen: bool,
}

/// What a command's model is.
pub(super) struct Model {
    /// The pipeline that everything but the UNets comes from.
    pub base: Base,
    pub family: Option<FamilyFolder>,
    pub members: Vec<Member>,
}

/// How a model is named.
pub(super) struct Named<'a> {
    /// Folder of a pipeline, of a student, of its UNet or of a family; or a Hugging Face id.
    pub model: &'a str,
    /// An expert's name, or `all`.
    pub expert: Option<&'a str>,
    /// The pipeline of a student or a family, where it is not the one that the family names.
    pub teacher: &'a str,
}

impl Model {
    /// Opens it. `wanted` is asked for everything but the teacher.
    pub fn open(named: &Named<'_>, wanted: &Wanted<'_>, printer: &Printer) -> anyhow::Result<Self> {
        let Named { model, expert, teacher } = *named;
        ensure!(!model.is_empty(), "no model is named: a pipeline, a student's unet folder or a family");
        let folder = Path::new(model);
        let open = |teacher: &str| Base::open(&Wanted { teacher, ..*wanted }, printer);
        if folder.join(MANIFEST).is_file() {
            let family = FamilyFolder::open(folder)?;
            let base = open(&if teacher.is_empty() { family.base() } else { teacher.to_owned() })
                .context("cannot open the family's base; `teacher` in the recipe names another place for it")?;
            ensure!(
                base.teacher.config() == family.config(),
                "the experts of {} were not cut out of the UNet of {}: their configurations differ",
                folder.display(),
                base.folder.display()
            );
            let members = experts(&family, expert)?;
            return Ok(Self { base, members, family: Some(family) });
        }
        if let Some(family) = family::in_run(folder) {
            bail!("{model} is the folder of a run: its family is {}", family.display());
        }
        if let Some(name) = expert {
            bail!("{model} is no family: it has no expert {name:?}");
        }
        let single = |base: Base, name: &str, architecture, weights| {
            let member = Member {
                name: name.to_owned(),
                architecture,
                weights,
                made: Vec::new(),
                suppressed: Vec::new(),
                chosen: true,
            };
            Self { base, family: None, members: vec![member] }
        };
        if let Some(Student { unet, architecture }) = Student::find(folder)? {
            ensure!(
                !teacher.is_empty(),
                "{model} is a student's UNet: `teacher` must name the pipeline that it was cut out of"
            );
            let weights = unet.weights(None)?;
            return Ok(single(open(teacher)?, "student", architecture, Some(weights)));
        }
        Ok(single(open(model)?, "base", Architecture::full(), None))
    }

    /// Those that the command changes.
    pub fn chosen(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.chosen)
    }

    /// The family of what the command left: changed members as they are in `unet(name)`, the others as they were.
    pub fn write(
        self,
        root: &Path,
        unet: &dyn Fn(&str) -> PathBuf,
        step: &Step<'_>,
        printer: &Printer,
    ) -> anyhow::Result<Family> {
        let Self { base, family, members } = self;
        let mut experts = Vec::new();
        for member in members {
            let Member { name, architecture, weights, mut made, mut suppressed, chosen } = member;
            let weights = if chosen {
                let parents = match &weights {
                    None => base_files(base.teacher.folder())?,
                    Some(own) => vec![beside(own.path())?],
                };
                made.push(Made { method: step.method.to_owned(), recipe: step.recipe.clone(), parents });
                let new = step.concepts.iter().filter(|concept| !suppressed.contains(concept)).cloned();
                suppressed.extend(new.collect::<Vec<_>>());
                Some(Checkpoint::open(&unet(&name).join(STUDENT_FILES[0]))?)
            } else {
                weights
            };
            experts.push(NewExpert { name, architecture, weights, made: Some(made), suppressed });
        }
        let new = NewFamily {
            teacher: &base.teacher,
            source: seen_from(root, &base.folder)?,
            experts,
            at: family.as_ref().map_or_else(|| base.at(), |family| family.manifest().counted_at),
            router: family.filter(|family| family.router().is_some()).map(|family| NewRouting::Of(Box::new(family))),
            method: step.method.to_owned(),
            recipe: step.recipe.clone(),
        };
        Ok(new.write(root, Overwrite::IfItHolds(MANIFEST), &|expert| printer.status("Kept", &expert.name))?)
    }
}

/// What a command did to the members that it changed.
pub(super) struct Step<'a> {
    pub method: &'a str,
    pub recipe: Value,
    /// Names of what they were trained not to draw.
    pub concepts: Vec<String>,
}

fn experts(family: &FamilyFolder, chosen: Option<&str>) -> anyhow::Result<Vec<Member>> {
    let all = &family.manifest().experts;
    let names = || all.iter().map(|expert| expert.name.as_str()).collect::<Vec<_>>().join(", ");
    match chosen {
        None if all.len() > 1 => {
            bail!("the family has {} experts: --expert NAME ({}), or --expert all", all.len(), names())
        }
        Some(name) if name != ALL && family.manifest().expert(name).is_none() => {
            bail!("the family has no expert {name:?}; it has {}", names())
        }
        _ => {}
    }
    let member = |(expert, architecture): (&pleach_model::manifest::FamilyExpert, &Architecture)| {
        let weights = Network::open(&family.unet(&expert.name))?.weights(None)?;
        Ok(Member {
            name: expert.name.clone(),
            architecture: architecture.clone(),
            weights: Some(weights),
            made: expert.made.clone(),
            suppressed: expert.suppressed.clone(),
            chosen: chosen.is_none_or(|name| name == ALL || name == expert.name),
        })
    };
    all.iter().zip(family.architectures()).map(member).collect()
}
