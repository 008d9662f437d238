//! `pleach-train finetune`: a student of any architecture, with its teacher beside it.

use super::{checkpoint, place::Place, watch::Shown};
use crate::{
    data::{
        Crop, Dataset, Loader, LoaderOptions, OpenOptions, Transform,
        cache::{Cache, CachedLoader, CachedOptions, Key},
        open,
    },
    encoders::{LatentDecoder, LatentEncoder, TextEncoder},
    finetune::{Batches, Finetuning, LossRecipe, Samples, Setting, Teacher, TrainRecipe, write_student},
    libtorch::libtorch,
    run::{Outcome, RunFolder, Start, train},
    sampling::Sampling,
};
use anyhow::Context;
use clap::{Args, ValueEnum};
use pleach_console::{ExitCode, Interrupt, Printer, RecipeArgs, ReportArgs};
use pleach_model::{
    architecture::Architecture,
    counter, files,
    pipeline::{CheckpointPipeline, PipelineFolder},
    samplers::SamplerKind,
    schedule::Schedule,
    tensor::Dtype,
    vae::VaeConfig,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};
use tch::Device;

/// What is fetched of a teacher that is a Hugging Face id.
const FILES: [&str; 6] = ["model_index.json", "tokenizer/*", "scheduler/*", "unet/*", "text_encoder/*", "vae/*"];
/// Captions of the data that are drawn where none are given.
const SAMPLES: usize = 8;
/// An architecture names some hundred sites.
const MAX_ARCHITECTURE: u64 = 16 << 20;

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
    fn samples(
        &self,
        dataset: &dyn Dataset,
        pipeline: &CheckpointPipeline,
        text: &TextEncoder,
        latents: usize,
        device: Device,
    ) -> anyhow::Result<Samples> {
        let kind = match &self.sampler {
            Some(name) => name.parse().with_context(|| format!("`samples.sampler` is {name:?}"))?,
            None => SamplerKind::from_config(&pipeline.common.scheduler)?,
        };
        let captions = if self.captions.is_empty() {
            let first = (0..dataset.len()).filter_map(|index| dataset.captions(index).first().cloned());
            first.take(SAMPLES).collect()
        } else {
            self.captions.clone()
        };
        Ok(Samples {
            embeddings: text.encode(&captions)?,
            decoder: LatentDecoder::of(&pipeline.vae, device, Dtype::F32)?,
            latents: [latents as i64; 2],
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
    /// What is left of the student.
    pub student: Student,
    /// What it draws on the way, every `train.loop.sample_every` steps.
    pub samples: SampleRecipe,
    /// How it is trained.
    pub train: TrainRecipe,
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
pub struct FinetuneArgs {
    /// Folder of the run and of the student that it makes
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
    recipe.train.settings.check()?;
    anyhow::ensure!(
        !recipe.teacher.is_empty(),
        "the recipe names no `teacher`: a pipeline's folder or a Hugging Face id"
    );
    libtorch()?;
    let device = arguments.device.device();
    let interrupt = Interrupt::install(printer)?;
    let pipeline = PipelineFolder::open(&checkpoint::resolve(&recipe.teacher, &FILES, printer)?)?.checkpoint()?;
    let teacher = Teacher::new(pipeline.unet.clone())?;
    let vae = VaeConfig::from_json(&pipeline.vae.config)?;
    let native = teacher.config().sample_size.unwrap_or(64) * vae.factor();
    let side = if recipe.resolution == 0 { native } else { recipe.resolution };
    let architecture = student(&recipe.student, &teacher)?;
    let opened = open(&recipe.data, &OpenOptions { images: recipe.images.clone(), caption_column: None })?;
    opened.warnings.iter().for_each(|warning| printer.warn(warning));
    let text = TextEncoder::open(&pipeline, device, Dtype::F32)?;
    let setting = Setting {
        recipe: &recipe.train,
        teacher: &teacher,
        architecture: &architecture,
        schedule: &Schedule::from_config(&pipeline.common.scheduler)?,
        scaling: vae.scaling_factor,
        null: text.encode(&[String::new()])?,
        device,
    };
    let cache = match &recipe.cache {
        Some(folder) => Some(Arc::new(Cache::open(folder, &Key::of(&*opened.dataset, &pipeline, side)?)?)),
        None => None,
    };
    let TrainRecipe { batch, seed, .. } = recipe.train;
    let batches = |position| match &cache {
        Some(cache) => {
            let options = CachedOptions { batch, seed, flip: recipe.flip };
            Ok(Batches::Cached(Box::new(CachedLoader::new(cache.clone(), options, position)?)))
        }
        None => {
            let transform = Transform { resolution: side, crop: Crop::Random, flip: recipe.flip };
            let options = LoaderOptions { batch, seed, workers: recipe.workers.max(1), prefetch: 2 };
            let printer = printer.clone();
            Ok(Batches::Fresh {
                loader: Box::new(Loader::start(opened.dataset.clone(), transform, options, position)?),
                latents: Box::new(LatentEncoder::open(&pipeline, device, Dtype::F32)?),
                text: Box::new(TextEncoder::open(&pipeline, device, Dtype::F32)?),
                side,
                warn: Box::new(move |line| printer.warn(line)),
            })
        }
    };
    let mut task = Finetuning::new(setting, batches)?;
    if recipe.train.settings.sample_every > 0 {
        let latents = side / vae.factor();
        task = task.with_samples(recipe.samples.samples(&*opened.dataset, &pipeline, &text, latents, device)?);
    }
    let start = if arguments.resume { Start::Resume } else { Start::New };
    let folder = RunFolder::open(&arguments.out, &recipe, start)?;
    let outcome = train(&mut task, &recipe.train.settings, &folder, &Shown::new(printer, &interrupt, "Fine-tuning"))?;
    if let Outcome::Interrupted { step } = outcome {
        printer.note(format_args!("stopped after step {step}; the same command with --resume goes on from there"));
        return Ok(ExitCode::Incomplete);
    }
    let unet = arguments.out.join("student/unet");
    write_student(&unet, &teacher, &architecture, &task)?;
    printer.status("Made", unet.display());
    if arguments.report.json {
        let at = counter::At { height: side / vae.factor(), width: side / vae.factor(), tokens: text.shape()[0] };
        let [full, left] = [&Architecture::full(), &architecture].map(|a| counter::unet(teacher.config(), a, at));
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

fn student(student: &Student, teacher: &Teacher) -> anyhow::Result<Architecture> {
    match student {
        Student::Full => Ok(Architecture::full()),
        Student::Uniform(share) => {
            anyhow::ensure!(*share > 0.0 && *share <= 1.0, "`student.uniform` is {share}; it must be in (0, 1]");
            Ok(Architecture::uniform(&counter::unet_sites(teacher.config())?, *share))
        }
        Student::File(path) => {
            let bytes = files::read_bounded(path, MAX_ARCHITECTURE)?;
            serde_json::from_slice(&bytes).with_context(|| format!("{} is no architecture", path.display()))
        }
    }
}
