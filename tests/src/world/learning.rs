//! Fine-tuning students of the small world's base model, and the pictures that they draw on the way: what benchmarks that compare
//! students share.

use super::UNSEEN;
use anyhow::{Context, Result};
use image::RgbImage;
use pleach_model::{
    architecture::Architecture,
    files::Overwrite,
    pipeline::{CheckpointPipeline, PipelineFolder},
    samplers::SamplerKind,
    schedule::Schedule,
    tensor::Dtype,
    vae::VaeConfig,
};
use pleach_trainer::{
    data::{
        Dataset, ImageFolder, Part, Position,
        cache::{self, BuildOptions, Cache, CachedLoader, CachedOptions, Key},
    },
    encoders::{LatentDecoder, TextEncoder},
    finetune::{Batches, Finetuning, LossRecipe, Samples, Setting, Teacher, TrainRecipe},
    learn::{OptimiserSettings, RateSettings, Variable},
    run::{self, LoopSettings, Loss, Outcome, RunFolder, Start, Task, train},
    sampling::Sampling,
    torch::Device,
    world,
};
use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Seed of the pictures that are learnt from, the same as the base model's.
const WORLD: u64 = 1;
/// Steps of the sampler.
const SAMPLER_STEPS: usize = 12;
/// Pictures drawn together.
const TOGETHER: usize = 48;

/// Pictures drawn after so many steps.
pub type Look = (u64, Vec<RgbImage>);

/// What all students of a comparison share: their teacher, data, and captions to draw.
pub struct Ground {
    /// The base model.
    pub pipeline: CheckpointPipeline,
    /// Its UNet.
    pub teacher: Teacher,
    /// Its noise schedule.
    pub schedule: Schedule,
    /// Factor of its latents.
    pub scaling: f64,
    /// The pictures that are learnt from, of the base model's own training set.
    pub dataset: Arc<dyn Dataset>,
    text: TextEncoder,
    cache: Arc<Cache>,
    captions: Vec<String>,
    guidance: f64,
}

/// What a benchmark that compares students is told.
#[derive(clap::Args, Clone, Debug)]
pub struct Comparison {
    /// The small world's base model: what `pleach-train pretrain` leaves in RUN/pipeline
    #[arg(long, value_name = "FOLDER")]
    pub base: PathBuf,
    /// Where the plot is written
    #[arg(long, default_value = "docs")]
    pub docs: PathBuf,
    /// Pictures to learn from
    #[arg(long, default_value_t = 4000)]
    pub pictures: u64,
    /// Pictures drawn for each look, for captions that were not learnt from
    #[arg(long, default_value_t = 256)]
    pub drawn: usize,
    /// Guidance of the pictures drawn
    #[arg(long, default_value_t = 2.0)]
    pub guidance: f64,
    /// Steps of fine-tuning
    #[arg(long, default_value_t = 400)]
    pub steps: u64,
    /// Steps between two looks
    #[arg(long, default_value_t = 100)]
    pub every: u64,
    /// Latents in a batch of fine-tuning
    #[arg(long, default_value_t = 16)]
    pub batch: usize,
    /// Learning rate of fine-tuning
    #[arg(long, default_value_t = 5e-4)]
    pub rate: f64,
}

/// Cargo runs a benchmark in its package's folder; paths are those of the caller, in the workspace.
pub fn in_workspace<'a>(paths: impl IntoIterator<Item = &'a mut PathBuf>) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in paths {
        *path = root.join(&*path);
    }
}

impl Comparison {
    /// The recipe of a student that learns with the paper's weights.
    pub fn recipe(&self, seed: u64) -> TrainRecipe {
        TrainRecipe {
            seed,
            batch: self.batch,
            dropout: 0.1,
            loss: LossRecipe::paper(),
            settings: LoopSettings {
                steps: self.steps,
                optimiser: OptimiserSettings {
                    rate: RateSettings { peak: self.rate, warmup: 20, ..RateSettings::default() },
                    clip: Some(1.0),
                    ..OptimiserSettings::default()
                },
                sample_every: self.every,
                checkpoint_every: self.steps,
                ..LoopSettings::default()
            },
            ..TrainRecipe::default()
        }
    }
}

/// A student, before it learns.
pub struct Student<'a> {
    /// How it learns.
    pub recipe: &'a TrainRecipe,
    /// What is left of it.
    pub left: &'a Architecture,
    /// What it learns from, where that is not everything.
    pub part: Option<Arc<Part>>,
    /// The numbers of the captions that it draws.
    pub captions: &'a [usize],
}

impl Ground {
    /// Opens the base model; draws its training set and encodes it into `work`, where that was not done before.
    ///
    /// # Errors
    /// A base model or a folder that cannot be used.
    pub fn open(comparison: &Comparison, work: &Path) -> Result<Self> {
        let pipeline = PipelineFolder::open(&comparison.base)?.checkpoint()?;
        let data = work.join(format!("world-{}", comparison.pictures));
        if !data.is_dir() {
            let request = world::folder::Request { count: comparison.pictures, seed: WORLD, ..Default::default() };
            world::folder::write(&data, &request, Overwrite::Never, &|| ControlFlow::Continue(()))?;
        }
        let dataset: Arc<dyn Dataset> = Arc::new(ImageFolder::open(&data, None)?);
        let side = world::SIDE as usize;
        let folder = work.join(format!("cache-{}", comparison.pictures));
        if !folder.is_dir() {
            let options = BuildOptions { resolution: side, device: Device::Cpu, ..BuildOptions::default() };
            cache::build(&*dataset, &pipeline, &folder, &options, &())?;
        }
        let cache = Arc::new(Cache::open(&folder, &Key::of(&*dataset, &pipeline, side)?)?);
        Ok(Self {
            teacher: Teacher::new(pipeline.unet.clone())?,
            schedule: Schedule::from_config(&pipeline.common.scheduler)?,
            text: TextEncoder::open(&pipeline, Device::Cpu, Dtype::F32)?,
            scaling: VaeConfig::from_json(&pipeline.vae.config)?.scaling_factor,
            cache,
            dataset,
            captions: (0..comparison.drawn as u64).map(|index| world::sample(UNSEEN, index).caption).collect(),
            guidance: comparison.guidance,
            pipeline,
        })
    }

    /// The captions that are drawn.
    pub fn captions(&self) -> &[String] {
        &self.captions
    }

    /// The numbers of all of them.
    pub fn all(&self) -> Vec<usize> {
        (0..self.captions.len()).collect()
    }

    /// Embedding of the empty caption, `[1, N, D]`.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn null(&self) -> Result<tch::Tensor> {
        Ok(self.text.encode(&[String::new()])?)
    }

    /// Side of the latents.
    ///
    /// # Errors
    /// An autoencoder that is none.
    pub fn side(&self) -> Result<usize> {
        Ok(world::SIDE as usize / VaeConfig::from_json(&self.pipeline.vae.config)?.factor())
    }

    /// Pictures that the teacher draws when this is left of it, and nothing was learnt since.
    ///
    /// # Errors
    /// An architecture of another network.
    pub fn untrained(&self, left: &Architecture) -> Result<Vec<RgbImage>> {
        let recipe = TrainRecipe::default();
        let batches = |position| self.batches((recipe.batch, recipe.seed), None, position);
        let task = Finetuning::new(self.setting(&recipe, left)?, batches)?;
        Ok(draw(&task, &self.samples(&self.all())?)?)
    }

    /// A run in a folder of its own, and pictures on the way and at its end. One that is there already is begun anew.
    ///
    /// # Errors
    /// Whatever ends a run.
    pub fn fine_tune(&self, student: &Student<'_>, folder: &Path) -> Result<Vec<Look>> {
        let Student { recipe, left, part, captions } = student;
        let batches = |position| self.batches((recipe.batch, recipe.seed), part.as_ref(), position);
        let task = Finetuning::new(self.setting(recipe, left)?, batches)?;
        let every = recipe.settings.sample_every;
        let mut watched = Watched { task, every, samples: self.samples(captions)?, looks: Vec::new() };
        if folder.is_dir() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let folder = RunFolder::open(folder, recipe, Start::New)?;
        match train(&mut watched, &recipe.settings, &folder, &())? {
            Outcome::Finished => Ok(watched.looks),
            Outcome::Interrupted { step } => anyhow::bail!("stopped after step {step}"),
        }
    }

    fn setting<'a>(&'a self, recipe: &'a TrainRecipe, architecture: &'a Architecture) -> Result<Setting<'a>> {
        Ok(Setting {
            recipe,
            teacher: &self.teacher,
            architecture,
            schedule: &self.schedule,
            scaling: self.scaling,
            null: self.null()?,
            device: Device::Cpu,
        })
    }

    /// Batches of so many latents for a seed, of all data or of a part, from a position on.
    ///
    /// # Errors
    /// A cache that cannot be read.
    pub fn batches(
        &self,
        (batch, seed): (usize, u64),
        part: Option<&Arc<Part>>,
        position: Position,
    ) -> run::Result<Batches> {
        let options = CachedOptions { batch, seed, flip: false };
        let loader = Box::new(CachedLoader::of_part(self.cache.clone(), part.cloned(), options, position)?);
        Ok(Batches::Cached { loader, dataset: self.dataset.clone() })
    }

    fn samples(&self, captions: &[usize]) -> Result<Vec<Samples>> {
        let side = self.side()? as i64;
        let sampling = Sampling { kind: SamplerKind::Dpmpp2m, steps: SAMPLER_STEPS, guidance: self.guidance };
        let part = |captions: &[usize]| {
            let captions: Vec<String> = captions.iter().map(|&number| self.captions[number].clone()).collect();
            Ok(Samples {
                embeddings: self.text.encode(&captions)?,
                null: self.null()?,
                schedule: self.schedule.clone(),
                decoder: LatentDecoder::of(&self.pipeline.vae, Device::Cpu, Dtype::F32)?,
                latents: [side; 2],
                sampling,
            })
        };
        captions.chunks(TOGETHER).map(part).collect()
    }
}

/// The noise of a picture is the same in every run that draws the same captions: it begins with its own seed.
fn draw(task: &Finetuning<'_>, samples: &[Samples]) -> run::Result<Vec<RgbImage>> {
    let mut pictures = Vec::new();
    for (seed, part) in (0..).zip(samples) {
        pictures.extend(task.draw(part, seed)?);
    }
    Ok(pictures)
}

/// A task that draws pictures to be judged where others draw samples to look at.
struct Watched<'a> {
    task: Finetuning<'a>,
    every: u64,
    samples: Vec<Samples>,
    looks: Vec<Look>,
}

impl Task for Watched<'_> {
    fn variables(&self) -> &[Variable] {
        self.task.variables()
    }

    fn loss(&mut self, micro: u64) -> run::Result<Loss> {
        self.task.loss(micro)
    }

    fn sample(&mut self) -> run::Result<Option<RgbImage>> {
        let step = self.every * (self.looks.len() as u64 + 1);
        let pictures = draw(&self.task, &self.samples)?;
        let shown = (!pictures.is_empty()).then(|| run::grid(&pictures[..24.min(pictures.len())], 8, 2));
        self.looks.push((step, pictures));
        Ok(shown)
    }
}
