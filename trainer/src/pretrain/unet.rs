//! The UNet: noise out of latents, with captions left out now and then so that guidance has something to lead away from.

use super::{Examples, network::Autoencoder};
use crate::{
    diffusion::{Diffusion, left_out, posterior},
    encoders::TextEncoder,
    learn::Variable,
    run::{LoopSettings, Loss, Result, Task, grid},
    sampling::{Artist, Sampling},
    torch::{Initial, Torch, Value, Variables},
};
use image::RgbImage;
use pleach_model::{
    architecture::Architecture,
    params::Params,
    samplers::SamplerKind,
    schedule::Schedule,
    sites::Pass,
    unet::{UNet, UNetConfig},
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
            min_snr: Some(5.0),
            guidance: 4.0,
            settings: super::loop_settings(5000, 1e-3, Some(0.999)),
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
    network: UNet<Torch>,
    variables: Vec<Variable>,
    side: i64,
}

impl<'a> UnetTask<'a> {
    pub fn new(recipe: &'a UnetRecipe, context: Context<'a>) -> Result<Self> {
        let frozen = Frozen::compute(&context)?;
        let side = frozen.moments.size().last().copied().unwrap_or(1);
        let config = recipe.config(side as usize, context.text.shape()[1]);
        let source = Variables::new(Initial { seed: context.seed });
        let network = UNet::new(&config, &Architecture::full(), &Params::new(context.torch, &source))?;
        let diffusion = Diffusion::new(context.schedule, recipe.min_snr, context.torch.device())?;
        Ok(Self { recipe, context, frozen, diffusion, network, variables: source.into_list(), side })
    }

    pub fn config(&self) -> UNetConfig {
        self.recipe.config(self.side as usize, self.context.text.shape()[1])
    }
}

impl Task for UnetTask<'_> {
    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let chosen = self.context.examples.choose(self.recipe.batch, self.context.seed, micro);
        let rows: Vec<i64> = chosen.iter().map(|&index| index as i64).collect();
        let moments = self.frozen.moments.f_index_select(0, &Tensor::f_from_slice(&rows)?)?;
        let latents = posterior(&moments, self.context.autoencoder.scaling(), self.context.seed, micro)?;
        let embeddings = self.frozen.embeddings.f_index_select(0, &Tensor::f_from_slice(&rows)?)?;
        let context = left_out(&embeddings, &self.frozen.null, self.recipe.dropout, self.context.seed, micro)?;
        let noised = self.diffusion.noised(&latents, self.context.seed, micro)?;
        let sample = Value::try_from(noised.sample.shallow_clone())?;
        let timesteps = Value::try_from(noised.timesteps.shallow_clone())?;
        let pass = Pass::plain(self.context.torch);
        let prediction = self.network.forward(&pass, &sample, &timesteps, &Value::try_from(context)?)?;
        Ok(Loss { total: self.diffusion.loss(prediction.tensor(), &noised)?, parts: Vec::new() })
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        let captions: Vec<String> =
            (0..24).map(|index| crate::world::sample(self.context.seed ^ u64::MAX, index).caption).collect();
        let artist = Artist {
            torch: self.context.torch,
            unet: &self.network,
            decoder: self.context.autoencoder.decoder(),
            schedule: self.context.schedule,
            latents: [self.side, self.side],
        };
        let sampling = Sampling { kind: SamplerKind::Pndm, steps: 25, guidance: self.recipe.guidance };
        let pictures =
            artist.draw(&self.context.text.encode(&captions)?, &self.frozen.null, self.context.seed, sampling)?;
        Ok(Some(grid(&pictures, 8, 2)))
    }
}
