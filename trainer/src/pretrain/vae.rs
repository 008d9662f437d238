//! The autoencoder: sharp pictures through latents of little more than unit variance.

use super::{Examples, network};
use crate::{
    learn::Variable,
    run::{
        LoopSettings, Loss, Result, Task, grid,
        streams::{Use, choices, noise},
    },
    sampling::pictures,
    torch::{Initial, Torch, Value, Variables},
    world::SIDE,
};
use image::RgbImage;
use pleach_model::{
    params::Params,
    sites::Pass,
    vae::{Decoder, Encoder, VaeConfig},
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

/// The autoencoder's part of the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaeRecipe {
    /// Channels of each level, from the finest.
    pub channels: Vec<usize>,
    /// ResNets of each encoder block.
    pub layers: usize,
    /// Groups of every normalisation.
    pub groups: usize,
    /// Pictures in a batch.
    pub batch: usize,
    /// Side of the squares that are cut out of the pictures at first, and for how many micro-batches: a step on them costs a fraction,
    /// and most of what an autoencoder learns is local.
    pub crop: u32,
    /// See `crop`.
    pub crops: u64,
    /// Weight of the mean absolute error, which the mean squared error is added to. Alone it would hold a plateau for long: most of
    /// a picture is background, and the median of what a pixel may show is background too.
    pub absolute: f64,
    /// Weight of the mean squared error of differences between neighbouring pixels: what keeps edges and stripes sharp.
    pub edges: f64,
    /// Weight of the Kullback-Leibler divergence, per element of the latents.
    pub kl: f64,
    /// What the log-variance of the latents starts from. From 0 the noise would drown what the encoder has to say at first.
    pub log_variance: f64,
    /// The loop.
    #[serde(rename = "loop")]
    pub settings: LoopSettings,
}

impl Default for VaeRecipe {
    fn default() -> Self {
        Self {
            channels: vec![32, 64, 96],
            layers: 1,
            groups: 8,
            batch: 16,
            crop: 32,
            crops: 2400,
            absolute: 0.1,
            edges: 1.0,
            kl: 1e-4,
            log_variance: -6.0,
            settings: super::loop_settings(2800, 1e-3, Some(0.995)),
        }
    }
}

impl VaeRecipe {
    /// The network's configuration; its scaling factor is measured later.
    pub fn config(&self) -> VaeConfig {
        VaeConfig {
            block_out_channels: self.channels.clone(),
            layers_per_block: self.layers,
            norm_num_groups: self.groups,
            scaling_factor: 1.0,
            ..VaeConfig::stable_diffusion()
        }
    }
}

pub(super) struct VaeTask<'a> {
    torch: &'a Torch,
    recipe: &'a VaeRecipe,
    seed: u64,
    examples: &'a Examples,
    encoder: Encoder<Torch>,
    decoder: Decoder<Torch>,
    variables: Vec<Variable>,
}

impl<'a> VaeTask<'a> {
    pub fn new(torch: &'a Torch, recipe: &'a VaeRecipe, seed: u64, examples: &'a Examples) -> Result<Self> {
        let config = recipe.config();
        let source = Variables::new(Initial { seed });
        let params = Params::new(torch, &source);
        let (encoder, decoder) = (Encoder::new(&config, &params)?, Decoder::new(&config, &params)?);
        let variables = source.into_list();
        let channels = config.latent_channels as i64;
        for (_, bias) in variables.iter().filter(|(name, _)| name == "quant_conv.bias") {
            no_grad(|| bias.tensor().f_narrow(0, channels, channels)?.f_fill_(recipe.log_variance).map(drop))?;
        }
        Ok(Self { torch, recipe, seed, examples, encoder, decoder, variables })
    }

    /// What is seen of pictures in micro-batch number `micro`.
    fn crop(&self, pictures: &Tensor, micro: u64) -> Result<Tensor> {
        let side = i64::from(self.recipe.crop.min(SIDE));
        if micro >= self.recipe.crops {
            return Ok(pictures.shallow_clone());
        }
        let mut random = choices(self.seed, Use::Crop, micro);
        let mut offset = || random.below((SIDE as i64 - side + 1) as usize) as i64;
        let parts = (0..pictures.size4()?.0).map(|i| {
            let picture = pictures.f_narrow(0, i, 1)?.f_narrow(2, offset(), side)?;
            picture.f_narrow(3, offset(), side)
        });
        Ok(Tensor::f_cat(&parts.collect::<Result<Vec<_>, _>>()?, 0)?)
    }

    /// Reconstruction and moments; the posterior is drawn where `noise` is given.
    fn forward(&self, input: &Tensor, noise: Option<&Tensor>) -> Result<(Tensor, Tensor, Tensor)> {
        let pass = Pass::plain(self.torch);
        let moments = self.encoder.forward(&pass, &Value::try_from(input.shallow_clone())?)?;
        let (mean, log_variance) = crate::encoders::halves(moments.tensor())?;
        let log_variance = log_variance.f_clamp(-30.0, 20.0)?;
        let latents = match noise {
            Some(noise) => mean.f_add(&noise.f_mul(&log_variance.f_mul_scalar(0.5)?.f_exp()?)?)?,
            None => mean.shallow_clone(),
        };
        let output = self.decoder.forward(&pass, &Value::try_from(latents)?)?;
        Ok((output.tensor().shallow_clone(), mean, log_variance))
    }
}

/// Mean squared difference between neighbours along an axis.
fn slope(x: &Tensor, axis: i64) -> Result<Tensor> {
    Ok(x.f_diff(1, axis, None::<Tensor>, None::<Tensor>)?.f_square()?.f_mean(Kind::Float)?)
}

impl Task for VaeTask<'_> {
    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let chosen = self.examples.choose(self.recipe.batch, self.seed, micro);
        let input = self.crop(&self.examples.pictures(&chosen)?, micro)?;
        let (batch, _, height, width) = input.size4()?;
        let config = self.recipe.config();
        let factor = config.factor() as i64;
        let shape = [batch, config.latent_channels as i64, height / factor, width / factor];
        let values = noise(self.seed, Use::Posterior, micro).randn(shape.iter().product::<i64>() as usize);
        let noise = Tensor::f_from_slice(&values)?.f_reshape(shape)?.f_to_device(self.torch.device())?;
        let (output, mean, log_variance) = self.forward(&input, Some(&noise))?;
        let apart = output.f_sub(&input)?;
        let absolute = apart.f_abs()?.f_mean(Kind::Float)?;
        let squared = apart.f_square()?.f_mean(Kind::Float)?;
        let edges = slope(&apart, 2)?.f_add(&slope(&apart, 3)?)?;
        let kl = mean.f_square()?.f_add(&log_variance.f_exp()?)?.f_sub(&log_variance)?.f_sub_scalar(1.0)?;
        let kl = kl.f_mean(Kind::Float)?.f_mul_scalar(0.5)?;
        let weighted = [(&absolute, self.recipe.absolute), (&edges, self.recipe.edges), (&kl, self.recipe.kl)];
        let total = weighted
            .into_iter()
            .try_fold(squared.shallow_clone(), |sum, (part, weight)| sum.f_add(&part.f_mul_scalar(weight)?))?;
        Ok(Loss { total, parts: vec![("squared", squared), ("absolute", absolute), ("edges", edges), ("kl", kl)] })
    }

    fn sample(&mut self) -> Result<Option<RgbImage>> {
        let input = self.examples.pictures(&(0..12.min(self.examples.len())).collect::<Vec<_>>())?;
        let output = no_grad(|| self.forward(&input, None))?.0;
        Ok(Some(grid(&[pictures(&input)?, pictures(&output)?].concat(), 12, 2)))
    }
}

/// The factor that gives latents of unit variance, over some examples.
pub(super) fn scaling_factor(folder: &std::path::Path, torch: &Torch, examples: &Examples) -> Result<f64> {
    let encoder = network::latent_encoder(folder, torch)?;
    let chosen: Vec<usize> = (0..1024.min(examples.len())).collect();
    let mut latents = Vec::new();
    for (micro, part) in (0..).zip(chosen.chunks(64)) {
        let moments = encoder.moments(&examples.pictures(part)?)?;
        latents.push(crate::diffusion::posterior(&moments, 1.0, 0, micro)?);
    }
    let deviation = Tensor::f_cat(&latents, 0)?.f_std(false)?.f_double_value(&[])?;
    Ok(1.0 / deviation)
}
