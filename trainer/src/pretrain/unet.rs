//! The UNet: noise out of latents, with captions left out now and then so that guidance has something to lead away from.

use super::{Examples, network::Autoencoder};
use crate::{
    diffusion::{Diffusion, left_out, posterior},
    encoders::TextEncoder,
    learn::{Learner, Variable},
    run::{self, LoopSettings, Loss, Result, Task, grid},
    sampling::{Artist, Denoiser, Sampling, Start},
    torch::{Initial, Layout, Torch, Value},
};
use image::RgbImage;
use pleach_model::{
    architecture::Architecture, samplers::SamplerKind, schedule::Schedule, sites::Pass, tensor::Dtype, unet::UNetConfig,
};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// The UNet's part of the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnetRecipe {
    /// Channels of each level, from the finest; the coarsest has no attention, as in Stable Diffusion.
    pub channels: Vec<usize>,
    /// Attention heads of each level.
    pub heads: Vec<usize>,
    /// ResNets of each down block.
    pub layers: usize,
    /// Groups of every normalisation.
    pub groups: usize,
    /// Latents in a batch.
    pub batch: usize,
    /// Share of captions that are left out.
    pub dropout: f64,
    /// What the network computes in; weights and moments are f32.
    pub precision: Dtype,
    /// Gamma of the Min-SNR weight; without it all timesteps count alike.
    pub min_snr: Option<f64>,
    /// Guidance of the samples that are drawn on the way.
    pub guidance: f64,
    /// The loop.
    #[serde(rename = "loop")]
    pub settings: LoopSettings,
}

impl Default for UnetRecipe {
    fn default() -> Self {
        Self {
            channels: vec![64, 96, 128],
            heads: vec![2, 3, 4],
            layers: 1,
            groups: 32,
            batch: 32,
            dropout: 0.1,
            precision: Dtype::Bf16,
            min_snr: Some(5.0),
            guidance: 2.0,
            settings: super::loop_settings(9000, 1e-3, Some(0.999)),
        }
    }
}

impl UnetRecipe {
    /// The network's configuration, for latents of this side and embeddings of this width.
    pub fn config(&self, side: usize, width: usize) -> UNetConfig {
        let levels = self.channels.len();
        UNetConfig {
            sample_size: Some(side),
            block_out_channels: self.channels.clone(),
            down_attention: (0..levels).map(|level| level + 1 < levels).collect(),
            up_attention: (0..levels).map(|level| level > 0).collect(),
            layers_per_block: vec![self.layers; levels],
            heads: self.heads.clone(),
            transformer_layers: vec![1; levels],
            cross_attention_dim: width,
            norm_num_groups: self.groups,
            ..UNetConfig::sd21_base()
        }
    }
}

/// What the UNet learns from, computed once.
pub(super) struct Frozen {
    /// Moments of each picture's latents, `[n, 2 C, h, w]`.
    moments: Tensor,
    /// The embedding of each caption, `[n, 77, D]`.
    embeddings: Tensor,
    /// The embedding of the empty caption, `[1, 77, D]`.
    null: Tensor,
}

impl Frozen {
    fn compute(context: &Context<'_>) -> Result<Self> {
        let Context { examples, text, autoencoder, .. } = context;
        let all: Vec<usize> = (0..examples.len()).collect();
        let moments =
            all.chunks(64).map(|part| autoencoder.moments(&examples.pictures(part)?)).collect::<Result<Vec<_>>>()?;
        let captions = |part: &[usize]| part.iter().map(|&i| examples.sample(i).caption.clone()).collect::<Vec<_>>();
        let embeddings = all.chunks(64).map(|part| text.encode(&captions(part)));
        Ok(Self {
            moments: Tensor::f_cat(&moments, 0)?,
            embeddings: Tensor::f_cat(&embeddings.collect::<Result<Vec<_>, _>>()?, 0)?,
            null: text.encode(&[String::new()])?,
        })
    }
}

/// What the UNet is trained with.
pub(super) struct Context<'a> {
    pub torch: &'a Torch,
    pub seed: u64,
    pub examples: &'a Examples,
    pub text: &'a TextEncoder,
    pub autoencoder: &'a Autoencoder,
    pub schedule: &'a Schedule,
}

pub(super) struct UnetTask<'a> {
    recipe: &'a UnetRecipe,
    context: Context<'a>,
    frozen: Frozen,
    diffusion: Diffusion,
    learner: Learner,
    /// Computes in the precision of the recipe.
    torch: Torch,
    side: i64,
}

impl<'a> UnetTask<'a> {
    pub fn new(recipe: &'a UnetRecipe, context: Context<'a>) -> Result<Self> {
        let frozen = Frozen::compute(&context)?;
        let side = frozen.moments.size().last().copied().unwrap_or(1);
        let config = recipe.config(side as usize, context.text.shape()[1]);
        let device = context.torch.device();
        // With channels last libtorch's convolutions are faster.
        let source = Layout::new(Initial { seed: context.seed }, true);
        let learner = Learner::new::<run::Error>(&config, &Architecture::full(), device, source)?;
        let diffusion = Diffusion::new(context.schedule, recipe.min_snr, device)?;
        let torch = Torch::new(device, recipe.precision)?;
        Ok(Self { recipe, context, frozen, diffusion, learner, torch, side })
    }

    pub fn config(&self) -> UNetConfig {
        self.recipe.config(self.side as usize, self.context.text.shape()[1])
    }
}

impl Task for UnetTask<'_> {
    fn variables(&self) -> &[Variable] {
        self.learner.variables()
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let chosen = self.context.examples.choose(self.recipe.batch, self.context.seed, micro);
        let rows: Vec<i64> = chosen.iter().map(|&index| index as i64).collect();
        let moments = self.frozen.moments.f_index_select(0, &Tensor::f_from_slice(&rows)?)?;
        let latents = posterior(&moments, self.context.autoencoder.scaling(), self.context.seed, micro)?;
        let embeddings = self.frozen.embeddings.f_index_select(0, &Tensor::f_from_slice(&rows)?)?;
        let context = left_out(&embeddings, &self.frozen.null, self.recipe.dropout, self.context.seed, micro)?;
        let noised = self.diffusion.noised(&latents, self.context.seed, micro)?;
        let (sample, context) = (self.torch.input(&noised.sample)?, self.torch.input(&context)?);
        let timesteps = Value::try_from(noised.timesteps.shallow_clone())?;
        let pass = Pass::plain(&self.torch);
        let prediction = self.learner.within(&self.torch, |network| -> Result<Value> {
            Ok(network.forward(&pass, &sample, &timesteps, &context)?)
        })?;
        Ok(Loss { total: self.diffusion.loss(prediction.tensor(), &noised)?, parts: Vec::new() })
    }

    fn scales(&self) -> bool {
        self.recipe.precision == Dtype::F16
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        let captions: Vec<String> =
            (0..24).map(|index| crate::world::sample(self.context.seed ^ u64::MAX, index).caption).collect();
        let embeddings = self.context.text.encode(&captions)?;
        let sampling = Sampling { kind: SamplerKind::Pndm, steps: 25, guidance: self.recipe.guidance };
        let pictures = self.learner.within(self.context.torch, |unet| -> Result<_> {
            let decoder = self.context.autoencoder.decoder();
            let denoiser = Denoiser::new(self.context.torch, unet, self.context.schedule);
            let start = Start {
                latents: [decoder.config().latent_channels as i64, self.side, self.side],
                embeddings: &embeddings,
                null: &self.frozen.null,
                seed: self.context.seed,
                first: 0,
            };
            Artist { denoiser, decoder }.draw(&start, sampling)
        })?;
        Ok(Some(grid(&pictures, 8, 2)))
    }
}
