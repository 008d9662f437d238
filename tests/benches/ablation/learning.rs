//! Fine-tuning one student, and the pictures that it draws on the way.

use super::Cli;
use anyhow::{Context, Result};
use image::RgbImage;
use pleach_model::{
    architecture::Architecture,
    counter,
    files::Overwrite,
    pipeline::{CheckpointPipeline, PipelineFolder},
    samplers::SamplerKind,
    schedule::Schedule,
    tensor::Dtype,
    vae::VaeConfig,
};
use pleach_trainer::torch::Device;
use pleach_trainer::{
    data::{
        Dataset, ImageFolder, Position,
        cache::{self, BuildOptions, Cache, CachedLoader, CachedOptions, Key},
    },
    encoders::{LatentDecoder, TextEncoder},
    finetune::{Batches, Finetuning, Init, LossRecipe, Samples, Setting, Teacher, TrainRecipe},
    learn::{OptimiserSettings, RateSettings, Variable},
    run::{self, LoopSettings, Loss, Outcome, RunFolder, Start, Task, train},
    sampling::Sampling,
    world,
};
use std::{fs, ops::ControlFlow, path::PathBuf, sync::Arc};

/// Seed of the pictures that are learnt from, the same as the base model's.
const WORLD: u64 = 1;
/// Seed of the captions that are drawn.
pub const UNSEEN: u64 = 0x756e_7365_656e;
/// Steps of the sampler.
const SAMPLER_STEPS: usize = 12;
/// Pictures drawn together.
const TOGETHER: usize = 48;

/// A way to fine-tune.
pub struct Configuration {
    /// What table and plot call it.
    pub name: &'static str,
    diffusion: bool,
    distillation: bool,
    init: Init,
}

/// Figures 4 and 5.
pub const CONFIGURATIONS: [Configuration; 4] = [
    Configuration { name: "diffusion", diffusion: true, distillation: false, init: Init::Teacher },
    Configuration { name: "distillation", diffusion: false, distillation: true, init: Init::Teacher },
    Configuration { name: "both", diffusion: true, distillation: true, init: Init::Teacher },
    Configuration { name: "both, random weights", diffusion: true, distillation: true, init: Init::Random },
];

/// The whole teacher.
pub const TEACHER: &str = "the teacher itself";
/// What is cut out of it, before it learns.
pub const CUT: &str = "nothing: cut, not fine-tuned";

/// Pictures drawn after so many steps.
pub type Look = (u64, Vec<RgbImage>);

/// What all runs share.
pub struct Bench {
    pipeline: CheckpointPipeline,
    teacher: Teacher,
    schedule: Schedule,
    text: TextEncoder,
    scaling: f64,
    cache: Arc<Cache>,
    dataset: Arc<dyn Dataset>,
    captions: Vec<String>,
}

impl Bench {
    pub fn open(cli: &Cli) -> Result<Self> {
        let pipeline = PipelineFolder::open(&cli.base)?.checkpoint()?;
        let data = cli.work.join(format!("world-{}", cli.pictures));
        if !data.is_dir() {
            let request = world::folder::Request { count: cli.pictures, seed: WORLD, ..Default::default() };
            world::folder::write(&data, &request, Overwrite::Never, &|| ControlFlow::Continue(()))?;
        }
        let dataset: Arc<dyn Dataset> = Arc::new(ImageFolder::open(&data, None)?);
        let side = world::SIDE as usize;
        let folder = cli.work.join(format!("cache-{}", cli.pictures));
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
            captions: (0..cli.drawn as u64).map(|index| world::sample(UNSEEN, index).caption).collect(),
            pipeline,
        })
    }

    /// Pictures that the teacher draws when this share of it is left, and nothing was learnt since.
    pub fn untrained(&self, cli: &Cli, width: f64) -> Result<Vec<RgbImage>> {
        let (recipe, left) = (TrainRecipe::default(), self.left(width)?);
        let task = Finetuning::new(self.setting(&recipe, &left)?, |position| self.batches(&recipe, position))?;
        Ok(draw(&task, &self.samples(cli)?)?)
    }

    fn left(&self, width: f64) -> Result<Architecture> {
        Ok(Architecture::uniform(&counter::unet_sites(self.teacher.config())?, width))
    }

    /// A run, and pictures on the way and at its end.
    pub fn fine_tune(&self, cli: &Cli, configuration: &Configuration, seed: u64) -> Result<Vec<Look>> {
        let Configuration { name, diffusion, distillation, init } = *configuration;
        let paper = LossRecipe::paper();
        let weight = |used: bool, weight: f64| if used { weight } else { 0.0 };
        let recipe = TrainRecipe {
            seed,
            init,
            batch: cli.batch,
            dropout: 0.1,
            loss: LossRecipe {
                diffusion: weight(diffusion, paper.diffusion),
                output: weight(distillation, paper.output),
                features: weight(distillation, paper.features),
                ..paper
            },
            settings: LoopSettings {
                steps: cli.steps,
                optimiser: OptimiserSettings {
                    rate: RateSettings { peak: cli.rate, warmup: 20, ..RateSettings::default() },
                    clip: Some(1.0),
                    ..OptimiserSettings::default()
                },
                sample_every: cli.every,
                checkpoint_every: cli.steps,
                ..LoopSettings::default()
            },
            ..TrainRecipe::default()
        };
        let half = self.left(cli.width)?;
        let task = Finetuning::new(self.setting(&recipe, &half)?, |position| self.batches(&recipe, position))?;
        let mut watched = Watched { task, every: cli.every, samples: self.samples(cli)?, looks: Vec::new() };
        let folder = cli.work.join(format!("{}-{seed}", name.replace([',', ' '], "")));
        // A run of which no result was kept did not end.
        if folder.is_dir() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let folder = RunFolder::open(&folder, &recipe, Start::New)?;
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
            null: self.text.encode(&[String::new()])?,
            device: Device::Cpu,
        })
    }

    fn batches(&self, recipe: &TrainRecipe, position: Position) -> run::Result<Batches> {
        let options = CachedOptions { batch: recipe.batch, seed: recipe.seed, flip: false };
        let loader = Box::new(CachedLoader::new(self.cache.clone(), options, position)?);
        Ok(Batches::Cached { loader, dataset: self.dataset.clone() })
    }

    fn samples(&self, cli: &Cli) -> Result<Vec<Samples>> {
        let side = (world::SIDE as usize / VaeConfig::from_json(&self.pipeline.vae.config)?.factor()) as i64;
        let sampling = Sampling { kind: SamplerKind::Dpmpp2m, steps: SAMPLER_STEPS, guidance: cli.guidance };
        let part = |captions: &[String]| {
            Ok(Samples {
                embeddings: self.text.encode(captions)?,
                decoder: LatentDecoder::of(&self.pipeline.vae, Device::Cpu, Dtype::F32)?,
                latents: [side; 2],
                sampling,
            })
        };
        self.captions.chunks(TOGETHER).map(part).collect()
    }
}

/// The noise of a picture is the same in every run: it begins with its own seed.
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

impl Watched<'_> {
    fn look(&mut self) -> run::Result<()> {
        let step = self.every * (self.looks.len() as u64 + 1);
        self.looks.push((step, draw(&self.task, &self.samples)?));
        Ok(())
    }
}

impl Task for Watched<'_> {
    fn variables(&self) -> &[Variable] {
        self.task.variables()
    }

    fn loss(&mut self, micro: u64) -> run::Result<Loss> {
        self.task.loss(micro)
    }

    fn sample(&mut self) -> run::Result<Option<RgbImage>> {
        self.look()?;
        let last = self.looks.last().map(|(_, pictures)| &pictures[..24.min(pictures.len())]);
        Ok(last.map(|pictures| run::grid(pictures, 8, 2)))
    }
}

/// The folder of the judge beside a pipeline's parts.
pub fn judge(cli: &Cli) -> PathBuf {
    cli.base.join("judge")
}
