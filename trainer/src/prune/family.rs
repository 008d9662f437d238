//! A family as it lies in a folder: experts that are cut out of their base, and the router between them.
//!
//! ```text
//! FAMILY/  pleach.json            what is in it, and how it was made
//!          router/                router.safetensors, encoder/ (the sentence encoder)
//!          experts/NAME/unet/     weights, config.json, architecture.json
//! ```

use super::LearntExpert;
use crate::{
    finetune::{STUDENT_FILES, Teacher, write_student},
    run::{Result, write_weights},
};
use pleach_model::{
    architecture::Architecture,
    checkpoint::Checkpoint,
    counter::{self, At},
    family::{ENCODER, EXPERTS, FamilyFolder, GATES, ROUTER},
    files::{AtomicFolder, Overwrite},
    manifest::{self, Base, Family, FamilyExpert, FileEntry, Kind, Made, Producer, RouterEntry, Schema},
    router::RouterConfig,
    tensor::Dtype,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tch::Tensor;

/// What is taken of a sentence encoder's folder.
pub const ENCODER_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// A router that was learnt.
pub struct NewRouter {
    /// Sizes and rules.
    pub config: RouterConfig,
    /// The predictor's tensors and the codes' logits.
    pub tensors: Vec<(String, Tensor)>,
    /// The experts' gates, in their order.
    pub experts: Vec<LearntExpert>,
    /// Folder of the sentence encoder.
    pub encoder: PathBuf,
}

/// What chooses between a new family's experts.
pub enum NewRouting {
    /// A router that was learnt.
    Learnt(NewRouter),
    /// The router of another family, whose experts have the same architectures.
    Of(Box<FamilyFolder>),
}

/// An expert that becomes part of a family.
pub struct NewExpert {
    /// Its name.
    pub name: String,
    /// What is left of it.
    pub architecture: Architecture,
    /// Its weights, where they are not to be cut out of the base.
    pub weights: Option<Checkpoint>,
    /// How it was made, where that is not the family's method alone.
    pub made: Option<Vec<Made>>,
    /// Concepts that it was trained not to draw.
    pub suppressed: Vec<String>,
}

impl NewExpert {
    /// One that is cut out of the base.
    pub fn cut(name: impl Into<String>, architecture: Architecture) -> Self {
        Self { name: name.into(), architecture, weights: None, made: None, suppressed: Vec::new() }
    }

    /// One with weights of its own.
    pub fn stored(name: impl Into<String>, architecture: Architecture, weights: Checkpoint) -> Self {
        Self { weights: Some(weights), ..Self::cut(name, architecture) }
    }
}

/// What makes a family.
pub struct NewFamily<'a> {
    /// The network that the experts are cut out of.
    pub teacher: &'a Teacher,
    /// Where its pipeline is, see [`Base::source`].
    pub source: String,
    /// The experts, in the order of the router.
    pub experts: Vec<NewExpert>,
    /// What chooses between them.
    pub router: Option<NewRouting>,
    /// Sizes that are served.
    pub at: At,
    /// What was done.
    pub method: String,
    /// By which recipe.
    pub recipe: Value,
}

impl NewFamily<'_> {
    /// Cuts the experts and writes the folder, whole or not at all. `done` is called after each expert.
    ///
    /// # Errors
    /// An architecture of another network, files that cannot be read or written.
    pub fn write(self, folder: &Path, overwrite: Overwrite, done: &dyn Fn(&FamilyExpert)) -> Result<Family> {
        let folder = AtomicFolder::create(folder, overwrite)?;
        let root = folder.path();
        let Self { teacher, source, experts, router, at, method, recipe } = self;
        let count = |architecture: &Architecture| counter::unet(teacher.config(), architecture, at);
        let whole = count(&Architecture::full())?;
        let files = base_files(teacher.folder())?;
        let router = router.map(|router| router.write(root)).transpose()?.flatten();
        let mut list = Vec::with_capacity(experts.len());
        for NewExpert { name, architecture, weights, made, suppressed } in experts {
            let inside = format!("{EXPERTS}/{name}/unet");
            let (tensors, dtype) = match &weights {
                None => teacher.cut(&architecture)?,
                Some(own) => teacher.stored(&architecture, own)?,
            };
            write_student(&root.join(&inside), teacher, &architecture, &tensors, dtype)?;
            drop(tensors);
            let left = count(&architecture)?;
            let entry = |file| FileEntry::of(root, format!("{inside}/{file}"));
            let made = match made {
                Some(made) => made,
                None => {
                    let parents = match &weights {
                        None => files.clone(),
                        Some(own) => vec![beside(own.path())?],
                    };
                    vec![Made { method: method.clone(), recipe: recipe.clone(), parents }]
                }
            };
            let expert = FamilyExpert {
                name,
                files: STUDENT_FILES.into_iter().map(entry).collect::<manifest::Result<_>>()?,
                parameters: left.parameters(),
                macs: left.macs(),
                suppressed,
                made,
            };
            done(&expert);
            list.push(expert);
        }
        let family = Family {
            schema: Schema,
            kind: Kind::Family,
            producer: Producer { name: "pleach-train".into(), version: env!("CARGO_PKG_VERSION").into() },
            base: Base { source, files, parameters: whole.parameters(), macs: whole.macs() },
            counted_at: at,
            router,
            experts: list,
        };
        family.write(root)?;
        folder.persist()?;
        Ok(family)
    }
}

impl NewRouting {
    fn write(self, root: &Path) -> Result<Option<RouterEntry>> {
        match self {
            Self::Learnt(router) => router.write(root).map(Some),
            Self::Of(family) => family.router().map(|entry| copied(entry, family.root(), root)).transpose(),
        }
    }
}

/// A router's files, copied from one family to another.
fn copied(entry: &RouterEntry, from: &Path, to: &Path) -> Result<RouterEntry> {
    for file in &entry.files {
        file.check(from, manifest::Depth::Hash)?;
        let (source, target) = (from.join(&file.file), to.join(&file.file));
        let failed = |source| pleach_model::files::Error::Folder { folder: target.clone(), source };
        target.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        fs::copy(&source, &target).map_err(failed)?;
    }
    Ok(entry.clone())
}

impl NewRouter {
    fn write(self, root: &Path) -> Result<RouterEntry> {
        let encoder = root.join(ENCODER);
        let failed = |folder: &Path| {
            let folder = folder.to_owned();
            move |source| pleach_model::files::Error::Folder { folder, source }
        };
        fs::create_dir_all(&encoder).map_err(failed(&encoder))?;
        for file in ENCODER_FILES {
            fs::copy(self.encoder.join(file), encoder.join(file)).map_err(failed(&self.encoder.join(file)))?;
        }
        let entries = self.experts.first().map_or(0, |expert| expert.gates.len());
        let gates: Vec<f32> = self.experts.iter().flat_map(|expert| expert.gates.iter().copied()).collect();
        let gates = Tensor::f_from_slice(&gates)?.f_reshape([self.experts.len() as i64, entries as i64])?;
        let mut tensors = self.tensors;
        tensors.push((GATES.to_owned(), gates));
        write_weights(&root.join(ROUTER), &tensors, Dtype::F32)?;
        let encoder = ENCODER_FILES.map(|file| format!("{ENCODER}/{file}"));
        let files = [ROUTER.to_owned()].into_iter().chain(encoder).map(|file| FileEntry::of(root, file));
        Ok(RouterEntry { config: self.config, files: files.collect::<manifest::Result<_>>()? })
    }
}

/// A file by its name.
pub(crate) fn beside(path: &Path) -> Result<FileEntry> {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(FileEntry::of(path.parent().unwrap_or(path), name)?)
}

/// Configuration and weights of a base's UNet, by their paths in its pipeline.
pub(crate) fn base_files(unet: &Path) -> Result<Vec<FileEntry>> {
    let failed = |source| pleach_model::files::Error::Folder { folder: unet.to_owned(), source };
    let mut names: Vec<String> = fs::read_dir(unet)
        .map_err(failed)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()
        .map_err(failed)?;
    names.retain(|name| name == "config.json" || name.contains(".safetensors"));
    names.sort();
    let root = unet.parent().unwrap_or(unet);
    let inside = unet.file_name().map_or_else(String::new, |name| format!("{}/", name.to_string_lossy()));
    Ok(names.into_iter().map(|name| FileEntry::of(root, format!("{inside}{name}"))).collect::<manifest::Result<_>>()?)
}
