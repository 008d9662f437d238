//! `pleach-train suppress`: networks are fine-tuned and forget concepts at once.

use super::{
    concepts::Concepts,
    finetune::SampleRecipe,
    forget::ForgetArgs,
    model::{Member, Model, Step},
    runs::{Learnt, Left},
    source::{Source, Wanted},
    watch::Shown,
};
use crate::{
    data::Part,
    finetune::TrainRecipe,
    libtorch::libtorch,
    prune::part_of,
    run::{Outcome, RunFolder, Start, train},
    suppress::{Bilevel, BilevelRecipe, ConceptRecipe, SuppressRecipe, SuppressSetting},
};
use clap::{Args, ValueEnum};
use pleach_console::{ExitCode, Interrupt, Printer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tch::Device;

/// The whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The pipeline that teaches, of a student or where a family's is elsewhere now: its folder, or a Hugging Face id.
    pub teacher: String,
    /// Folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO: what is fine-tuned on.
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
    /// Where each caption goes, as `pleach-train route` wrote it; without one, a family's own router says.
    pub routes: Option<PathBuf>,
    /// Whether experts learn all captions, and not their own alone.
    pub all_captions: bool,
    /// What is forgotten.
    pub concepts: Vec<ConceptRecipe>,
    /// What is drawn on the way.
    pub samples: SampleRecipe,
    /// Lower steps, and what is common.
    pub train: TrainRecipe,
    /// Upper steps.
    pub bilevel: BilevelRecipe,
}

impl Recipe {
    fn with(mut self, suppress: SuppressRecipe) -> Self {
        SuppressRecipe { train: self.train, bilevel: self.bilevel } = suppress;
        self
    }

    fn suppress(&self) -> SuppressRecipe {
        SuppressRecipe { train: self.train.clone(), bilevel: self.bilevel }
    }

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
}

/// Where the settings come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// As the paper states it: 19,048 lower and 952 upper steps, penalised, on sampled latents
    Paper,
    /// As the released code has it: 50,000 lower steps and 5,000 upper ones, alternating, on noised pictures
    #[default]
    Code,
    /// Towards each concept's anchor, upper steps on cross-attention alone at a falling rate, 13,334 lower and 6,666 upper ones: not published, the
    /// best of what was tried on the small world
    Anchored,
}

/// Arguments of `pleach-train suppress`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  pleach train suppress RUN/family --expert all --preset anchored --target striped --anchor flat \\
      --concept-images striped --set data=data --out forgot")]
pub struct SuppressArgs {
    #[command(flatten)]
    forget: ForgetArgs,
    /// What the recipe changes
    #[arg(long, value_enum, default_value_t)]
    preset: Preset,
}

/// Runs the command.
///
/// # Errors
/// A recipe, a model or data that are wrong; a loss that is not finite; a full disk.
pub fn run(arguments: &SuppressArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let forget = &arguments.forget;
    let preset = match arguments.preset {
        Preset::Paper => SuppressRecipe::paper(),
        Preset::Code => SuppressRecipe::code(),
        Preset::Anchored => SuppressRecipe::anchored(),
    };
    let mut recipe: Recipe = forget.recipe.load_over(&Recipe::default().with(preset))?;
    forget.concept.replace(&mut recipe.concepts);
    let suppress = recipe.suppress();
    suppress.check()?;
    if forget.recipe.printed(&recipe, printer)? {
        return Ok(ExitCode::Done);
    }
    libtorch()?;
    let device = forget.device.device();
    let interrupt = Interrupt::install(printer)?;
    let wanted = recipe.wanted(device);
    let Model { base, family, members } = Model::open(&forget.named(&recipe.teacher), &wanted, printer)?;
    let source = Source::of(base, &wanted, printer)?;
    let Source { base, text, .. } = &source;
    let origin = Some(recipe.bilevel.forgetting.x_t);
    let concepts = Concepts::open(&recipe.concepts, origin, (base, text, device), &forget.concepts(), printer)?;
    let learnt = Learnt { all: recipe.all_captions, routes: recipe.routes.as_deref() };
    let routes = learnt.by(family.as_ref(), &source, device, printer)?;
    let work = Work { recipe: &recipe, suppress: &suppress, source: &source, concepts: &concepts, device };
    let finished = forget.runs().each(&members, &base.teacher, printer, |member, run, start| {
        let part = routes.as_ref().map(|routes| part_of(&*source.dataset, routes, &member.name)).transpose()?;
        work.suppress(member, part.map(Arc::new), (run, start), &interrupt, printer)
    })?;
    if !finished {
        return Ok(ExitCode::Incomplete);
    }
    let step = Step { method: "bilevel", recipe: json!(recipe), concepts: concepts.names() };
    drop(concepts);
    let [lower, upper] = suppress.counts();
    let more = [("lower_steps".to_owned(), json!(lower)), ("upper_steps".to_owned(), json!(upper))];
    forget.runs().finish(Model { base: source.base, family, members }, &step, more, printer)
}

/// What is common to all members.
struct Work<'a> {
    recipe: &'a Recipe,
    suppress: &'a SuppressRecipe,
    source: &'a Source,
    concepts: &'a Concepts,
    device: Device,
}

impl Work<'_> {
    /// What is left of a member that learnt this part of the data.
    fn suppress(
        &self,
        member: &Member,
        part: Option<Arc<Part>>,
        (run, start): (&Path, Start),
        interrupt: &Interrupt,
        printer: &Printer,
    ) -> anyhow::Result<Left> {
        let Self { recipe, suppress, source, concepts, device } = *self;
        let Source { base, text, null, .. } = source;
        let lower = source.setting(&suppress.train, &member.architecture);
        let TrainRecipe { batch, seed, .. } = suppress.train;
        let upper = concepts.setting(suppress.bilevel.forgetting, (base, text, null), seed, device);
        let setting = SuppressSetting { recipe: suppress, lower, weights: member.weights.as_ref(), upper };
        let batches = |seed, position| source.batches((batch, seed), part.as_ref(), position, printer);
        let mut task = Bilevel::new(setting, batches)?;
        if suppress.train.settings.sample_every > 0 {
            task = task.with_samples(recipe.samples.samples(source, device)?);
        }
        let folder = RunFolder::open(run, recipe, start)?;
        let shown = Shown::new(printer, interrupt, &member.name);
        Ok(match train(&mut task, &suppress.effective_settings(), &folder, &shown)? {
            Outcome::Finished => Ok(task.student().tensors()),
            Outcome::Interrupted { step } => Err(step),
        })
    }
}
