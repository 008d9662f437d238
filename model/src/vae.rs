//! `AutoencoderKL`: pictures to latents and back.

use crate::{
    attention::{Attention, AttentionConfig},
    backend::Backend,
    config::Fields,
    error::Result,
    layers::{Conv2d, GroupNorm},
    op::{self, Extent},
    params::Params,
    resnet::{Resnet, ResnetConfig},
    sites::Pass,
};
use serde_json::{Value, json};
use std::sync::Arc;

const NETWORK: &str = "AutoencoderKL";
/// Epsilon of every GroupNorm; fixed in diffusers.
const NORM_EPS: f64 = 1e-6;

/// Sizes of the autoencoder. Lists go from the finest level to the coarsest.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of pictures that are encoded.
    pub in_channels: usize,
    /// Channels of pictures that are decoded.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// ResNets of each encoder block; decoder blocks have one more.
    pub layers_per_block: usize,
    /// Groups of every normalisation.
    pub norm_num_groups: usize,
    /// Whether the middle blocks have an attention.
    pub mid_attention: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub post_quant_conv: bool,
    /// Latents are multiplied by this before they are noised.
    pub scaling_factor: f64,
}

impl VaeConfig {
    /// Reads a diffusers configuration.
    ///
    /// # Errors
    /// Names the first field that is missing, malformed, or asks for something that is not supported.
    pub fn from_json(value: &Value) -> Result<Self> {
        let fields = Fields::new(NETWORK, value)?;
        fields.only(&[
            ("_class_name", json!(NETWORK)),
            ("act_fn", json!("silu")),
            ("latents_mean", Value::Null),
            ("latents_std", Value::Null),
            ("shift_factor", Value::Null),
        ])?;
        let config = Self {
            in_channels: fields.count("in_channels", Some(3))?,
            out_channels: fields.count("out_channels", Some(3))?,
            latent_channels: fields.count("latent_channels", Some(4))?,
            block_out_channels: fields.counts("block_out_channels")?,
            layers_per_block: fields.count("layers_per_block", Some(1))?,
            norm_num_groups: fields.count("norm_num_groups", Some(32))?,
            mid_attention: fields.flag("mid_block_add_attention", Some(true))?,
            quant_conv: fields.flag("use_quant_conv", Some(true))?,
            post_quant_conv: fields.flag("use_post_quant_conv", Some(true))?,
            scaling_factor: fields.number("scaling_factor", Some(0.18215))?,
        };
        for (field, kind) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            let (found, levels) = (fields.words(field, &[(kind, ())])?.len(), config.block_out_channels.len());
            if found != levels {
                return Err(fields.error(field, format!("has {found} entries for {levels} levels")));
            }
        }
        match config.block_out_channels.iter().find(|channels| *channels % config.norm_num_groups != 0) {
            None => Ok(config),
            Some(channels) => {
                let reason = format!("{channels} channels do not fall into {} groups", config.norm_num_groups);
                Err(fields.error("block_out_channels", reason))
            }
        }
    }

    /// The same as a diffusers configuration.
    pub fn to_json(&self) -> Value {
        let levels = self.block_out_channels.len();
        json!({
            "_class_name": NETWORK,
            "act_fn": "silu",
            "block_out_channels": self.block_out_channels,
            "down_block_types": vec!["DownEncoderBlock2D"; levels],
            "in_channels": self.in_channels,
            "latent_channels": self.latent_channels,
            "layers_per_block": self.layers_per_block,
            "mid_block_add_attention": self.mid_attention,
            "norm_num_groups": self.norm_num_groups,
            "out_channels": self.out_channels,
            "scaling_factor": self.scaling_factor,
            "up_block_types": vec!["UpDecoderBlock2D"; levels],
            "use_quant_conv": self.quant_conv,
            "use_post_quant_conv": self.post_quant_conv,
        })
    }

    /// Picture sides are this many times as long as latent sides.
    pub fn factor(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// The autoencoder of Stable Diffusion 1.x and 2.x: 83,653,863 parameters.
    pub fn stable_diffusion() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            mid_attention: true,
            quant_conv: true,
            post_quant_conv: true,
            scaling_factor: 0.18215,
        }
    }

    fn last(&self) -> usize {
        self.block_out_channels[self.block_out_channels.len() - 1]
    }

    fn resnet<B: Backend>(&self, p: &Params<B>, input: usize, output: usize) -> Result<Resnet<B>> {
        let groups = self.norm_num_groups;
        Resnet::new(p, &ResnetConfig { input, output, time: None, groups, kept: groups, eps: NORM_EPS })
    }
}

/// Pictures to the moments of the latents' distribution.
pub struct Encoder<B: Backend> {
    conv_in: Conv2d<B>,
    blocks: Vec<Block<B>>,
    tail: Tail<B>,
    mid: Mid<B>,
    quant_conv: Option<Conv2d<B>>,
}

impl<B: Backend> Encoder<B> {
    /// The encoder; `p` is the root of the autoencoder.
    pub fn new(config: &VaeConfig, p: &Params<B>) -> Result<Self> {
        let channels = &config.block_out_channels;
        let moments = 2 * config.latent_channels;
        let encoder = p.at("encoder");
        // diffusers pads by one at the bottom and right only.
        let halve = op::Conv2d { stride: 2, padding: [0, 0, 1, 1] };
        let block = |i: usize| {
            let p = encoder.at(format_args!("down_blocks.{i}"));
            let (input, output) = (channels[i.saturating_sub(1)], channels[i]);
            let sampler = (i + 1 < channels.len())
                .then(|| Conv2d::new(&p.at("downsamplers.0.conv"), output, output, 3, halve))
                .transpose()?;
            Block::new(&p, config, [input, output], config.layers_per_block, sampler)
        };
        Ok(Self {
            conv_in: Conv2d::same(&encoder.at("conv_in"), config.in_channels, channels[0], 3)?,
            blocks: (0..channels.len()).map(block).collect::<Result<_>>()?,
            mid: Mid::new(&encoder.at("mid_block"), config)?,
            tail: Tail::new(&encoder, config.norm_num_groups, config.last(), moments)?,
            quant_conv: config
                .quant_conv
                .then(|| Conv2d::same(&p.at("quant_conv"), moments, moments, 1))
                .transpose()?,
        })
    }

    /// `[B, in_channels, H, W]` in [-1, 1] to mean and log-variance, joined: `[B, 2 latent_channels, H / factor, W / factor]`.
    /// (diffusers clamps the log-variance to [-30, 20] when it samples.)
    pub fn forward(&self, pass: &Pass<B>, picture: &B::Value) -> Result<B::Value> {
        let mut h = self.conv_in.forward(pass, picture)?;
        for block in &self.blocks {
            h = block.resnets(pass, h)?;
            if let Some(sampler) = &block.sampler {
                h = sampler.forward(pass, &h)?;
            }
        }
        h = self.tail.forward(pass, &self.mid.forward(pass, &h)?)?;
        self.quant_conv.as_ref().map_or(Ok(h.clone()), |conv| conv.forward(pass, &h))
    }
}

/// Latents to pictures.
pub struct Decoder<B: Backend> {
    post_quant_conv: Option<Conv2d<B>>,
    conv_in: Conv2d<B>,
    mid: Mid<B>,
    blocks: Vec<Block<B>>,
    tail: Tail<B>,
}

impl<B: Backend> Decoder<B> {
    /// The decoder; `p` is the root of the autoencoder.
    pub fn new(config: &VaeConfig, p: &Params<B>) -> Result<Self> {
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let latent = config.latent_channels;
        let decoder = p.at("decoder");
        let block = |i: usize| {
            let p = decoder.at(format_args!("up_blocks.{i}"));
            let (input, output) = (channels[i.saturating_sub(1)], channels[i]);
            let sampler = (i + 1 < channels.len())
                .then(|| Conv2d::same(&p.at("upsamplers.0.conv"), output, output, 3))
                .transpose()?;
            Block::new(&p, config, [input, output], config.layers_per_block + 1, sampler)
        };
        Ok(Self {
            post_quant_conv: config
                .post_quant_conv
                .then(|| Conv2d::same(&p.at("post_quant_conv"), latent, latent, 1))
                .transpose()?,
            conv_in: Conv2d::same(&decoder.at("conv_in"), latent, config.last(), 3)?,
            mid: Mid::new(&decoder.at("mid_block"), config)?,
            blocks: (0..channels.len()).map(block).collect::<Result<_>>()?,
            tail: Tail::new(&decoder, config.norm_num_groups, config.block_out_channels[0], config.out_channels)?,
        })
    }

    /// Latents `[B, latent_channels, h, w]`, already divided by the scaling factor, to pictures
    /// `[B, out_channels, factor h, factor w]`, about in [-1, 1].
    pub fn forward(&self, pass: &Pass<B>, latents: &B::Value) -> Result<B::Value> {
        let mut h = latents.clone();
        if let Some(conv) = &self.post_quant_conv {
            h = conv.forward(pass, &h)?;
        }
        h = self.conv_in.forward(pass, &h)?;
        h = self.mid.forward(pass, &h)?;
        for block in &self.blocks {
            h = block.resnets(pass, h)?;
            if let Some(sampler) = &block.sampler {
                let _scope = pass.scope(&block.path);
                h = sampler.forward(pass, &pass.upsample2x(&h, None)?)?;
            }
        }
        self.tail.forward(pass, &h)
    }
}

/// ResNets of one level and its sampler.
struct Block<B: Backend> {
    path: Arc<str>,
    resnets: Vec<Resnet<B>>,
    sampler: Option<Conv2d<B>>,
}

impl<B: Backend> Block<B> {
    fn new(
        p: &Params<B>,
        config: &VaeConfig,
        [input, output]: [usize; 2],
        layers: usize,
        sampler: Option<Conv2d<B>>,
    ) -> Result<Self> {
        let resnet = |j| config.resnet(&p.at(format_args!("resnets.{j}")), if j == 0 { input } else { output }, output);
        Ok(Self { path: p.path().clone(), resnets: (0..layers).map(resnet).collect::<Result<_>>()?, sampler })
    }

    fn resnets(&self, pass: &Pass<B>, x: B::Value) -> Result<B::Value> {
        self.resnets.iter().try_fold(x, |h, resnet| resnet.forward(pass, &h, None))
    }
}

/// ResNet, attention over all positions with one head, ResNet.
struct Mid<B: Backend> {
    path: Arc<str>,
    channels: usize,
    first: Resnet<B>,
    attention: Option<(GroupNorm<B>, Attention<B>)>,
    second: Resnet<B>,
}

impl<B: Backend> Mid<B> {
    fn new(p: &Params<B>, config: &VaeConfig) -> Result<Self> {
        let channels = config.last();
        let resnet = |j: usize| config.resnet(&p.at(format_args!("resnets.{j}")), channels, channels);
        let attention = || {
            let p = p.at("attentions.0");
            let sizes = AttentionConfig {
                names: ["to_q", "to_k", "to_v", "to_out.0"],
                features: channels,
                context: channels,
                heads: 1,
                kept: 1,
                bias: true,
                upcast: false,
                causal: false,
            };
            let norm = GroupNorm::new(&p.at("group_norm"), config.norm_num_groups, channels, NORM_EPS)?;
            Ok((norm, Attention::new(&p, &sizes)?))
        };
        Ok(Self {
            path: p.path().clone(),
            channels,
            first: resnet(0)?,
            attention: config.mid_attention.then(attention).transpose()?,
            second: resnet(1)?,
        })
    }

    fn forward(&self, pass: &Pass<B>, x: &B::Value) -> Result<B::Value> {
        let _scope = pass.scope(&self.path);
        let mut h = self.first.forward(pass, x, None)?;
        if let Some((norm, attention)) = &self.attention {
            let rows = [Extent::Keep(0), Extent::Is(self.channels), Extent::Rest];
            let rows = pass.permute(&pass.reshape(&norm.forward(pass, &h)?, &rows)?, &[0, 2, 1])?;
            let mixed = attention.forward(pass, &rows, &rows, None)?;
            h = pass.add(&pass.reshape_like(&pass.permute(&mixed, &[0, 2, 1])?, &h)?, &h)?;
        }
        self.second.forward(pass, &h, None)
    }
}

/// Norm, SiLU and convolution at the end of either half.
struct Tail<B: Backend> {
    norm: GroupNorm<B>,
    conv: Conv2d<B>,
}

impl<B: Backend> Tail<B> {
    fn new(p: &Params<B>, groups: usize, input: usize, output: usize) -> Result<Self> {
        let norm = GroupNorm::new(&p.at("conv_norm_out"), groups, input, NORM_EPS)?;
        Ok(Self { norm, conv: Conv2d::same(&p.at("conv_out"), input, output, 3)? })
    }

    fn forward(&self, pass: &Pass<B>, x: &B::Value) -> Result<B::Value> {
        self.conv.forward(pass, &pass.silu(&self.norm.forward(pass, x)?)?)
    }
}
