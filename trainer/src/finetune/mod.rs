//! Fine-tuning a student, usually a pruned one, with its teacher beside it.

mod batches;
mod loss;

pub use batches::{Batches, Encoded, Latents, Making};
pub(crate) use loss::outputs;
pub use loss::{Blocks, LossRecipe, Outputs, Reduce, distillation};

use crate::{
    data::Position,
    diffusion::Diffusion,
    encoders::LatentDecoder,
    learn::{Learner, Variable},
    run::{self, LoopSettings, Loss, Result, Task, grid, write_weights},
    sampling::{Artist, Denoiser, Sampling, Start},
    torch::{CutWeights, Initial, Layout, Torch, Value, Weights},
};
use image::RgbImage;
use pleach_model::{
    architecture::Architecture,
    checkpoint::{Bound, Checkpoint, Spelling},
    counter,
    cut::Cuts,
    files::{self, AtomicFolder, Overwrite},
    params::{Params, Source},
    pipeline::Network,
    schedule::Schedule,
    sites::Identity,
    tensor::{Dtype, TensorSpec},
    unet::{UNet, UNetConfig},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;
use tch::{Device, Tensor, no_grad};

/// What the student starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// The teacher's weights, cut.
    #[default]
    Teacher,
    /// Random weights.
    Random,
}

/// How a student is fine-tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainRecipe {
    /// Seed of batches and noise.
    pub seed: u64,
    /// What the student starts from.
    pub init: Init,
    /// What the networks compute in; weights and moments are f32.
    pub precision: Dtype,
    /// Whether the student forgets what is inside its ResNets and transformers, and computes it again for the gradients: less memory, more
    /// time. The gradients are the same.
    pub gradient_checkpointing: bool,
    /// Whether kernels of convolutions, and so their results, lie in memory with channels last.
    pub channels_last: bool,
    /// Latents in a micro-batch.
    pub batch: usize,
    /// Share of captions that are left out.
    pub dropout: f64,
    /// The loss.
    pub loss: LossRecipe,
    /// The loop.
    #[serde(rename = "loop")]
    pub settings: LoopSettings,
}

impl Default for TrainRecipe {
    fn default() -> Self {
        Self {
            seed: 43,
            init: Init::Teacher,
            precision: Dtype::F32,
            gradient_checkpointing: false,
            channels_last: false,
            batch: 8,
            dropout: 0.0,
            loss: LossRecipe::default(),
            settings: LoopSettings { ema: None, ..LoopSettings::default() },
        }
    }
}

/// Samples in a row.
const COLUMNS: usize = 4;

/// A teacher's UNet: its files and what it is.
pub struct Teacher {
    config: UNetConfig,
    network: Network,
}

impl Teacher {
    /// The UNet in a component's folder.
    ///
    /// # Errors
    /// A configuration that is not supported.
    pub fn new(network: Network) -> Result<Self> {
        Ok(Self { config: UNetConfig::from_json(&network.config)?, network })
    }

    /// Its sizes.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.network.folder
    }

    /// The tensors of what an architecture leaves of it, as they are stored, and their type. Nothing but these is copied.
    ///
    /// # Errors
    /// An architecture of another network, weights that do not fit.
    pub fn cut(&self, architecture: &Architecture) -> Result<(Vec<(String, Tensor)>, Dtype)> {
        let cuts = Cuts::new(&self.config, architecture)?;
        let specs = self.specs(architecture)?;
        self.bound(|bound| tensors(specs, bound, &CutWeights::new(bound, &cuts)))
    }

    /// The tensors of what an architecture leaves of it out of a checkpoint of its own, as they are stored, and their type.
    ///
    /// # Errors
    /// An architecture of another network, weights that do not fit.
    pub fn stored(&self, architecture: &Architecture, own: &Checkpoint) -> Result<(Vec<(String, Tensor)>, Dtype)> {
        let specs = self.specs(architecture)?;
        let bound = own.bind(&specs, Spelling::Unet)?;
        tensors(specs, &bound, &Weights::new(&bound))
    }

    /// A network that learns: what an architecture leaves of the teacher, with weights of its own or the teacher's.
    ///
    /// # Errors
    /// An architecture of another network, weights that do not fit.
    pub fn student(
        &self,
        architecture: &Architecture,
        own: Option<&Checkpoint>,
        device: Device,
        channels_last: bool,
    ) -> Result<Learner> {
        let config = &self.config;
        match own {
            None => {
                let cuts = Cuts::new(config, architecture)?;
                self.bound(|bound| {
                    let source = Layout::new(CutWeights::new(bound, &cuts), channels_last);
                    Learner::new(config, architecture, device, source)
                })
            }
            Some(own) => {
                let bound = own.bind(&self.specs(architecture)?, Spelling::Unet)?;
                Learner::new(config, architecture, device, Layout::new(Weights::new(&bound), channels_last))
            }
        }
    }

    /// As [`student`](Self::student), a network that learns nothing.
    ///
    /// # Errors
    /// An architecture of another network, weights that do not fit.
    pub fn network(
        &self,
        architecture: &Architecture,
        own: Option<&Checkpoint>,
        torch: &Torch,
        channels_last: bool,
    ) -> Result<UNet<Torch>> {
        fn build(
            (config, architecture): (&UNetConfig, &Architecture),
            torch: &Torch,
            source: impl Source<Torch>,
            channels_last: bool,
        ) -> Result<UNet<Torch>> {
            let source = Layout::new(source, channels_last);
            Ok(UNet::new(config, architecture, &Params::new(torch, &source))?)
        }
        let of = (&self.config, architecture);
        match own {
            None => {
                let cuts = Cuts::new(&self.config, architecture)?;
                self.bound(|bound| build(of, torch, CutWeights::new(bound, &cuts), channels_last))
            }
            Some(own) => {
                let bound = own.bind(&self.specs(architecture)?, Spelling::Unet)?;
                build(of, torch, Weights::new(&bound), channels_last)
            }
        }
    }

    /// The parameters that an architecture leaves.
    fn specs(&self, architecture: &Architecture) -> Result<Vec<TensorSpec>> {
        Ok(counter::unet(&self.config, architecture, counter::At { height: 8, width: 8, tokens: 1 })?.tensors)
    }

    /// Its tensors, handed to `use_`.
    pub(crate) fn bound<T>(&self, use_: impl FnOnce(&Bound<'_>) -> Result<T>) -> Result<T> {
        let checkpoint = self.network.weights(None)?;
        use_(&checkpoint.bind(&self.specs(&Architecture::full())?, Spelling::Unet)?)
    }
}

/// Parameters out of a source, and the type that they are stored in.
fn tensors(
    specs: Vec<TensorSpec>,
    bound: &Bound<'_>,
    source: &impl Source<Torch>,
) -> Result<(Vec<(String, Tensor)>, Dtype)> {
    let first = specs.first().map(|spec| bound.get(&spec.name)).transpose()?;
    let dtype = first.map_or(Dtype::F32, |view| view.dtype);
    let torch = Torch::new(Device::Cpu, dtype)?;
    let take = |spec: TensorSpec| {
        let value = source.parameter(&torch, &spec)?;
        Ok((spec.name, value.tensor().shallow_clone()))
    };
    Ok((specs.into_iter().map(take).collect::<Result<_>>()?, dtype))
}

/// The files of an expert's UNet in a family.
pub const STUDENT_FILES: [&str; 3] = ["diffusion_pytorch_model.safetensors", "config.json", "architecture.json"];

/// Writes an expert's UNet as it lies in a family: its weights, `config.json` of the whole network, `architecture.json`.
///
/// # Errors
/// Files that cannot be written.
pub fn write_student(
    folder: &Path,
    teacher: &Teacher,
    architecture: &Architecture,
    tensors: &[(String, Tensor)],
    dtype: Dtype,
) -> Result<()> {
    let folder = AtomicFolder::create(folder, Overwrite::IfItHolds(STUDENT_FILES[2]))?;
    let [weights, config, left] = STUDENT_FILES.map(|file| folder.path().join(file));
    write_weights(&weights, tensors, dtype)?;
    for (path, value) in [(config, teacher.config().to_json()), (left, json!(architecture))] {
        files::write(&path, format!("{value:#}\n").as_bytes())?;
    }
    folder.persist()?;
    Ok(())
}

/// What fine-tuning works with.
pub struct Setting<'a> {
    /// The recipe.
    pub recipe: &'a TrainRecipe,
    /// The teacher.
    pub teacher: &'a Teacher,
    /// What is left of the student.
    pub architecture: &'a Architecture,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// Factor of the latents.
    pub scaling: f64,
    /// Embedding of the empty caption, `[1, N, D]`.
    pub null: Tensor,
    /// Where to compute.
    pub device: Device,
}

/// Fine-tuning as a [`Task`].
pub struct Finetuning<'a> {
    setting: Setting<'a>,
    torch: Torch,
    diffusion: Diffusion,
    batches: Box<dyn FnMut(Position) -> Result<Batches> + 'a>,
    current: Batches,
    teacher: Option<UNet<Torch>>,
    student: Learner,
    samples: Option<Samples>,
}

/// What the student draws on the way.
pub struct Samples {
    /// Embeddings of the captions, `[B, N, D]`.
    pub embeddings: Tensor,
    /// Embedding of the empty caption, `[1, N, D]`.
    pub null: Tensor,
    /// The noise schedule.
    pub schedule: Schedule,
    /// The autoencoder's decoder.
    pub decoder: LatentDecoder,
    /// Height and width of the latents.
    pub latents: [i64; 2],
    /// How it draws.
    pub sampling: Sampling,
}

impl<'a> Finetuning<'a> {
    /// Loads teacher and student. `batches` opens the data at a position.
    ///
    /// # Errors
    /// Weights that do not fit, an architecture of another network, data that cannot be opened.
    pub fn new(setting: Setting<'a>, batches: impl FnMut(Position) -> Result<Batches> + 'a) -> Result<Self> {
        let Setting { recipe, teacher, architecture, device, .. } = &setting;
        let last = recipe.channels_last;
        let student = match recipe.init {
            Init::Random => {
                let source = Layout::new(Initial { seed: recipe.seed }, last);
                Learner::new::<run::Error>(teacher.config(), architecture, *device, source)?
            }
            Init::Teacher => teacher.student(architecture, None, *device, last)?,
        };
        Self::with_student(setting, student, batches)
    }

    /// As [`new`](Self::new), with a student that is there already.
    ///
    /// # Errors
    /// Weights that do not fit, data that cannot be opened.
    pub fn with_student(
        setting: Setting<'a>,
        student: Learner,
        mut batches: impl FnMut(Position) -> Result<Batches> + 'a,
    ) -> Result<Self> {
        let recipe = setting.recipe;
        let torch = Torch::new(setting.device, recipe.precision)?.recomputing(recipe.gradient_checkpointing);
        let teacher = recipe.loss.distils().then(|| whole(&setting, &torch)).transpose()?;
        let gamma = Some(recipe.loss.min_snr).filter(|gamma| *gamma > 0.0);
        let diffusion = Diffusion::new(setting.schedule, gamma, setting.device)?;
        let current = batches(Position::default())?;
        Ok(Self { setting, torch, diffusion, batches: Box::new(batches), current, teacher, student, samples: None })
    }

    /// Has the student draw these when a sample is asked for.
    #[must_use]
    pub fn with_samples(self, samples: Samples) -> Self {
        Self { samples: Some(samples), ..self }
    }

    /// Pictures that the student draws as it is now, in f32.
    ///
    /// # Errors
    /// What libtorch or the sampler says.
    pub fn draw(&self, samples: &Samples, seed: u64) -> Result<Vec<RgbImage>> {
        samples.draw(&self.student, seed)
    }

    /// Loads the teacher where the loss alone does not need it.
    pub(crate) fn with_teacher(self) -> Result<Self> {
        let teacher = match self.teacher {
            Some(teacher) => teacher,
            None => whole(&self.setting, &self.torch)?,
        };
        Ok(Self { teacher: Some(teacher), ..self })
    }

    /// The setting.
    pub(crate) fn setting(&self) -> &Setting<'a> {
        &self.setting
    }

    /// The student.
    pub(crate) fn student(&self) -> &Learner {
        &self.student
    }

    /// The teacher, where it was loaded.
    pub(crate) fn teacher(&self) -> Option<&UNet<Torch>> {
        self.teacher.as_ref()
    }

    /// What the networks compute in.
    pub(crate) fn torch(&self) -> &Torch {
        &self.torch
    }

    /// Where the data are.
    pub(crate) fn position(&self) -> Position {
        self.current.position()
    }

    /// Has the data go on from a position.
    pub(crate) fn go_on(&mut self, position: Position) -> Result<()> {
        self.current = (self.batches)(position)?;
        Ok(())
    }

    /// The loss of the next batch, for micro-batch number `micro`.
    pub(crate) fn lower(&mut self, micro: u64) -> Result<Loss> {
        let batch = self.current.next(micro, &self.setting.making())?;
        self.of(&self.student, &batch, self.setting.recipe.seed, micro)
    }

    /// The loss of a student on a batch, with the noise of a seed and a micro-batch.
    pub(crate) fn of(&self, student: &Learner, batch: &Latents, seed: u64, micro: u64) -> Result<Loss> {
        let noised = self.diffusion.noised(&batch.latents, seed, micro)?;
        let (sample, context) = (self.torch.input(&noised.sample)?, self.torch.input(&batch.context)?);
        let timesteps = Value::try_from(noised.timesteps.shallow_clone())?;
        let inputs = [&sample, &timesteps, &context];
        let teacher = self.teacher.as_ref().filter(|_| self.setting.recipe.loss.distils());
        let teacher = teacher.map(|teacher| no_grad(|| outputs(&self.torch, teacher, Identity, inputs))).transpose()?;
        student.within(&self.torch, |student| {
            let student = outputs(&self.torch, student, Identity, inputs)?;
            let diffusion = self.diffusion.loss(&student.prediction, &noised)?;
            distillation(&self.setting.recipe.loss, diffusion, &student, teacher.as_ref())
        })
    }
}

/// The whole teacher.
fn whole(setting: &Setting<'_>, torch: &Torch) -> Result<UNet<Torch>> {
    setting.teacher.network(&Architecture::full(), None, torch, setting.recipe.channels_last)
}

impl Setting<'_> {
    /// How batches are made.
    pub(crate) fn making(&self) -> Making<'_> {
        Making {
            scaling: self.scaling,
            dropout: self.recipe.dropout,
            null: &self.null,
            seed: self.recipe.seed,
            device: self.device,
        }
    }
}

impl Samples {
    /// Pictures that a network draws as it is now, in f32.
    ///
    /// # Errors
    /// What libtorch or the sampler says.
    pub fn draw(&self, learner: &Learner, seed: u64) -> Result<Vec<RgbImage>> {
        let torch = Torch::new(self.embeddings.device(), Dtype::F32)?;
        learner.within(&torch, |unet| {
            let Self { embeddings, null, schedule, decoder, latents: [height, width], sampling } = self;
            let channels = decoder.config().latent_channels as i64;
            let start = Start { latents: [channels, *height, *width], embeddings, null, seed, first: 0 };
            Artist { denoiser: Denoiser::new(&torch, unet, schedule), decoder }.draw(&start, *sampling)
        })
    }

    /// The same in one picture, to look at.
    ///
    /// # Errors
    /// What libtorch or the sampler says.
    pub fn grid(&self, learner: &Learner, seed: u64) -> Result<RgbImage> {
        Ok(grid(&self.draw(learner, seed)?, COLUMNS, 1))
    }
}

impl Task for Finetuning<'_> {
    fn variables(&self) -> &[Variable] {
        self.student.variables()
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        self.lower(micro)
    }

    fn scales(&self) -> bool {
        self.setting.recipe.precision == Dtype::F16
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        let Some(samples) = &self.samples else { return Ok(None) };
        samples.grid(&self.student, self.setting.recipe.seed).map(Some)
    }

    fn state(&self) -> serde_json::Value {
        json!(self.current.position())
    }

    fn restore(&mut self, state: serde_json::Value) -> Result<()> {
        self.go_on(Position::of_state(state)?)
    }
}

#[cfg(test)]
mod tests;
