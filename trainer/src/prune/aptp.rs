//! Learning a router and its experts as APTP does it (Ganjdanesh et al. 2024): a predictor gives each prompt an architecture, a codebook
//! holds those of the experts, and both learn from what the masked network loses.

use super::{Masks, NewRouter, Placement, Transport, contrastive_loss, sinkhorn_codes};
use crate::{
    data::Position,
    diffusion::Diffusion,
    encoders::Sentences,
    finetune::{Batches, Latents, LossRecipe, Making, Reduce, Teacher, distillation, outputs},
    learn::{OptimiserSettings, RateSettings, Variable},
    run::{self, LoopSettings, Loss, Result, Task, number, streams},
    torch::{Layout, Orthogonal, Torch, Value, Variables, Weights},
};
use pleach_model::{
    architecture::Architecture,
    backend::{Backend, Constant},
    counter::{At, Rule},
    gating::{Entries, Gating, Relaxation, unit},
    params::Params,
    resources::Resources,
    router::{Predictor, RouterConfig, RoutingNoise, gumbel},
    schedule::Schedule,
    sites::Identity,
    tensor::Dtype,
    unet::UNet,
    vector::VectorLayout,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use streams::Use;
use tch::{Device, Kind, Reduction, Tensor, no_grad};

/// How router and experts are learnt. The defaults are those of the released code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AptpRecipe {
    /// Seed of the first weights, of batches and noise.
    pub seed: u64,
    /// Experts.
    pub experts: usize,
    /// Share of the network's multiply-accumulates that is left on average over the prompts.
    pub target: f64,
    /// How they are counted.
    pub rule: Rule,
    /// What the network computes in.
    pub precision: Dtype,
    /// Whether what is inside ResNets and transformers is computed again for the gradients: less memory, more time.
    pub gradient_checkpointing: bool,
    /// Whether kernels of convolutions, and so their results, lie in memory with channels last.
    pub channels_last: bool,
    /// Prompts in a micro-batch: the transport shares them out among the experts.
    pub batch: usize,
    /// Share of captions that are left out of the pictures' losses; the router sees them.
    pub dropout: f64,
    /// Where the gates of ResNets act.
    pub placement: Placement,
    /// From logits to gates.
    pub relaxation: Relaxation,
    /// Steps in which each prompt has the gates that the predictor gives it, before there are experts.
    pub warm_start: u64,
    /// How prompts are shared out among experts.
    pub transport: Transport,
    /// Which gates of its code an expert is made of.
    pub gates: Chosen,
    /// Whether the logits of all codes are shifted at the end, so that the prompts cost the target on average where the router sends them. While
    /// it is learnt every expert gets the same share of a batch, afterwards not. Not in the paper.
    pub calibrate: bool,
    /// Noise that the router adds to a prompt's logits. The experts are made of noisy gates, so without it prompts would seem smaller than
    /// they are.
    pub routing: RoutingNoise,
    /// The losses of the pictures.
    pub loss: LossRecipe,
    /// The losses of the architectures.
    pub architectures: ArchitectureLosses,
    /// Whether the learning rate is multiplied by the root of the number of prompts in an update.
    pub scale_rate: bool,
    /// The loop.
    #[serde(rename = "loop")]
    pub settings: LoopSettings,
}

/// Which gates of its code an expert is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// Those with the noise of the last micro-batch: what the released code stores.
    #[default]
    Sample,
    /// Those with the median of the noise: each gate as it is more often than not.
    Mode,
}

/// Weights of the losses of architectures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchitectureLosses {
    /// Of the distance from the target: `|ln(mean share / target)|`.
    pub resources: f64,
    /// Of the contrastive loss between prompts and their architectures.
    pub contrastive: f64,
    /// Temperature of the contrastive loss.
    pub temperature: f64,
    /// Of minus the standard deviation of the shares in a batch: experts should differ in size. Not in the paper.
    pub spread: f64,
    /// Of one minus the largest share in a batch: one expert should be whole. Not in the paper.
    pub largest: f64,
    /// Of the cross entropy by which a prompt's architecture is nearest to the code that the transport gave it. Without it nothing has prompts
    /// go where they were learnt: the router takes the nearest code, the transport gives every code its share. Not in the paper.
    pub commitment: f64,
}

impl Default for ArchitectureLosses {
    fn default() -> Self {
        Self { resources: 2.0, contrastive: 100.0, temperature: 0.03, spread: 0.1, largest: 0.1, commitment: 0.0 }
    }
}

impl Default for AptpRecipe {
    fn default() -> Self {
        Self {
            seed: 43,
            experts: 8,
            target: 0.6,
            rule: Rule::Aptp,
            precision: Dtype::F32,
            gradient_checkpointing: false,
            channels_last: false,
            batch: 64,
            dropout: 0.0,
            placement: Placement::default(),
            relaxation: Relaxation::default(),
            warm_start: 500,
            transport: Transport::default(),
            gates: Chosen::default(),
            calibrate: true,
            routing: RoutingNoise::Median,
            loss: LossRecipe { diffusion: 1.0, output: 0.2, features: 0.2, reduce: Reduce::Mean, min_snr: 5.0 },
            architectures: ArchitectureLosses::default(),
            scale_rate: true,
            settings: LoopSettings {
                steps: 5000,
                sample_every: 0,
                optimiser: OptimiserSettings {
                    rate: RateSettings { peak: 2e-4, warmup: 100, ..RateSettings::default() },
                    ..OptimiserSettings::default()
                },
                ..LoopSettings::default()
            },
        }
    }
}

impl AptpRecipe {
    /// # Errors
    /// The first key with a value that no run can have.
    pub fn check(&self) -> Result<()> {
        self.settings.check()?;
        let wrong = |key, value: String, expected| Err(run::Error::Setting { key, value, expected });
        if !(self.target > 0.0 && self.target <= 1.0) {
            return wrong("target", self.target.to_string(), "above 0, at most 1");
        }
        if self.experts == 0 {
            return wrong("experts", "0".into(), "at least 1");
        }
        if self.batch < self.experts {
            return wrong("batch", self.batch.to_string(), "no less than experts: the transport gives each its share");
        }
        if self.warm_start >= self.settings.steps {
            return wrong("warm_start", self.warm_start.to_string(), "less than loop.steps: experts learn after it");
        }
        if self.relaxation.temperature <= 0.0 {
            return wrong("relaxation.temperature", self.relaxation.temperature.to_string(), "above 0");
        }
        Ok(())
    }

    /// The settings of the loop, with the rate as it is used.
    pub fn effective_settings(&self) -> LoopSettings {
        let mut settings = self.settings.clone();
        if self.scale_rate {
            settings.optimiser.rate.peak *= ((self.batch as u64 * settings.accumulate) as f64).sqrt();
        }
        settings
    }
}

/// What the experts are learnt with.
pub struct AptpSetting<'a> {
    /// The recipe.
    pub recipe: &'a AptpRecipe,
    /// The network that is pruned.
    pub teacher: &'a Teacher,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// Factor of the latents.
    pub scaling: f64,
    /// Embedding of the empty caption, `[1, N, D]`.
    pub null: Tensor,
    /// The router's sentence encoder.
    pub sentences: &'a Sentences,
    /// Where multiply-accumulates are counted: latents and tokens.
    pub at: At,
    /// Where to compute.
    pub device: Device,
}

/// An expert as it was learnt.
#[derive(Clone, Debug)]
pub struct LearntExpert {
    /// Its soft gates, `[entries]`.
    pub gates: Vec<f32>,
    /// What is left where they are open.
    pub architecture: Architecture,
}

/// Learning router and experts as a [`Task`].
pub struct Aptp<'a> {
    setting: AptpSetting<'a>,
    /// In f32: the router.
    wide: Torch,
    /// In the recipe's precision: the network.
    torch: Torch,
    layout: VectorLayout,
    gating: Gating<Torch>,
    costs: Entries<Value>,
    /// The target as a share of what can be pruned.
    target: f64,
    predictor: Predictor<Torch>,
    codes: Value,
    variables: Vec<Variable>,
    unet: UNet<Torch>,
    diffusion: Diffusion,
    batches: Box<dyn FnMut(Position) -> Result<Batches> + 'a>,
    current: Batches,
}

/// The codebook's logits, as published.
const CODES: &str = "embedding.weight";

impl<'a> Aptp<'a> {
    /// Loads the network. `batches` opens the data at a position.
    ///
    /// # Errors
    /// A target that cannot be reached, weights that do not fit, data that cannot be opened.
    pub fn new(setting: AptpSetting<'a>, mut batches: impl FnMut(Position) -> Result<Batches> + 'a) -> Result<Self> {
        let AptpSetting { recipe, teacher, device, .. } = &setting;
        recipe.check()?;
        let wide = Torch::new(*device, Dtype::F32)?;
        let torch = Torch::new(*device, recipe.precision)?.recomputing(recipe.gradient_checkpointing);
        let layout = VectorLayout::of(teacher.config())?;
        let resources = Resources::of(teacher.config(), &layout, setting.at, recipe.rule)?;
        let target = resources.target(recipe.target);
        if target <= 0.0 {
            let least = 1.0 - resources.prunable() / resources.total();
            return Err(run::Error::Target { target: recipe.target, least });
        }
        let source = Variables::new(Orthogonal { seed: recipe.seed });
        let params = Params::new(&wide, &source);
        let predictor = Predictor::new(&layout, setting.sentences.features(), &params)?;
        let codes = params.get(CODES, &[recipe.experts, layout.len()])?;
        let unet = teacher.bound(|bound| {
            let weights = Layout::new(Weights::new(bound), recipe.channels_last);
            Ok(UNet::new(teacher.config(), &Architecture::full(), &Params::new(&torch, &weights))?)
        })?;
        let gamma = Some(recipe.loss.min_snr).filter(|gamma| *gamma > 0.0);
        let current = batches(Position::default())?;
        Ok(Self {
            gating: Gating::new(&wide, &layout, recipe.relaxation)?,
            costs: Gating::costs(&wide, &resources)?,
            diffusion: Diffusion::new(setting.schedule, gamma, *device)?,
            variables: source.into_list(),
            setting,
            wide,
            torch,
            layout,
            target,
            predictor,
            codes,
            unet,
            batches: Box::new(batches),
            current,
        })
    }

    /// Gumbel noise for logits of so many rows.
    fn noise(&self, purpose: Use, micro: u64, rows: usize) -> Result<Entries<Value>> {
        let entries = self.layout.len();
        let uniform = streams::noise(self.setting.recipe.seed, purpose, micro).rand(rows * entries);
        let noise = Constant::F32(uniform.into_iter().map(gumbel).collect());
        Ok(self.gating.parts(&self.wide, &self.wide.constant(noise, &[rows, entries])?)?)
    }

    /// The experts' gates as they are sampled for a micro-batch.
    fn sampled(&self, micro: u64) -> Result<Entries<Value>> {
        let logits = self.gating.parts(&self.wide, &self.codes)?;
        let noise = self.noise(Use::ExpertGates, micro, self.setting.recipe.experts)?;
        Ok(self.gating.open(&self.wide, &logits, Some(&noise))?)
    }

    /// What chooses between the experts, and the experts. Where the recipe asks for it they are calibrated on these prompts. `encoder` is
    /// the folder of the sentence encoder.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn router(&self, prompts: &[String], encoder: PathBuf) -> Result<NewRouter> {
        let AptpRecipe { relaxation, routing: noise, .. } = *self.setting.recipe;
        let experts = self.experts(prompts)?;
        let config =
            RouterConfig { features: self.setting.sentences.features(), experts: experts.len(), relaxation, noise };
        Ok(NewRouter { config, tensors: run::named(self), experts, encoder })
    }

    fn experts(&self, prompts: &[String]) -> Result<Vec<LearntExpert>> {
        let AptpRecipe { gates, calibrate, experts, ref settings, .. } = *self.setting.recipe;
        let rows = no_grad(|| -> Result<_> {
            let noise = match gates {
                Chosen::Sample => {
                    Some(self.noise(Use::ExpertGates, settings.steps * settings.accumulate - 1, experts)?)
                }
                Chosen::Mode => RoutingNoise::Median.entries(&self.wide, &self.layout, &self.gating)?,
            };
            let stored = |shift: f64| {
                let logits = self.gating.parts(&self.wide, &self.wide.affine(&self.codes, 1.0, shift)?)?;
                Ok(self.gating.open(&self.wide, &logits, noise.as_ref())?)
            };
            let shift = if calibrate && !prompts.is_empty() { self.calibrated(prompts, &stored)? } else { 0.0 };
            let gates = stored(shift)?;
            Ok(self.wide.concat(&[&gates.widths, &gates.depths], 1)?.to_f32()?)
        })?;
        let expert = |gates: &[f32]| {
            let open: Vec<bool> = gates.iter().map(|gate| *gate >= 0.5).collect();
            Ok(LearntExpert { gates: gates.to_vec(), architecture: self.layout.architecture(&open)? })
        };
        rows.chunks(self.layout.len()).map(expert).collect()
    }

    /// The shift of the codes' logits by which prompts, each with the expert that it goes to, cost the target on average; as near as units
    /// come to it. `stored` gives the experts' gates for a shift.
    fn calibrated(&self, prompts: &[String], stored: &dyn Fn(f64) -> Result<Entries<Value>>) -> Result<f64> {
        let b = &self.wide;
        let noise = self.setting.recipe.routing.entries(b, &self.layout, &self.gating)?;
        let some: Vec<String> = prompts.iter().step_by(prompts.len().div_ceil(CALIBRATION)).cloned().collect();
        let own = some.chunks(AT_ONCE).map(|part| {
            let prompts = Value::try_from(self.setting.sentences.encode(part)?)?;
            let gates = self.gating.open(b, &self.predictor.forward(b, &prompts)?, noise.as_ref())?;
            Ok(self.gating.normalised(b, &gates)?.tensor().shallow_clone())
        });
        let own = Value::try_from(Tensor::f_cat(&own.collect::<Result<Vec<_>>>()?, 0)?)?;
        let mean = |shift: f64| -> Result<f64> {
            let gates = stored(shift)?;
            let scores = b.linear(&own, &self.gating.normalised(b, &gates)?, None)?;
            let shares = self.gating.share(b, &gates, &self.costs)?;
            let routed = shares.tensor().f_flatten(0, 1)?.f_index_select(0, &scores.tensor().f_argmax(1, false)?)?;
            number(&routed.f_mean(Kind::Float)?)
        };
        // Larger logits open more gates; where prompts change places the mean may jump, so the nearest that was seen is taken.
        let (mut low, mut high) = (-WIDEST, WIDEST);
        let mut nearest = (f64::INFINITY, 0.0);
        for _ in 0..HALVINGS {
            let shift = f64::midpoint(low, high);
            let found = mean(shift)?;
            if (found - self.target).abs() < nearest.0 {
                nearest = ((found - self.target).abs(), shift);
            }
            if found < self.target { low = shift } else { high = shift }
        }
        Ok(nearest.1)
    }
}

/// Prompts that experts are calibrated on.
const CALIBRATION: usize = 4096;
/// Prompts encoded together.
const AT_ONCE: usize = 64;
/// The largest shift of logits.
const WIDEST: f64 = 8.0;
/// Steps of the search for it.
const HALVINGS: usize = 24;

impl Task for Aptp<'_> {
    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let recipe = self.setting.recipe;
        let making = Making {
            scaling: self.setting.scaling,
            dropout: recipe.dropout,
            null: &self.setting.null,
            seed: recipe.seed,
            device: self.setting.device,
        };
        let Latents { latents, context, captions } = self.current.next(micro, &making)?;
        let prompts = Value::try_from(self.setting.sentences.encode(&captions)?)?;
        let b = &self.wide;

        let logits = self.predictor.forward(b, &prompts)?;
        let own = self.gating.open(b, &logits, Some(&self.noise(Use::PromptGates, micro, captions.len())?))?;
        let architectures = self.gating.normalised(b, &own)?;
        let mut committed = None;
        let gates = if micro / recipe.settings.accumulate < recipe.warm_start {
            own
        } else {
            let sampled = self.sampled(micro)?;
            let experts = self.gating.normalised(b, &sampled)?;
            let similar = architectures.tensor().f_matmul(&experts.tensor().f_detach()?.f_transpose(0, 1)?)?;
            let codes = sinkhorn_codes(&similar.f_detach()?, recipe.transport)?;
            if recipe.architectures.commitment > 0.0 {
                let scores = similar.f_div_scalar(recipe.transport.epsilon)?;
                committed = Some(scores.f_cross_entropy_loss(&codes, None::<Tensor>, Reduction::Mean, -100, 0.0)?);
            }
            let of = |gates: &Value| Value::try_from(gates.tensor().f_index_select(0, &codes)?);
            Entries { widths: of(&sampled.widths)?, depths: of(&sampled.depths)? }
        };

        let noised = self.diffusion.noised(&latents, recipe.seed, micro)?;
        let (sample, context) = (self.torch.input(&noised.sample)?, self.torch.input(&context)?);
        let timesteps = Value::try_from(noised.timesteps.shallow_clone())?;
        let inputs = [&sample, &timesteps, &context];
        let masks = Masks::new(&self.layout, &gates, recipe.placement, self.torch.dtype())?;
        let teacher = no_grad(|| outputs(&self.torch, &self.unet, Identity, inputs))?;
        let student = outputs(&self.torch, &self.unet, masks, inputs)?;
        let diffusion = self.diffusion.loss(&student.prediction, &noised)?;
        let Loss { mut total, mut parts } = distillation(&recipe.loss, diffusion, &student, Some(&teacher))?;

        let mut add = |name: &'static str, weight: f64, part: Tensor| -> Result<()> {
            total = total.f_add(&part.f_mul_scalar(weight)?)?;
            parts.push((name, part));
            Ok(())
        };
        let weights = recipe.architectures;
        let shares = self.gating.share(b, &gates, &self.costs)?;
        let shares = shares.tensor().f_flatten(0, 1)?;
        let mean = shares.f_mean(Kind::Float)?;
        add("resources", weights.resources, mean.f_div_scalar(self.target)?.f_log()?.f_abs()?)?;
        let alike = contrastive_loss(architectures.tensor(), unit(b, &prompts)?.tensor(), weights.temperature)?;
        add("contrastive", weights.contrastive, alike)?;
        // Of a single one there is no deviation.
        if captions.len() > 1 {
            add("spread", -weights.spread, shares.f_std(true)?)?;
        }
        add("largest", -weights.largest, shares.f_max()?)?;
        if let Some(committed) = committed {
            add("commitment", weights.commitment, committed)?;
        }
        parts.push(("macs", mean));
        Ok(Loss { total, parts })
    }

    fn scales(&self) -> bool {
        self.setting.recipe.precision == Dtype::F16
    }

    fn state(&self) -> serde_json::Value {
        json!(self.current.position())
    }

    fn restore(&mut self, state: serde_json::Value) -> Result<()> {
        self.current = (self.batches)(Position::of_state(state)?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
