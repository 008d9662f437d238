//! `pleach-train finetune`: a student of any architecture, with its teacher beside it.

use super::{
    model::{Member, Model, Named, Step},
    place::Place,
    runs::{Learnt, Left, Runs},
    source::{Base, Source, Wanted},
    watch::Shown,
};
use crate::{
    data::{Dataset, Part},
    encoders::{LatentDecoder, TextEncoder},
    finetune::{Finetuning, Init, LossRecipe, Samples, Teacher, TrainRecipe, write_student},
    libtorch::libtorch,
    prune::{part_of, read_routes},
    run::{Outcome, RunFolder, Start, named, train},
    sampling::Sampling,
};
use anyhow::Context;
use clap::{Args, ValueEnum};
use pleach_console::{ExitCode, Interrupt, Printer, RecipeArgs, ReportArgs};
use pleach_model::{architecture::Architecture, counter, family, samplers::SamplerKind, tensor::Dtype};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tch::{Device, Tensor};

/// Captions of the data that are drawn where none are given.
const SAMPLES: usize = 8;

/// What is left of the student.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Student {
    /// The whole network.
    #[default]
    Full,
    /// The same share of units at every site.
    Uniform(f64),
    /// What an architecture.json says.
    File(PathBuf),
}

/// Pictures that show how far the student is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleRecipe {
    /// What is drawn; without any, the first captions of the data.
    pub captions: Vec<String>,
    /// Sampler; without one, the pipeline's own.
    pub sampler: Option<String>,
    /// Denoising steps.
    pub steps: usize,
    /// Scale of the guidance.
    pub guidance: f64,
}

impl Default for SampleRecipe {
    fn default() -> Self {
        Self { captions: Vec::new(), sampler: None, steps: 25, guidance: 7.5 }
    }
}

impl SampleRecipe {
    /// What is drawn, of the data's captions where none are given.
    pub(super) fn samples(&self, source: &Source, device: Device) -> anyhow::Result<Samples> {
        let Source { dataset, base, text, null, .. } = source;
        let first = (0..dataset.len()).filter_map(|index| dataset.captions(index).first().cloned());
        self.of(base, text, null, first.take(SAMPLES).collect(), device)
    }

    /// What is drawn, of these captions where none are given.
    pub(super) fn of(
        &self,
        base: &Base,
        text: &TextEncoder,
        null: &Tensor,
        captions: Vec<String>,
        device: Device,
    ) -> anyhow::Result<Samples> {
        let pipeline = &base.pipeline;
        let kind = match &self.sampler {
            Some(name) => name.parse().with_context(|| format!("`samples.sampler` is {name:?}"))?,
            None => SamplerKind::from_config(&pipeline.common.scheduler)?,
        };
        Ok(Samples {
            embeddings: text.encode(if self.captions.is_empty() { &captions } else { &self.captions })?,
            null: null.shallow_clone(),
            schedule: base.schedule.clone(),
            decoder: LatentDecoder::of(&pipeline.vae, device, Dtype::F32)?,
            latents: [base.at().height as i64; 2],
            sampling: Sampling { kind, steps: self.steps, guidance: self.guidance },
        })
    }
}

/// The whole recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Folder of the teacher's diffusers pipeline, or a Hugging Face id.
    pub teacher: String,
    /// Folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO.
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
    /// Which of the captions are learnt, by what a router says of them; of a student that is cut here.
    pub routed: Option<RoutedTo>,
    /// Where each caption goes, as `pleach-train route` wrote it; without it, a family's own router says.
    pub routes: Option<PathBuf>,
    /// Whether experts of a family learn all captions, and not their own alone.
    pub all_captions: bool,
    /// What is left of the student, where no model is named.
    pub student: Student,
    /// What it draws on the way, every `train.loop.sample_every` steps.
    pub samples: SampleRecipe,
    /// How it is trained.
    pub train: TrainRecipe,
}

/// The captions that go to one expert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutedTo {
    /// Where each caption goes: what `pleach-train route` wrote.
    pub routes: PathBuf,
    /// Name of the expert.
    pub expert: String,
}

impl Recipe {
    /// What can be said before anything is read.
    fn check(&self) -> anyhow::Result<()> {
        self.train.settings.check()?;
        if let Student::Uniform(share) = self.student {
            anyhow::ensure!(share > 0.0 && share <= 1.0, "`student.uniform` is {share}; it must be in (0, 1]");
        }
        Ok(())
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

    fn part(&self, dataset: &dyn Dataset) -> anyhow::Result<Option<Part>> {
        let Some(RoutedTo { routes, expert }) = &self.routed else { return Ok(None) };
        Ok(Some(part_of(dataset, &read_routes(routes)?, expert)?))
    }
}

/// Weights of the losses that were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// As the paper states them: a sum over blocks, no Min-SNR
    Paper,
    /// As the released code has them: a mean over blocks, Min-SNR with gamma 5
    Code,
}

/// Arguments of `pleach-train finetune`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example: pleach train finetune RUN/family --expert all --set data=data --set train.loop.steps=400 --out tuned"
)]
pub struct FinetuneArgs {
    /// What is fine-tuned, instead of a student that the recipe cuts: a family, a student's unet folder, or a pipeline
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Which expert of a family; `all` for all, each on the captions that the router sends it
    #[arg(long, value_name = "NAME", requires = "model")]
    expert: Option<String>,
    /// Folder of the run and of the student that it makes; of a model: of the runs and of the family that they make
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Published weights of the losses, instead of the recipe's
    #[arg(long, value_enum)]
    preset: Option<Preset>,
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

/// Runs the command.
///
/// # Errors
/// A recipe, a checkpoint or data that are wrong; a loss that is not finite; a full disk.
pub fn run(arguments: &FinetuneArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut recipe: Recipe = arguments.recipe.load_over(&Recipe::default())?;
    match arguments.preset {
        Some(Preset::Paper) => recipe.train.loss = LossRecipe::paper(),
        Some(Preset::Code) => recipe.train.loss = LossRecipe::code(),
        None => {}
    }
    recipe.check()?;
    if arguments.recipe.printed(&recipe, printer)? {
        return Ok(ExitCode::Done);
    }
    libtorch()?;
    if let Some(model) = &arguments.model {
        return members(model, arguments, &recipe, printer);
    }
    let device = arguments.device.device();
    let interrupt = Interrupt::install(printer)?;
    let source = Source::open(&recipe.wanted(device), printer)?;
    let architecture = student(&recipe.student, &source.base.teacher)?;
    let part = recipe.part(&*source.dataset)?.map(Arc::new);
    let setting = source.setting(&recipe.train, &architecture);
    let TrainRecipe { batch, seed, .. } = recipe.train;
    let batches = |position| source.batches((batch, seed), part.as_ref(), position, printer);
    let mut task = Finetuning::new(setting, batches)?;
    if recipe.train.settings.sample_every > 0 {
        task = task.with_samples(recipe.samples.samples(&source, device)?);
    }
    let start = if arguments.resume { Start::Resume } else { Start::New };
    let folder = RunFolder::open(&arguments.out, &recipe, start)?;
    let outcome = train(&mut task, &recipe.train.settings, &folder, &Shown::new(printer, &interrupt, "Fine-tuning"))?;
    if let Outcome::Interrupted { step } = outcome {
        printer.note(format_args!("stopped after step {step}; the same command with --resume goes on from there"));
        return Ok(ExitCode::Incomplete);
    }
    let unet = arguments.out.join("student/unet");
    write_student(&unet, &source.base.teacher, &architecture, &named(&task), Dtype::F32)?;
    printer.status("Made", unet.display());
    if arguments.report.json {
        let count = |a| counter::unet(source.base.teacher.config(), a, source.base.at());
        let [full, left] = [&Architecture::full(), &architecture].map(count);
        let (full, left) = (full?, left?);
        printer.json(&json!({
            "unet": unet,
            "steps": recipe.train.settings.steps,
            "parameters": left.parameters(),
            "macs": left.macs().exact,
            "macs_ratio": left.macs().exact as f64 / full.macs().exact as f64,
        }))?;
    }
    Ok(ExitCode::Done)
}

/// Fine-tunes networks that are there already, and makes a family of them.
fn members(model: &str, arguments: &FinetuneArgs, recipe: &Recipe, printer: &Printer) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        recipe.student == Student::Full && recipe.routed.is_none() && recipe.train.init == Init::Teacher,
        "{model} says what is fine-tuned and where it begins: leave `student`, `routed` and `train.init` out of the recipe"
    );
    let device = arguments.device.device();
    let interrupt = Interrupt::install(printer)?;
    let wanted = recipe.wanted(device);
    let named = Named { model, expert: arguments.expert.as_deref(), teacher: &recipe.teacher };
    let Model { base, family, members } = Model::open(&named, &wanted, printer)?;
    let source = Source::of(base, &wanted, printer)?;
    let learnt = Learnt { all: recipe.all_captions, routes: recipe.routes.as_deref() };
    let routes = learnt.by(family.as_ref(), &source, device, printer)?;
    let runs = Runs { out: &arguments.out, resume: arguments.resume, json: arguments.report.json };
    let finished = runs.each(&members, &source.base.teacher, printer, |member, run, start| {
        let part = routes.as_ref().map(|routes| part_of(&*source.dataset, routes, &member.name)).transpose()?;
        let part = part.map(Arc::new);
        tune(
            member,
            part.as_ref(),
            (recipe, &source, device),
            (run, start),
            &Shown::new(printer, &interrupt, &member.name),
            printer,
        )
    })?;
    if !finished {
        return Ok(ExitCode::Incomplete);
    }
    let step = Step { method: "finetune", recipe: json!(recipe), concepts: Vec::new() };
    let more = [("steps".to_owned(), json!(recipe.train.settings.steps))];
    runs.finish(Model { base: source.base, family, members }, &step, more, printer)
}

/// What fine-tuning leaves of a member that learns this part of the data.
fn tune(
    member: &Member,
    part: Option<&Arc<Part>>,
    (recipe, source, device): (&Recipe, &Source, Device),
    (run, start): (&Path, Start),
    shown: &Shown<'_>,
    printer: &Printer,
) -> anyhow::Result<Left> {
    let TrainRecipe { batch, seed, channels_last, .. } = recipe.train;
    let setting = source.setting(&recipe.train, &member.architecture);
    let student = source.base.teacher.student(&member.architecture, member.weights.as_ref(), device, channels_last)?;
    let batches = |position| source.batches((batch, seed), part, position, printer);
    let mut task = Finetuning::with_student(setting, student, batches)?;
    if recipe.train.settings.sample_every > 0 {
        task = task.with_samples(recipe.samples.samples(source, device)?);
    }
    let folder = RunFolder::open(run, recipe, start)?;
    Ok(match train(&mut task, &recipe.train.settings, &folder, shown)? {
        Outcome::Finished => Ok(named(&task)),
        Outcome::Interrupted { step } => Err(step),
    })
}

fn student(student: &Student, teacher: &Teacher) -> anyhow::Result<Architecture> {
    match student {
        Student::Full => Ok(Architecture::full()),
        Student::Uniform(share) => Ok(Architecture::uniform(&counter::unet_sites(teacher.config())?, *share)),
        Student::File(path) => Ok(family::architecture(path)?),
    }
}
