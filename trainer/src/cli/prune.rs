//! `pleach-train prune`: one network becomes a family of smaller ones.

use super::{
    checkpoint,
    place::Place,
    source::{Source, Wanted},
    watch::Shown,
};
use crate::{
    data::Dataset,
    encoders::Sentences,
    libtorch::libtorch,
    prune::{Aptp, AptpRecipe, AptpSetting, ENCODER_FILES, NewFamily, NewRouter, PromptRouter, route, write_routes},
    run::{Outcome, RunFolder, Start, named, train},
};
use clap::Args;
use pleach_console::{ExitCode, Interrupt, Printer, RecipeArgs, ReportArgs, human};
use pleach_model::{
    family::FamilyFolder,
    files::Overwrite,
    manifest::Family,
    router::{RouterConfig, RoutingNoise},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};
use tch::Device;

/// The router's sentence encoder where the recipe names none.
const SENTENCES: &str = "sentence-transformers/all-MiniLM-L6-v2";
/// Where set-up puts it.
const INSTALLED: &str = ".native/sentence/all-MiniLM-L6-v2";

/// The whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Folder of the teacher's diffusers pipeline, or a Hugging Face id.
    pub teacher: String,
    /// Pictures with captions: a folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO.
    pub data: PathBuf,
    /// Folder of the pictures, where the captions file does not lie beside them.
    pub images: Option<PathBuf>,
    /// A cache that `pleach-train cache` made of these data; without one pictures are encoded as they come, and cut at random.
    pub cache: Option<PathBuf>,
    /// Side of the pictures; 0 for what the UNet was made for.
    pub resolution: usize,
    /// Whether half of the pictures are mirrored.
    pub flip: bool,
    /// Threads that decode pictures.
    pub workers: usize,
    /// The router's sentence encoder: a folder or a Hugging Face id; without one all-MiniLM-L6-v2.
    pub sentences: Option<String>,
    /// How router and experts are learnt.
    pub aptp: AptpRecipe,
}

/// Arguments of `pleach-train prune`.
#[derive(Args, Clone, Debug)]
pub struct PruneArgs {
    /// Folder of the run, and of the family that it makes
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Pipeline that is pruned, instead of the recipe's: a folder or a Hugging Face id
    #[arg(long, value_name = "PIPELINE")]
    teacher: Option<String>,
    /// Pictures with captions, instead of the recipe's: an image folder or a captions file of MS-COCO
    #[arg(long, value_name = "PATH")]
    captions: Option<PathBuf>,
    /// Experts, instead of the recipe's
    #[arg(long, value_name = "K")]
    experts: Option<usize>,
    /// Share of the multiply-accumulates that is left on average, instead of the recipe's
    #[arg(long, value_name = "P")]
    target: Option<f64>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    device: Place,
    /// Go on where the run in the folder stopped
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    report: ReportArgs,
}

impl PruneArgs {
    fn recipe(&self) -> anyhow::Result<Recipe> {
        let mut recipe: Recipe = self.recipe.load_over(&Recipe::default())?;
        if let Some(teacher) = &self.teacher {
            recipe.teacher.clone_from(teacher);
        }
        if let Some(captions) = &self.captions {
            recipe.data.clone_from(captions);
        }
        recipe.aptp.experts = self.experts.unwrap_or(recipe.aptp.experts);
        recipe.aptp.target = self.target.unwrap_or(recipe.aptp.target);
        recipe.aptp.check()?;
        Ok(recipe)
    }
}

impl Recipe {
    fn wanted(&self, device: Device) -> Wanted<'_> {
        Wanted {
            teacher: &self.teacher,
            data: &self.data,
            images: self.images.as_deref(),
            cache: self.cache.as_deref(),
            resolution: self.resolution,
            flip: self.flip,
            workers: self.workers,
            device,
        }
    }

    /// Folder of the sentence encoder.
    fn sentence_encoder(&self, printer: &Printer) -> anyhow::Result<PathBuf> {
        match &self.sentences {
            None if Path::new(INSTALLED).is_dir() => Ok(INSTALLED.into()),
            named => checkpoint::resolve(named.as_deref().unwrap_or(SENTENCES), &ENCODER_FILES, printer),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A recipe, a checkpoint or data that are wrong; a loss that is not finite; a full disk.
pub fn run(arguments: &PruneArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let recipe = arguments.recipe()?;
    libtorch()?;
    let device = arguments.device.device();
    let interrupt = Interrupt::install(printer)?;
    let source = Source::open(&recipe.wanted(device), printer)?;
    check_captions(&*source.dataset, recipe.aptp.experts)?;
    let encoder = recipe.sentence_encoder(printer)?;
    let sentences = Sentences::open(&encoder, device)?;
    let setting = AptpSetting {
        recipe: &recipe.aptp,
        teacher: &source.teacher,
        schedule: &source.schedule,
        scaling: source.vae.scaling_factor,
        null: source.null.shallow_clone(),
        sentences: &sentences,
        at: source.at(),
        device,
    };
    let AptpRecipe { batch, seed, .. } = recipe.aptp;
    let mut task = Aptp::new(setting, |position| source.batches((batch, seed), None, position, printer))?;
    let start = if arguments.resume { Start::Resume } else { Start::New };
    let folder = RunFolder::open(&arguments.out, &recipe, start)?;
    let settings = recipe.aptp.effective_settings();
    let outcome = train(&mut task, &settings, &folder, &Shown::new(printer, &interrupt, "Pruning"))?;
    if let Outcome::Interrupted { step } = outcome {
        printer.note(format_args!("stopped after step {step}; the same command with --resume goes on from there"));
        return Ok(ExitCode::Incomplete);
    }
    let experts = task.experts()?;
    let config = RouterConfig {
        features: sentences.features(),
        experts: experts.len(),
        relaxation: recipe.aptp.relaxation,
        noise: RoutingNoise::None,
    };
    let root = arguments.out.join("family");
    let family = NewFamily {
        teacher: &source.teacher,
        source: seen_from(&root, &source.folder)?,
        experts: (0..).zip(&experts).map(|(i, expert)| (format!("expert-{i}"), expert.architecture.clone())).collect(),
        router: Some(NewRouter { config, tensors: named(&task), experts: &experts, encoder }),
        at: source.at(),
        method: "aptp".into(),
        recipe: json!(recipe),
    };
    let family = family.write(&root, Overwrite::IfItHolds("pleach.json"), &|expert| {
        printer.status("Cut", &expert.name);
    })?;
    let names: Vec<String> = family.experts.iter().map(|expert| expert.name.clone()).collect();
    let opened = FamilyFolder::open(&root)?;
    let Some(router) = PromptRouter::open(&opened, device)? else { anyhow::bail!("the family has no router") };
    let bar = printer.progress(source.dataset.len() as u64, "Routing", "captions");
    let routes = route(&*source.dataset, &router, &names, &|done| bar.set(done as u64))?;
    drop(bar);
    write_routes(&arguments.out.join("routes.jsonl"), &routes)?;
    let shares: Vec<f64> = names
        .iter()
        .map(|name| routes.iter().filter(|route| route.expert == *name).count() as f64 / routes.len().max(1) as f64)
        .collect();
    let mean: f64 = family.experts.iter().zip(&shares).map(|(expert, share)| share * ratio(&family, expert)).sum();
    if arguments.report.json {
        let experts = family.experts.iter().zip(&shares).map(|(expert, share)| {
            json!({ "name": expert.name, "parameters": expert.parameters, "macs_ratio": ratio(&family, expert), "share": share })
        });
        printer.json(&json!({ "family": root, "experts": experts.collect::<Vec<_>>(), "mean_macs_ratio": mean }))?;
        return Ok(ExitCode::Done);
    }
    for (expert, share) in family.experts.iter().zip(&shares) {
        let (macs, parameters) = (100.0 * ratio(&family, expert), human::exact(expert.parameters));
        printer.line(format_args!(
            "{}: {macs:.1} % of the MACs, {parameters} parameters, {:.1} % of the captions",
            expert.name,
            100.0 * share
        ))?;
    }
    printer.line(format_args!("mean over the captions: {:.1} % of the MACs", 100.0 * mean))?;
    printer.status("Made", root.display());
    Ok(ExitCode::Done)
}

/// An expert's share of the base's multiply-accumulates.
fn ratio(family: &Family, expert: &pleach_model::manifest::FamilyExpert) -> f64 {
    expert.macs.exact as f64 / family.base.macs.exact as f64
}

/// There is something to route by.
fn check_captions(dataset: &dyn Dataset, experts: usize) -> anyhow::Result<()> {
    let mut distinct = HashSet::new();
    for index in 0..dataset.len() {
        distinct.extend(dataset.captions(index).iter().cloned());
        if distinct.len() >= experts.max(2) {
            return Ok(());
        }
    }
    match distinct.len() {
        0 => anyhow::bail!("the data have no captions: there is nothing to route by"),
        1 if experts > 1 => anyhow::bail!("all captions are the same: there is nothing to route by"),
        found if found < experts => {
            anyhow::bail!(
                "the data have {found} different captions, for {experts} experts: fewer experts, or more captions"
            )
        }
        _ => Ok(()),
    }
}

/// The path to a folder from another one, with `/`.
fn seen_from(from: &Path, to: &Path) -> anyhow::Result<String> {
    let absolute = |path: &Path| std::path::absolute(path);
    let (from, to) = (absolute(from)?, absolute(to)?);
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| "..".to_owned());
    let down = to.components().skip(shared).map(|part| part.as_os_str().to_string_lossy().into_owned());
    Ok(up.chain(down).collect::<Vec<_>>().join("/"))
}
