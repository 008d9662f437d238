//! The batches that a network forgets on: noised latents, and the prompts that ask for a concept and for what is drawn instead.

use super::{Concept, Method, Prompts};
use crate::{
    data::Position,
    diffusion::Diffusion,
    encoders::Encode,
    finetune::{Batches, Latents, Making},
    run::{
        Error, Result,
        streams::{Use, choices},
    },
    sampling::{Denoiser, Sampling, Start},
    torch::{Torch, Value},
};
use pleach_model::{samplers::SamplerKind, schedule::Schedule, sites::Pass, unet::UNet};
use serde::{Deserialize, Serialize};
use std::{cell::RefCell, collections::HashMap};
use tch::{Device, Tensor, no_grad};

/// Where noised latents come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Pictures of the concept, with captions that ask for it, are noised (the paper's released code).
    #[default]
    ConceptImages,
    /// Pictures of the anchor, with captions that ask for that, are noised (concept ablation).
    AnchorImages,
    /// The student denoises the concept's prompts part of the way (ESD, and the paper's text).
    EsdSampled,
}

/// Who denoises sampled latents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The network that forgets, as it is now (ESD as it was published).
    #[default]
    Student,
    /// The one that teaches it, which for second stages is the network as it was (ESD's present script).
    Teacher,
}

/// How latents are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampledRecipe {
    /// Steps of DDIM; it stops after 1 to two less than all.
    pub steps: usize,
    /// Scale of the guidance.
    pub guidance: f64,
    /// By whom.
    pub by: By,
    /// Whether networks are told a timestep one less than a step later than the latents are at, as ESD's diffusers script does it.
    pub compat_timesteps: bool,
}

impl Default for SampledRecipe {
    fn default() -> Self {
        Self { steps: 50, guidance: 3.0, by: By::default(), compat_timesteps: false }
    }
}

/// How a network forgets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForgettingRecipe {
    /// The loss.
    pub unlearning: Method,
    /// Scale of negative guidance, where that is the loss.
    pub eta: f64,
    /// Where noised latents come from.
    pub x_t: Origin,
    /// How they are sampled, where they are.
    pub sampled: SampledRecipe,
    /// Latents in a batch.
    pub batch: usize,
}

impl Default for ForgettingRecipe {
    fn default() -> Self {
        Self {
            unlearning: Method::default(),
            eta: 1.0,
            x_t: Origin::default(),
            sampled: SampledRecipe::default(),
            batch: 8,
        }
    }
}

impl ForgettingRecipe {
    /// # Errors
    /// The first key with a value that no run can have.
    pub fn check(&self) -> Result<()> {
        let wrong = |key, value: String, expected| Err(Error::Setting { key, value, expected });
        if self.batch == 0 {
            return wrong("batch", "0".into(), "at least 1");
        }
        if !self.eta.is_finite() {
            return wrong("eta", self.eta.to_string(), "a number");
        }
        if self.x_t == Origin::EsdSampled && self.sampled.steps < 3 {
            return wrong("sampled.steps", self.sampled.steps.to_string(), "at least 3");
        }
        Ok(())
    }
}

/// Opens a concept's pictures at a position.
pub type Open<'a> = Box<dyn FnMut(Position) -> Result<Batches> + 'a>;

/// What forgetting works with.
pub struct ForgettingSetting<'a> {
    /// The recipe.
    pub recipe: ForgettingRecipe,
    /// What is forgotten; the concepts take turns, a step each.
    pub concepts: Vec<Concept>,
    /// The pictures of each, where the recipe wants pictures.
    pub pictures: Vec<Open<'a>>,
    /// Encodes prompts.
    pub text: &'a dyn Encode,
    /// Embedding of the empty prompt, `[1, N, D]`.
    pub null: Tensor,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// Factor of the latents.
    pub scaling: f64,
    /// Channels, height and width of the latents, where they are sampled.
    pub latents: [i64; 3],
    /// Seed of the run.
    pub seed: u64,
    /// Where to compute.
    pub device: Device,
}

/// Batches to forget on.
pub struct Forgetting<'a> {
    setting: ForgettingSetting<'a>,
    diffusion: Diffusion,
    current: Vec<Batches>,
    /// Embeddings of prompts that came before: there are few.
    encoded: RefCell<HashMap<String, Tensor>>,
}

/// Latents with noise and the prompts of a batch.
pub struct Noisy {
    /// `[B, C, h, w]`.
    pub sample: Tensor,
    /// `[B]`, f32.
    pub timesteps: Tensor,
    /// The prompts.
    pub prompts: Prompts,
    /// Weight of the concept.
    pub weight: f64,
}

impl<'a> Forgetting<'a> {
    /// Opens the pictures, where the recipe wants any.
    ///
    /// # Errors
    /// No concepts, a concept without pictures, pictures that cannot be opened.
    pub fn new(mut setting: ForgettingSetting<'a>) -> Result<Self> {
        setting.recipe.check()?;
        if setting.concepts.is_empty() {
            return Err(Error::Setting { key: "concepts", value: "empty".into(), expected: "at least one concept" });
        }
        if setting.recipe.x_t == Origin::EsdSampled {
            setting.pictures.clear();
        } else if setting.pictures.len() != setting.concepts.len() {
            let name = setting.concepts.get(setting.pictures.len()).map_or_else(String::new, |c| c.name.clone());
            let reason =
                "it has no `images`, and `x_t` is not `esd_sampled`: give a folder, which `concept-images` can draw";
            return Err(Error::Concept { name, reason: reason.into() });
        }
        let current = setting.pictures.iter_mut().map(|open| open(Position::default())).collect::<Result<_>>()?;
        let diffusion = Diffusion::new(setting.schedule, None, setting.device)?;
        Ok(Self { setting, diffusion, current, encoded: RefCell::default() })
    }

    /// Where its pictures are.
    pub fn positions(&self) -> Vec<Position> {
        self.current.iter().map(Batches::position).collect()
    }

    /// Goes on from there.
    ///
    /// # Errors
    /// Pictures that cannot be opened.
    pub fn go_on(&mut self, positions: Vec<Position>) -> Result<()> {
        let opened = self.setting.pictures.iter_mut().zip(positions).map(|(open, position)| open(position));
        self.current = opened.collect::<Result<_>>()?;
        Ok(())
    }

    /// The recipe.
    pub fn recipe(&self) -> &ForgettingRecipe {
        &self.setting.recipe
    }

    /// Batch number `index` of the run.
    ///
    /// # Errors
    /// Pictures that cannot be read, a caption that asks for no anchor, what libtorch says.
    pub fn next(
        &mut self,
        index: u64,
        torch: &Torch,
        student: &UNet<Torch>,
        teacher: Option<&UNet<Torch>>,
    ) -> Result<Noisy> {
        let number = (index % self.setting.concepts.len() as u64) as usize;
        match self.current.get_mut(number) {
            Some(batches) => {
                let setting = &self.setting;
                let making = Making {
                    scaling: setting.scaling,
                    dropout: 0.0,
                    null: &setting.null,
                    seed: setting.seed,
                    device: setting.device,
                };
                let batch = batches.next(index, &making)?;
                self.noised(number, index, batch)
            }
            None => {
                let by = match self.setting.recipe.sampled.by {
                    By::Student => student,
                    By::Teacher => teacher.ok_or_else(no_teacher)?,
                };
                self.sampled(number, index, torch, by)
            }
        }
    }

    fn noised(&self, number: usize, index: u64, batch: Latents) -> Result<Noisy> {
        let concept = &self.setting.concepts[number];
        let Latents { latents, context, captions } = batch;
        let noised = self.diffusion.noised(&latents, self.setting.seed, index)?;
        let null = self.setting.null.f_to_kind(context.f_kind()?)?.f_expand(context.size(), false)?;
        let noise = Some(noised.target.shallow_clone());
        let prompts = if self.setting.recipe.x_t == Origin::AnchorImages {
            let first = (index / self.setting.concepts.len() as u64) as usize;
            let asked = (first..).zip(&captions).map(|(turn, caption)| {
                concept.asked(caption, turn).ok_or_else(|| Error::Concept {
                    name: concept.name.clone(),
                    reason: format!(
                        "the caption {caption:?} does not contain the anchor, and there is no `suffix` to ask for the concept with"
                    ),
                })
            });
            Prompts { concept: self.encode(&asked.collect::<Result<Vec<_>>>()?)?, anchor: context, null, noise }
        } else {
            let anchored: Vec<String> = captions.iter().map(|caption| concept.anchored(caption)).collect();
            Prompts { anchor: self.encode(&anchored)?, concept: context, null, noise }
        };
        Ok(Noisy {
            sample: noised.sample.shallow_clone(),
            timesteps: noised.timesteps.shallow_clone(),
            prompts,
            weight: concept.weight,
        })
    }

    /// A network's own latents, part of the way.
    fn sampled(&self, number: usize, index: u64, torch: &Torch, unet: &UNet<Torch>) -> Result<Noisy> {
        let setting = &self.setting;
        let concept = &setting.concepts[number];
        let SampledRecipe { steps, guidance, compat_timesteps, .. } = setting.recipe.sampled;
        let mut random = choices(setting.seed, Use::Timestep, index);
        let calls = 1 + random.below(steps - 2);
        let asked: Vec<String> =
            (0..setting.recipe.batch).map(|_| concept.prompts[random.below(concept.prompts.len())].clone()).collect();
        let anchored: Vec<String> = asked.iter().map(|prompt| concept.anchored(prompt)).collect();
        let concept_embeddings = self.encode(&asked)?;
        let null = setting.null.f_expand(concept_embeddings.size(), false)?;
        let start = Start {
            latents: setting.latents,
            embeddings: &concept_embeddings,
            null: &setting.null,
            // Each step begins with noise of its own.
            seed: random.bits(),
            first: 0,
        };
        let denoiser = Denoiser::new(torch, unet, setting.schedule);
        let sampling = Sampling { kind: SamplerKind::Ddim, steps, guidance };
        let (sample, timestep) = denoiser.denoise(&start, sampling, Some(calls))?;
        let all = self.diffusion.timesteps();
        let later = if compat_timesteps { (all / steps) as f64 - 1.0 } else { 0.0 };
        // It always stops before the last call.
        let timestep = (timestep.unwrap_or(0.0) + later).min(all as f64 - 1.0);
        let timesteps = Tensor::f_full([setting.recipe.batch as i64], timestep, (tch::Kind::Float, setting.device))?;
        let prompts = Prompts { concept: concept_embeddings, anchor: self.encode(&anchored)?, null, noise: None };
        Ok(Noisy { sample, timesteps, prompts, weight: concept.weight })
    }

    fn encode(&self, prompts: &[String]) -> Result<Tensor> {
        let mut encoded = self.encoded.borrow_mut();
        let mut rows = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            if prompt.is_empty() {
                rows.push(self.setting.null.shallow_clone());
                continue;
            }
            if !encoded.contains_key(prompt) {
                encoded.insert(prompt.clone(), self.setting.text.encode(std::slice::from_ref(prompt))?);
            }
            rows.push(encoded[prompt].shallow_clone());
        }
        Ok(Tensor::f_cat(&rows, 0)?)
    }

    /// The weighted loss of the method on batch number `index`.
    ///
    /// # Errors
    /// As [`next`](Self::next) and [`loss_on`](Self::loss_on).
    pub fn loss(
        &mut self,
        index: u64,
        torch: &Torch,
        student: &UNet<Torch>,
        teacher: Option<&UNet<Torch>>,
    ) -> Result<Tensor> {
        let noisy = self.next(index, torch, student, teacher)?;
        self.loss_on(&noisy, torch, student, teacher)
    }

    /// The weighted loss of the method on a batch.
    ///
    /// # Errors
    /// A method that needs a teacher where there is none; what libtorch says.
    pub fn loss_on(
        &self,
        noisy: &Noisy,
        torch: &Torch,
        student: &UNet<Torch>,
        teacher: Option<&UNet<Torch>>,
    ) -> Result<Tensor> {
        let teacher = |prompt: &Tensor| match teacher {
            Some(teacher) => no_grad(|| noisy.predict(torch, teacher, prompt)),
            None => Err(no_teacher()),
        };
        let ForgettingRecipe { unlearning, eta, .. } = self.setting.recipe;
        let student = |prompt: &Tensor| noisy.predict(torch, student, prompt);
        Ok(unlearning.with(eta).loss(&noisy.prompts, &teacher, &student)?.f_mul_scalar(noisy.weight)?)
    }
}

fn no_teacher() -> Error {
    crate::torch::Error::Torch("the method has no teacher".into()).into()
}

impl Noisy {
    /// What a network predicts for the latents with a prompt `[B, N, D]`, `[B, C, h, w]`.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn predict(&self, torch: &Torch, unet: &UNet<Torch>, prompt: &Tensor) -> Result<Tensor> {
        let timesteps = Value::try_from(self.timesteps.shallow_clone())?;
        let output =
            unet.forward(&Pass::plain(torch), &torch.input(&self.sample)?, &timesteps, &torch.input(prompt)?)?;
        Ok(output.tensor().shallow_clone())
    }
}
