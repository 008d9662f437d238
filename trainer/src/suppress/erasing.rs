//! Second stages that learn: a finished network forgets, with nothing but the loss that it forgets by, or with what it should keep beside it
//! (ESD, concept ablation, SalUn).

use super::{
    Forgetting, ForgettingRecipe, ForgettingSetting, Method, Origin, Parameters, SaliencyRecipe,
    forgetting::{By, Open},
    salient,
};
use crate::{
    data::Position,
    diffusion::Diffusion,
    finetune::{Batches, Latents, Making, Samples, Teacher},
    learn::{Learner, OptimiserSettings, RateSettings, Variable},
    run::{Error, Level, LoopSettings, Loss, Result, Task, state},
    torch::{Torch, Value},
};
use image::RgbImage;
use pleach_model::{architecture::Architecture, checkpoint::Checkpoint, sites::Pass, tensor::Dtype, unet::UNet};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Tensor};

/// How a finished network is made to forget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EraseRecipe {
    /// Seed of batches and noise.
    pub seed: u64,
    /// What the networks compute in; weights and moments are f32.
    pub precision: Dtype,
    /// Whether what is inside ResNets and transformers is computed again for the gradients: less memory, more time.
    pub gradient_checkpointing: bool,
    /// What may change.
    pub parameters: Parameters,
    /// What it forgets on.
    pub forgetting: ForgettingRecipe,
    /// What it should keep.
    pub retention: Retention,
    /// Which weights matter most for the concept; only they change.
    pub saliency: Option<SaliencyRecipe>,
    /// The loop.
    #[serde(rename = "loop")]
    pub settings: LoopSettings,
}

/// The denoising loss of data that should be kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Its weight; 0 for none.
    pub weight: f64,
    /// Latents in a batch.
    pub batch: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { weight: 0.0, batch: 8 }
    }
}

impl Default for EraseRecipe {
    fn default() -> Self {
        Self::esd_x()
    }
}

impl EraseRecipe {
    fn of(parameters: Parameters, forgetting: ForgettingRecipe, steps: u64, rate: f64) -> Self {
        let rate = RateSettings { peak: rate, ..RateSettings::default() };
        Self {
            seed: 43,
            precision: Dtype::F32,
            gradient_checkpointing: false,
            parameters,
            forgetting,
            retention: Retention::default(),
            saliency: None,
            settings: LoopSettings {
                steps,
                optimiser: OptimiserSettings { rate, ..OptimiserSettings::default() },
                ..LoopSettings::default()
            },
        }
    }

    /// ESD for styles: cross-attention.
    pub fn esd_x() -> Self {
        let forgetting = ForgettingRecipe { x_t: Origin::EsdSampled, batch: 1, ..ForgettingRecipe::default() };
        Self::of(Parameters::Xattn, forgetting, 1000, 1e-5)
    }

    /// ESD for things and nudity: everything but cross-attention.
    pub fn esd_u() -> Self {
        Self { parameters: Parameters::Noxattn, ..Self::esd_x() }
    }

    /// Concept ablation, model-based: the concept becomes its anchor on pictures of the anchor. The rate is that of eight pictures.
    pub fn concept_ablation() -> Self {
        let forgetting = ForgettingRecipe {
            unlearning: Method::Ablation,
            x_t: Origin::AnchorImages,
            batch: 8,
            ..ForgettingRecipe::default()
        };
        Self::of(Parameters::XattnStrict, forgetting, 100, 1.6e-5)
    }

    /// SalUn: the concept becomes its anchor on pictures of the concept, in the half of the weights that matter most for it.
    pub fn saliency() -> Self {
        let forgetting = ForgettingRecipe {
            unlearning: Method::Ablation,
            x_t: Origin::ConceptImages,
            ..ForgettingRecipe::default()
        };
        Self {
            retention: Retention { weight: 0.5, ..Retention::default() },
            saliency: Some(SaliencyRecipe::default()),
            ..Self::of(Parameters::All, forgetting, 500, 1e-5)
        }
    }

    /// # Errors
    /// The first key with a value that no run can have.
    pub fn check(&self) -> Result<()> {
        self.settings.check()?;
        self.forgetting.check()?;
        let wrong = |key, value: String, expected| Err(Error::Setting { key, value, expected });
        if !(self.retention.weight >= 0.0 && self.retention.weight.is_finite()) {
            return wrong("retention.weight", self.retention.weight.to_string(), "a number, at least 0");
        }
        match self.saliency {
            Some(saliency) => saliency.check(),
            None => Ok(()),
        }
    }
}

/// What erasing works with.
pub struct EraseSetting<'a> {
    /// The recipe.
    pub recipe: &'a EraseRecipe,
    /// The network that the one that forgets was cut out of.
    pub teacher: &'a Teacher,
    /// What is left of the one that forgets.
    pub architecture: &'a Architecture,
    /// Its weights, where they are not cut out of the teacher.
    pub weights: Option<&'a Checkpoint>,
    /// What is forgotten.
    pub forgetting: ForgettingSetting<'a>,
    /// Opens the data that should be kept at a position, where the recipe keeps any.
    pub retained: Option<Open<'a>>,
}

/// What should be kept, and how it is weighed.
pub(super) struct Retained<'a> {
    open: Open<'a>,
    current: Batches,
    diffusion: Diffusion,
    scaling: f64,
    null: Tensor,
    seed: u64,
    device: Device,
}

impl<'a> Retained<'a> {
    pub fn new(mut open: Open<'a>, of: &ForgettingSetting<'a>) -> Result<Self> {
        Ok(Self {
            current: open(Position::default())?,
            open,
            diffusion: Diffusion::new(of.schedule, None, of.device)?,
            scaling: of.scaling,
            null: of.null.shallow_clone(),
            seed: of.seed,
            device: of.device,
        })
    }

    /// The denoising loss of batch number `index`.
    pub fn loss(&mut self, index: u64, torch: &Torch, student: &UNet<Torch>) -> Result<Tensor> {
        let making =
            Making { scaling: self.scaling, dropout: 0.0, null: &self.null, seed: self.seed, device: self.device };
        let Latents { latents, context, .. } = self.current.next(index, &making)?;
        let noised = self.diffusion.noised(&latents, self.seed, index)?;
        let timesteps = Value::try_from(noised.timesteps.shallow_clone())?;
        let output =
            student.forward(&Pass::plain(torch), &torch.input(&noised.sample)?, &timesteps, &torch.input(&context)?)?;
        Ok(self.diffusion.loss(output.tensor(), &noised)?)
    }

    pub fn position(&self) -> Position {
        self.current.position()
    }

    pub fn go_on(&mut self, position: Position) -> Result<()> {
        self.current = (self.open)(position)?;
        Ok(())
    }
}

/// Erasing as a [`Task`].
pub struct Erasing<'a> {
    recipe: &'a EraseRecipe,
    torch: Torch,
    student: Learner,
    /// The student as it was, where the method asks it.
    frozen: Option<UNet<Torch>>,
    forgetting: Forgetting<'a>,
    retained: Option<Retained<'a>>,
    /// For each variable, which of its elements may change.
    masks: Option<Vec<Tensor>>,
    samples: Option<Samples>,
}

impl<'a> Erasing<'a> {
    /// Loads the network, and finds the weights that matter where the recipe asks for it.
    ///
    /// # Errors
    /// Weights that do not fit, an architecture of another network, data that cannot be opened, nothing to keep where the recipe wants it.
    pub fn new(setting: EraseSetting<'a>) -> Result<Self> {
        let EraseSetting { recipe, teacher, architecture, weights, forgetting, retained } = setting;
        recipe.check()?;
        let device = forgetting.device;
        let torch = Torch::new(device, recipe.precision)?.recomputing(recipe.gradient_checkpointing);
        let student = teacher.student(architecture, weights, device, false)?;
        let sampled = recipe.forgetting.x_t == Origin::EsdSampled && recipe.forgetting.sampled.by == By::Teacher;
        let frozen = (sampled || recipe.forgetting.unlearning.has_teacher())
            .then(|| teacher.network(architecture, weights, &torch, false))
            .transpose()?;
        let retained = match retained.filter(|_| recipe.retention.weight > 0.0) {
            Some(open) => Some(Retained::new(open, &forgetting)?),
            None if recipe.retention.weight > 0.0 => {
                let value = recipe.retention.weight.to_string();
                return Err(Error::Setting {
                    key: "retention.weight",
                    value,
                    expected: "0, where there are no `data` to keep",
                });
            }
            None => None,
        };
        let mut forgetting = Forgetting::new(forgetting)?;
        let masks = recipe.saliency.map(|saliency| salient(saliency, &torch, &student, &mut forgetting)).transpose()?;
        Ok(Self { recipe, torch, student, frozen, forgetting, retained, masks, samples: None })
    }

    /// Has the network draw these when a sample is asked for.
    #[must_use]
    pub fn with_samples(self, samples: Samples) -> Self {
        Self { samples: Some(samples), ..self }
    }

    /// The network that forgets.
    pub fn student(&self) -> &Learner {
        &self.student
    }

    /// Share of the weights that may change.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn share(&self) -> Result<f64> {
        let own = self.recipe.parameters.of(self.student.variables());
        let count = own.iter().map(|(_, value)| value.tensor().numel()).sum::<usize>() as f64;
        let all = self.student.variables().iter().map(|(_, value)| value.tensor().numel()).sum::<usize>() as f64;
        match &self.masks {
            None => Ok(count / all),
            Some(masks) => {
                let open = masks.iter().map(|mask| crate::run::number(&mask.f_sum(tch::Kind::Float)?));
                Ok(open.sum::<Result<f64>>()? / all)
            }
        }
    }
}

impl Task for Erasing<'_> {
    fn variables(&self) -> &[Variable] {
        self.student.variables()
    }

    fn levels(&self, settings: &LoopSettings) -> Vec<Level> {
        vec![Level {
            variables: self.recipe.parameters.of(self.student.variables()),
            optimiser: settings.optimiser,
            updates: settings.steps,
        }]
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let Self { recipe, torch, student, frozen, forgetting, retained, .. } = self;
        student.within(torch, |student| {
            let forgotten = forgetting.loss(micro, torch, student, frozen.as_ref())?;
            let mut total = forgotten.shallow_clone();
            let mut parts = vec![("suppression", forgotten)];
            if let Some(retained) = retained {
                let kept = retained.loss(micro, torch, student)?;
                total = total.f_add(&kept.f_mul_scalar(recipe.retention.weight)?)?;
                parts.push(("retention", kept));
            }
            Ok(Loss { total, parts })
        })
    }

    fn gradients(&mut self) -> Result<()> {
        let Some(masks) = &self.masks else { return Ok(()) };
        for ((_, value), mask) in self.student.variables().iter().zip(masks) {
            let mut gradient = value.tensor().f_grad()?;
            if gradient.defined() {
                let _ = tch::no_grad(|| gradient.f_mul_(mask))?;
            }
        }
        Ok(())
    }

    fn scales(&self) -> bool {
        self.recipe.precision == Dtype::F16
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        self.samples.as_ref().map(|samples| samples.grid(&self.student, self.recipe.seed)).transpose()
    }

    fn state(&self) -> serde_json::Value {
        json!({
            "forgetting": self.forgetting.positions(),
            "retained": self.retained.as_ref().map(Retained::position),
        })
    }

    fn restore(&mut self, stored: serde_json::Value) -> Result<()> {
        let State { forgetting, retained } = state(stored)?;
        self.forgetting.go_on(forgetting)?;
        match (&mut self.retained, retained) {
            (Some(own), Some(position)) => own.go_on(position),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub forgetting: Vec<Position>,
    pub retained: Option<Position>,
}
