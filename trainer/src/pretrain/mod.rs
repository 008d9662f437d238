//! The small world's base model from nothing: autoencoder, judge, text encoder and UNet, each a run of its own.
//!
//! ```text
//! RUN/  vae/ judge/ text/ unet/   runs (recipe, metrics, samples, checkpoints)
//!       pipeline/                 what they made: a diffusers pipeline; beside its parts judge/ and clip/
//! ```

mod judge;
mod network;
mod text;
mod unet;
mod vae;
mod world;

pub use judge::JudgeRecipe;
pub use text::TextRecipe;
pub use unet::UnetRecipe;
pub use vae::VaeRecipe;

use crate::{
    learn::{Decay, OptimiserSettings, RateSettings},
    run::{self, LoopSettings, Outcome, Result, RunFolder, Start, Task, Watch, named, write_weights},
    torch::Torch,
    world::{SIDE, tokenizer},
};
use judge::{JudgeTask, accuracy};
use network::Autoencoder;
use pleach_model::{
    files::{self, AtomicFolder, Overwrite},
    schedule::{Schedule, SchedulerConfig},
    tensor::Dtype,
    tokenizer::Tokenizer,
    towers,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tch::{Device, Tensor};
use text::{TOWER, TextTask};
use unet::{Context, UnetTask};
use vae::VaeTask;
use world::Examples;

/// How the base model is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Seed of weights, batches and noise.
    pub seed: u64,
    /// Seed of the pictures.
    pub world: u64,
    /// Pictures that are learnt from.
    pub pictures: u64,
    /// Threads of libtorch: results are the same bits only for the same number.
    pub threads: usize,
    /// The autoencoder.
    pub vae: VaeRecipe,
    /// The judge.
    pub judge: JudgeRecipe,
    /// The text encoder.
    pub text: TextRecipe,
    /// The UNet.
    pub unet: UnetRecipe,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 0,
            world: 1,
            pictures: 20_000,
            threads: 2,
            vae: VaeRecipe::default(),
            judge: JudgeRecipe::default(),
            text: TextRecipe::default(),
            unet: UnetRecipe::default(),
        }
    }
}

impl Recipe {
    /// # Errors
    /// The first key with a value that no run can have.
    pub fn check(&self) -> Result<()> {
        let loops = [&self.text.settings, &self.vae.settings, &self.judge.settings, &self.unet.settings];
        loops.into_iter().try_for_each(LoopSettings::check)?;
        if self.pictures < world::MEMBERS {
            let expected = "at least one family of siblings: 5";
            return Err(run::Error::Setting { key: "pictures", value: self.pictures.to_string(), expected });
        }
        Ok(())
    }
}

/// Seed of the pictures that the judge is examined on: no training uses it.
const FRESH_WORLD: u64 = 0x6672_6573_6800;
/// Pictures that the judge is examined on.
const FRESH: u64 = 2000;

/// A loop with a warm-up, half a cosine and clipped gradients.
fn loop_settings(steps: u64, peak: f64, ema: Option<f64>) -> LoopSettings {
    LoopSettings {
        steps,
        optimiser: OptimiserSettings {
            rate: RateSettings { peak, warmup: 50, decay: Decay::Cosine },
            clip: Some(1.0),
            ..OptimiserSettings::default()
        },
        ema,
        sample_every: 250,
        checkpoint_every: 250,
        ..LoopSettings::default()
    }
}

/// A part of the base model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Stage {
    /// The autoencoder.
    Vae,
    /// The classifier that judges pictures: learns from renderings and from what the autoencoder makes of them.
    Judge,
    /// The text encoder, trained contrastively with an image tower that starts as the judge.
    Text,
    /// The UNet.
    Unet,
}

impl Stage {
    /// In the order in which they are made.
    pub const ALL: [Self; 4] = [Self::Vae, Self::Judge, Self::Text, Self::Unet];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Vae => "vae",
            Self::Unet => "unet",
            Self::Judge => "judge",
        }
    }

    /// Folder of what the stage makes, in the pipeline.
    fn component(self) -> &'static str {
        match self {
            Self::Text => "text_encoder",
            other => other.name(),
        }
    }
}

/// Makes a base model in a folder.
pub struct Pretraining<'a> {
    recipe: &'a Recipe,
    folder: PathBuf,
    resume: bool,
    torch: Torch,
    examples: Examples,
    schedule: Schedule,
}

impl<'a> Pretraining<'a> {
    /// Draws the pictures.
    ///
    /// # Errors
    /// A recipe that cannot be followed; libtorch is not there or another one than needed.
    pub fn new(recipe: &'a Recipe, folder: &Path, resume: bool) -> Result<Self> {
        recipe.check()?;
        let torch = Torch::new(Device::Cpu, Dtype::F32)?;
        tch::set_num_threads(i32::try_from(recipe.threads).unwrap_or(i32::MAX).max(1));
        let scheduler = SchedulerConfig::from_json(&scheduler().to_string())?;
        Ok(Self {
            recipe,
            folder: folder.to_owned(),
            resume,
            torch,
            examples: Examples::draw(recipe.world, recipe.pictures),
            schedule: Schedule::from_config(&scheduler)?,
        })
    }

    /// The pipeline's folder.
    pub fn pipeline(&self) -> PathBuf {
        self.folder.join("pipeline")
    }

    /// Whether a stage has made its part.
    pub fn is_made(&self, stage: Stage) -> bool {
        self.part(stage.component()).join("config.json").is_file()
    }

    /// Runs one stage; those before it must have made their parts.
    ///
    /// # Errors
    /// Whatever ends a run.
    pub fn run(&self, stage: Stage, watch: &dyn Watch) -> Result<Outcome> {
        let tokenizer = self.part("tokenizer");
        if !tokenizer.join("vocab.json").is_file() {
            fs::create_dir_all(&tokenizer)
                .map_err(|source| files::Error::Folder { folder: tokenizer.clone(), source })?;
            tokenizer::write(&tokenizer)?;
        }
        match stage {
            Stage::Text => self.text(watch),
            Stage::Vae => self.vae(watch),
            Stage::Unet => self.unet(watch),
            Stage::Judge => self.judge(watch),
        }
    }

    fn part(&self, name: &str) -> PathBuf {
        self.pipeline().join(name)
    }

    fn train(&self, stage: Stage, task: &mut dyn Task, settings: &LoopSettings, watch: &dyn Watch) -> Result<Outcome> {
        let folder = self.folder.join(stage.name());
        let start = if self.resume && folder.join("recipe.toml").is_file() { Start::Resume } else { Start::New };
        let folder = RunFolder::open(&folder, self.recipe, start)?;
        run::train(task, settings, &folder, watch)
    }

    fn text(&self, watch: &dyn Watch) -> Result<Outcome> {
        let recipe = &self.recipe.text;
        let tokenizer = Tokenizer::clip(&self.part("tokenizer"), recipe.config().max_position_embeddings)?;
        let examples = Examples::families(self.recipe.world, self.recipe.pictures);
        let tower = recipe.tower(&self.recipe.judge);
        let judge = network::vision_tensors(&self.part("judge"), &self.torch, SIDE as usize)?;
        let mut task = TextTask::new(&self.torch, recipe, &tower, self.recipe.seed, &examples, &tokenizer)?;
        task.start_as(&judge)?;
        let outcome = self.train(Stage::Text, &mut task, &recipe.settings, watch)?;
        if outcome == Outcome::Finished {
            let (other, text): (Vec<_>, Vec<_>) =
                named(&task).into_iter().partition(|(name, _)| !name.starts_with("text_model."));
            let other = other.into_iter().map(|(name, tensor)| {
                let short = name.strip_prefix(TOWER).map(str::to_owned);
                (short.unwrap_or(name), tensor)
            });
            self.save(towers::FOLDER, &tower.vision.to_json(), "model", &other.collect::<Vec<_>>())?;
            self.save(Stage::Text.component(), &recipe.config().to_json(), "model", &text)?;
        }
        Ok(outcome)
    }

    fn vae(&self, watch: &dyn Watch) -> Result<Outcome> {
        let recipe = &self.recipe.vae;
        let mut task = VaeTask::new(&self.torch, recipe, self.recipe.seed, &self.examples)?;
        let outcome = self.train(Stage::Vae, &mut task, &recipe.settings, watch)?;
        if outcome == Outcome::Finished {
            let (mut config, tensors) = (recipe.config(), named(&task));
            let unscaled = self.part("vae-unscaled");
            self.save("vae-unscaled", &config.to_json(), WEIGHTS, &tensors)?;
            config.scaling_factor = vae::scaling_factor(&unscaled, &self.torch, &self.examples)?;
            self.save(Stage::Vae.component(), &config.to_json(), WEIGHTS, &tensors)?;
            fs::remove_dir_all(&unscaled).map_err(|source| files::Error::Folder { folder: unscaled, source })?;
        }
        Ok(outcome)
    }

    fn unet(&self, watch: &dyn Watch) -> Result<Outcome> {
        let recipe = &self.recipe.unet;
        let autoencoder = Autoencoder::open(&self.part("vae"), &self.torch)?;
        let text = network::text_encoder(&self.part("text_encoder"), &self.part("tokenizer"), &self.torch)?;
        let context = Context {
            torch: &self.torch,
            seed: self.recipe.seed,
            examples: &self.examples,
            text: &text,
            autoencoder: &autoencoder,
            schedule: &self.schedule,
        };
        let mut task = UnetTask::new(recipe, context)?;
        let outcome = self.train(Stage::Unet, &mut task, &recipe.settings, watch)?;
        if outcome == Outcome::Finished {
            self.save(Stage::Unet.component(), &task.config().to_json(), WEIGHTS, &named(&task))?;
            let write = |path: PathBuf, value: &Value| -> Result<()> {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)
                        .map_err(|source| files::Error::Folder { folder: folder.to_owned(), source })?;
                }
                Ok(files::write(&path, format!("{value:#}\n").as_bytes())?)
            };
            write(self.part("scheduler").join("scheduler_config.json"), &scheduler())?;
            write(self.part("model_index.json"), &index())?;
        }
        Ok(outcome)
    }

    fn judge(&self, watch: &dyn Watch) -> Result<Outcome> {
        let recipe = &self.recipe.judge;
        let autoencoder = Autoencoder::open(&self.part("vae"), &self.torch)?;
        let examples = self.examples.half_through(&autoencoder, self.recipe.seed)?;
        let mut task = JudgeTask::new(&self.torch, recipe, self.recipe.seed, &examples)?;
        let outcome = self.train(Stage::Judge, &mut task, &recipe.settings, watch)?;
        if outcome == Outcome::Finished {
            self.save(Stage::Judge.component(), &recipe.config().to_json(), "model", &named(&task))?;
        }
        Ok(outcome)
    }

    /// How often the judge is right on pictures that nobody has seen, for each head.
    ///
    /// # Errors
    /// The judge cannot be opened.
    pub fn examine(&self) -> Result<BTreeMap<String, f64>> {
        let judge = network::vision(&self.part("judge"), &self.torch, SIDE as usize)?;
        accuracy(&judge, &self.torch, &Examples::draw(FRESH_WORLD, FRESH))
    }

    /// Leaves a network in half precision: what later stages read is what will be shipped.
    fn save(&self, name: &str, config: &Value, file: &str, tensors: &[(String, Tensor)]) -> Result<()> {
        let folder = AtomicFolder::create(&self.part(name), Overwrite::IfItHolds("config.json"))?;
        write_weights(&folder.path().join(format!("{file}.safetensors")), tensors, Dtype::F16)?;
        files::write(&folder.path().join("config.json"), format!("{config:#}\n").as_bytes())?;
        folder.persist()?;
        Ok(())
    }
}

/// Name of diffusers' weights.
const WEIGHTS: &str = "diffusion_pytorch_model";

/// Stable Diffusion's schedule, sampled as Stable Diffusion 2.1-base is.
fn scheduler() -> Value {
    json!({
        "_class_name": "PNDMScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": false,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    })
}

fn index() -> Value {
    json!({
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [null, null],
        "image_encoder": [null, null],
        "requires_safety_checker": false,
        "safety_checker": [null, null],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    })
}
