//! `pleach-train prune`: one network becomes a family of smaller ones.

use super::{
    checkpoint,
    place::Place,
    source::{Base, Source, Wanted},
    watch::Shown,
};
use crate::{
    data::{Dataset, Position},
    diffusion::Diffusion,
    encoders::Sentences,
    finetune::Making,
    libtorch::libtorch,
    prune::{
        self, Aptp, AptpRecipe, AptpSetting, BkSdm, BkSdmSize, ENCODER_FILES, NewExpert, NewFamily, NewRouter,
        NewRouting, PromptRouter, Pruner, Ranking, Routed, Sample, TaylorRecipe, magnitude, route, taylor,
        write_routes,
    },
    run::{self, Outcome, RunFolder, Start, train},
};
use clap::{Args, ValueEnum};
use pleach_console::{ExitCode, Interrupt, Printer, RecipeArgs, ReportArgs};
use pleach_model::{
    architecture::Architecture,
    counter::Rule,
    family::FamilyFolder,
    files::Overwrite,
    manifest::{Family, FamilyExpert},
    resources::Resources,
    vector::VectorLayout,
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

/// How a network is pruned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Method {
    /// Experts behind a prompt router, both learnt (Ganjdanesh et al. 2024)
    #[default]
    Aptp,
    /// The units with the smallest weights go, all sites ranked against each other
    Magnitude,
    /// In each site the units go that the denoising loss feels least (SPDM, Fang et al. 2023)
    Taylor,
    /// In each site as large a share of the units, chosen at random
    Random,
    /// In each site as large a share of the units, the last ones
    Uniform,
    /// Of each down block the first layer stays, of each up block the first and the last (Kim et al. 2024)
    BkSdmBase,
    /// And no middle block
    BkSdmSmall,
    /// And no coarsest level
    BkSdmTiny,
}

impl Method {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How a network is cut by a rule: every method but `aptp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CutRecipe {
    /// Share of the multiply-accumulates that is left, for each expert. Without meaning for BK-SDM, which has one answer.
    pub targets: Vec<f64>,
    /// How they are counted.
    pub rule: Rule,
    /// Whether groups of feed-forwards may go; they did not in APTP's comparison.
    pub feed_forwards: bool,
    /// Seed of random choices.
    pub seed: u64,
    /// What `taylor` looks at.
    pub taylor: TaylorRecipe,
}

impl Default for CutRecipe {
    fn default() -> Self {
        Self { targets: vec![0.6], rule: Rule::Exact, feed_forwards: true, seed: 43, taylor: TaylorRecipe::default() }
    }
}

/// The whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// How it is pruned.
    method: Method,
    /// Folder of the teacher's diffusers pipeline, or a Hugging Face id.
    pub teacher: String,
    /// Pictures with captions: a folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO. Only `aptp` and `taylor` need
    /// them.
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
    /// How router and experts are learnt, by `aptp`.
    pub aptp: AptpRecipe,
    /// How experts are cut, by every other method.
    pub cut: CutRecipe,
}

/// Arguments of `pleach-train prune`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  pleach train prune --method magnitude --teacher PIPELINE --target 0.8 --out cut
  pleach train prune --method aptp --experts 4 --target 0.6 --teacher PIPELINE --captions data --out pruned")]
pub struct PruneArgs {
    /// Folder of the run, and of the family that it makes
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// How, instead of the recipe's method
    #[arg(long, value_enum)]
    method: Option<Method>,
    /// Pipeline that is pruned, instead of the recipe's: a folder or a Hugging Face id
    #[arg(long, value_name = "PIPELINE")]
    teacher: Option<String>,
    /// Pictures with captions, instead of the recipe's: an image folder or a captions file of MS-COCO
    #[arg(long, value_name = "PATH")]
    captions: Option<PathBuf>,
    /// Experts, instead of the recipe's
    #[arg(long, value_name = "K")]
    experts: Option<usize>,
    /// Share of the multiply-accumulates that is left, instead of the recipe's: a mean over the captions for aptp; for other methods one
    /// for each expert
    #[arg(long, value_name = "P")]
    target: Vec<f64>,
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
        recipe.method = self.method.unwrap_or(recipe.method);
        if recipe.method == Method::Aptp {
            recipe.aptp.experts = self.experts.unwrap_or(recipe.aptp.experts);
            match self.target[..] {
                [] => {}
                [target] => recipe.aptp.target = target,
                _ => anyhow::bail!("aptp has one --target: the mean over the captions"),
            }
            recipe.aptp.check()?;
        } else {
            if !self.target.is_empty() {
                recipe.cut.targets.clone_from(&self.target);
            }
            recipe.cut.check(self.experts)?;
        }
        Ok(recipe)
    }
}

impl CutRecipe {
    fn check(&self, experts: Option<usize>) -> anyhow::Result<()> {
        let wrong = |target: &&f64| !(**target > 0.0 && **target <= 1.0);
        if let Some(target) = self.targets.iter().find(wrong) {
            anyhow::bail!("`cut.targets` has {target}; each must be above 0, at most 1");
        }
        let targets = self.targets.len();
        anyhow::ensure!(targets > 0, "`cut.targets` is empty: a share for each expert");
        if let Some(experts) = experts {
            anyhow::ensure!(
                experts == targets,
                "{experts} experts and {targets} targets: each expert has a --target of its own"
            );
        }
        Ok(())
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

/// What pruning made.
struct Pruned {
    experts: Vec<Architecture>,
    router: Option<NewRouter>,
}

/// Runs the command.
///
/// # Errors
/// A recipe, a checkpoint or data that are wrong; a loss that is not finite; a full disk.
pub fn run(arguments: &PruneArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    prune(arguments, printer, &Interrupt::install(printer)?)
}

fn prune(arguments: &PruneArgs, printer: &Printer, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let recipe = arguments.recipe()?;
    if arguments.recipe.printed(&recipe, printer)? {
        return Ok(ExitCode::Done);
    }
    libtorch()?;
    let device = arguments.device.device();
    let wanted = recipe.wanted(device);
    let base = Base::open(&wanted, printer)?;
    let (base, dataset, pruned) = match recipe.method {
        Method::Aptp => {
            let source = Source::of(base, &wanted, printer)?;
            match learn(arguments, &recipe, &source, printer, interrupt)? {
                Some(pruned) => (source.base, Some(source.dataset), pruned),
                None => return Ok(ExitCode::Incomplete),
            }
        }
        _ => {
            let (base, experts) = cut(&recipe, base, &wanted, printer)?;
            RunFolder::open(&arguments.out, &recipe, if arguments.resume { Start::Resume } else { Start::New })?;
            (base, None, Pruned { experts, router: None })
        }
    };
    let root = arguments.out.join("family");
    let family = NewFamily {
        teacher: &base.teacher,
        source: seen_from(&root, &base.folder)?,
        experts: (0..).zip(pruned.experts).map(|(i, left)| NewExpert::cut(format!("expert-{i}"), left)).collect(),
        router: pruned.router.map(NewRouting::Learnt),
        at: base.at(),
        method: recipe.method.name(),
        recipe: json!(recipe),
    };
    let family = family.write(&root, Overwrite::IfItHolds("pleach.json"), &|expert| {
        printer.status("Cut", &expert.name);
    })?;
    let routes = match dataset {
        Some(dataset) => Some(routed(arguments, &family, &*dataset, device, printer)?),
        None => None,
    };
    report(&family, routes.as_deref(), &root, &arguments.report, printer)?;
    Ok(ExitCode::Done)
}

/// Router and experts as `aptp` learns them; none where it was interrupted.
fn learn(
    arguments: &PruneArgs,
    recipe: &Recipe,
    source: &Source,
    printer: &Printer,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<Pruned>> {
    let device = arguments.device.device();
    check_captions(&*source.dataset, recipe.aptp.experts)?;
    let encoder = recipe.sentence_encoder(printer)?;
    let sentences = Sentences::open(&encoder, device)?;
    let setting = AptpSetting {
        recipe: &recipe.aptp,
        teacher: &source.base.teacher,
        schedule: &source.base.schedule,
        scaling: source.base.vae.scaling_factor,
        null: source.null.shallow_clone(),
        sentences: &sentences,
        at: source.base.at(),
        device,
    };
    let AptpRecipe { batch, seed, .. } = recipe.aptp;
    let mut task = Aptp::new(setting, |position| source.batches((batch, seed), None, position, printer))?;
    let start = if arguments.resume { Start::Resume } else { Start::New };
    let folder = RunFolder::open(&arguments.out, recipe, start)?;
    let settings = recipe.aptp.effective_settings();
    let outcome = train(&mut task, &settings, &folder, &Shown::new(printer, interrupt, "Pruning"))?;
    if let Outcome::Interrupted { step } = outcome {
        printer.note(format_args!("stopped after step {step}; the same command with --resume goes on from there"));
        return Ok(None);
    }
    let router = task.router(&source.dataset.all_captions(), encoder)?;
    let experts = router.experts.iter().map(|expert| expert.architecture.clone()).collect();
    Ok(Some(Pruned { experts, router: Some(router) }))
}

/// Experts as a rule cuts them, one for each target.
fn cut(
    recipe: &Recipe,
    base: Base,
    wanted: &Wanted<'_>,
    printer: &Printer,
) -> anyhow::Result<(Base, Vec<Architecture>)> {
    let CutRecipe { targets, rule, feed_forwards, seed, .. } = &recipe.cut;
    let config = base.teacher.config().clone();
    let layout = VectorLayout::of(&config)?;
    let resources = Resources::of(&config, &layout, base.at(), *rule)?;
    let by = |pruner: &dyn Pruner| targets.iter().map(|target| pruner.prune(*target)).collect::<run::Result<_>>();
    let ranked = |ranking: Ranking<'_>| by(&if *feed_forwards { ranking } else { ranking.without_feed_forwards() });
    let removed = |size| Ok(vec![BkSdm { config: &config, size }.prune(1.0)?]);
    let (base, experts): (Base, run::Result<_>) = match recipe.method {
        Method::Magnitude => {
            let scores = magnitude(&base.teacher, &layout)?;
            (base, ranked(Ranking::global(&layout, &resources, &scores)))
        }
        Method::Taylor => {
            let (base, scores) = felt(recipe, base, &layout, wanted, printer)?;
            (base, ranked(Ranking::in_each_site(&layout, &resources, &scores)))
        }
        Method::Random => (base, ranked(Ranking::random(&layout, &resources, *seed))),
        Method::Aptp | Method::Uniform => (base, ranked(Ranking::uniform(&layout, &resources))),
        Method::BkSdmBase => (base, removed(BkSdmSize::Base)),
        Method::BkSdmSmall => (base, removed(BkSdmSize::Small)),
        Method::BkSdmTiny => (base, removed(BkSdmSize::Tiny)),
    };
    Ok((base, experts?))
}

/// How much the denoising loss of one batch of the data feels each unit.
fn felt(
    recipe: &Recipe,
    base: Base,
    layout: &VectorLayout,
    wanted: &Wanted<'_>,
    printer: &Printer,
) -> anyhow::Result<(Base, Vec<f64>)> {
    let CutRecipe { taylor: looked, seed, .. } = recipe.cut;
    let source = Source::of(base, wanted, printer)?;
    let mut batches = source.batches((looked.batch.max(1), seed), None, Position::default(), printer)?;
    let making = Making {
        scaling: source.base.vae.scaling_factor,
        dropout: 0.0,
        null: &source.null,
        seed,
        device: wanted.device,
    };
    let sample = Sample::next(&mut batches, &making)?;
    let diffusion = Diffusion::new(&source.base.schedule, None, wanted.device)?;
    let bar = printer.progress(diffusion.timesteps() as u64, "Weighing", "timesteps");
    let done = |timestep: usize, _| bar.set(timestep as u64 + 1);
    let scores = taylor(&source.base.teacher, layout, &diffusion, &sample, looked, &done)?;
    drop(bar);
    Ok((source.base, scores))
}

/// Routes the captions, and writes down where they go.
fn routed(
    arguments: &PruneArgs,
    family: &Family,
    dataset: &dyn Dataset,
    device: Device,
    printer: &Printer,
) -> anyhow::Result<Vec<Routed>> {
    let opened = FamilyFolder::open(&arguments.out.join("family"))?;
    let Some(router) = PromptRouter::open(&opened, device)? else { anyhow::bail!("the family has no router") };
    let names: Vec<String> = family.experts.iter().map(|expert| expert.name.clone()).collect();
    let bar = printer.progress(dataset.len() as u64, "Routing", "captions");
    let routes = route(dataset, &router, &names, &|done| bar.set(done as u64))?;
    drop(bar);
    write_routes(&arguments.out.join("routes.jsonl"), &routes)?;
    Ok(routes)
}

/// Says what was made.
fn report(
    family: &Family,
    routes: Option<&[Routed]>,
    root: &Path,
    options: &ReportArgs,
    printer: &Printer,
) -> anyhow::Result<()> {
    let share = |expert: usize| {
        let (routes, name) = (routes?, &family.experts.get(expert)?.name);
        Some(routes.iter().filter(|route| route.expert == *name).count() as f64 / routes.len().max(1) as f64)
    };
    let rules = [Rule::Exact, Rule::Aptp, Rule::LinearConv];
    let mean = |rule| {
        let each = (0..).zip(&family.experts).map(|(i, expert)| Some(share(i)? * ratio(family, expert, rule)));
        each.sum::<Option<f64>>()
    };
    if options.json {
        let ratios = |of: &dyn Fn(Rule) -> Option<f64>| {
            let [exact, aptp, linear_conv] = rules.map(of);
            json!({ "exact": exact, "aptp": aptp, "linear_conv": linear_conv })
        };
        let experts = (0..).zip(&family.experts).map(|(i, expert)| {
            json!({
                "name": expert.name,
                "parameters": expert.parameters,
                "macs_ratio": ratios(&|rule| Some(ratio(family, expert, rule))),
                "share": share(i),
            })
        });
        let experts: Vec<_> = experts.collect();
        printer.json(&json!({ "family": root, "experts": experts, "mean_macs_ratio": ratios(&mean) }))?;
        return Ok(());
    }
    let experts = prune::report::experts(&FamilyFolder::open(root)?, routes)?;
    printer.table(&super::report::table(&experts, routes.map(<[Routed]>::len)))?;
    if let (Some(exact), Some(aptp)) = (mean(Rule::Exact), mean(Rule::Aptp)) {
        let (exact, aptp) = (100.0 * exact, 100.0 * aptp);
        printer.line(format_args!("mean over the captions: {exact:.1} % of the MACs, {aptp:.1} % as APTP counts"))?;
    }
    printer.status("Made", root.display());
    Ok(())
}

/// An expert's share of the base's multiply-accumulates.
fn ratio(family: &Family, expert: &FamilyExpert, rule: Rule) -> f64 {
    expert.macs.by(rule) as f64 / family.base.macs.by(rule) as f64
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
pub(super) fn seen_from(from: &Path, to: &Path) -> anyhow::Result<String> {
    let absolute = |path: &Path| std::path::absolute(path);
    let (from, to) = (absolute(from)?, absolute(to)?);
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| "..".to_owned());
    let down = to.components().skip(shared).map(|part| part.as_os_str().to_string_lossy().into_owned());
    Ok(up.chain(down).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests;
