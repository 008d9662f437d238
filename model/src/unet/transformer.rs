//! `Transformer2DModel`: attention over the positions of a feature map.

use crate::{
    architecture::{Cutter, SiteKind},
    attention::{Attention, AttentionConfig},
    backend::Backend,
    error::Result,
    layers::{Conv2d, GroupNorm, LayerNorm, Linear},
    op::{Extent, Unary},
    params::Params,
    sites::{Pass, Site},
};
use std::sync::Arc;

use super::UNetConfig;

/// Epsilon of the transformer's own GroupNorm; fixed in diffusers, unlike the ResNets'.
const NORM_EPS: f64 = 1e-6;
/// Epsilon of the blocks' LayerNorms.
const LAYER_NORM_EPS: f64 = 1e-5;

/// `[B, C, H, W]` and a context `[B, M, cross_attention_dim]` to `[B, C, H, W]`.
pub(super) struct Transformer<B: Backend> {
    pub(super) path: Arc<str>,
    channels: usize,
    norm: GroupNorm<B>,
    proj_in: Projection<B>,
    blocks: Vec<Block<B>>,
    proj_out: Projection<B>,
}

impl<B: Backend> Transformer<B> {
    pub(super) fn new(p: &Params<B>, config: &UNetConfig, level: usize, cutter: &Cutter) -> Result<Self> {
        let channels = config.block_out_channels[level];
        let block = |i| Block::new(&p.at(format_args!("transformer_blocks.{i}")), config, level, cutter);
        Ok(Self {
            path: p.path().clone(),
            channels,
            norm: GroupNorm::new(&p.at("norm"), config.norm_num_groups, channels, NORM_EPS)?,
            proj_in: Projection::new(&p.at("proj_in"), channels, config.linear_projection)?,
            blocks: (0..config.transformer_layers[level]).map(block).collect::<Result<_>>()?,
            proj_out: Projection::new(&p.at("proj_out"), channels, config.linear_projection)?,
        })
    }

    pub(super) fn forward(&self, pass: &Pass<B>, x: &B::Value, context: &B::Value) -> Result<B::Value> {
        let _scope = pass.scope(&self.path);
        let mut h = self.proj_in.enter(pass, &self.norm.forward(pass, x)?, self.channels)?;
        for block in &self.blocks {
            h = block.forward(pass, h, context)?;
        }
        // `x` first: libtorch lays a sum out in memory as its first operand lies, and the other one is a view of a sequence.
        pass.add(x, &self.proj_out.leave(pass, &h, x)?)
    }
}

/// The layer between feature map and sequence: linear after flattening, or a 1x1 convolution before it.
enum Projection<B: Backend> {
    Linear(Linear<B>),
    Conv2d(Conv2d<B>),
}

impl<B: Backend> Projection<B> {
    fn new(p: &Params<B>, channels: usize, linear: bool) -> Result<Self> {
        if linear {
            Linear::new(p, channels, channels, true).map(Self::Linear)
        } else {
            Conv2d::same(p, channels, channels, 1).map(Self::Conv2d)
        }
    }

    /// `[B, C, H, W]` to `[B, H W, C]`.
    fn enter(&self, b: &B, x: &B::Value, channels: usize) -> Result<B::Value> {
        let flat = |x: &B::Value| {
            let rows = b.reshape(x, &[Extent::Keep(0), Extent::Is(channels), Extent::Rest])?;
            b.permute(&rows, &[0, 2, 1])
        };
        match self {
            Self::Linear(linear) => linear.forward(b, &flat(x)?),
            Self::Conv2d(conv) => flat(&conv.forward(b, x)?),
        }
    }

    /// `[B, H W, C]` to the shape `[B, C, H, W]` of `like`.
    fn leave(&self, b: &B, x: &B::Value, like: &B::Value) -> Result<B::Value> {
        let unflat = |x: &B::Value| b.reshape_like(&b.permute(x, &[0, 2, 1])?, like);
        match self {
            Self::Linear(linear) => unflat(&linear.forward(b, x)?),
            Self::Conv2d(conv) => conv.forward(b, &unflat(x)?),
        }
    }
}

/// `BasicTransformerBlock`: self-attention, cross-attention, feed-forward, each after a LayerNorm and added to its input.
struct Block<B: Backend> {
    norm1: LayerNorm<B>,
    attn1: Attention<B>,
    norm2: LayerNorm<B>,
    attn2: Attention<B>,
    norm3: LayerNorm<B>,
    ff: FeedForward<B>,
}

impl<B: Backend> Block<B> {
    fn new(p: &Params<B>, config: &UNetConfig, level: usize, cutter: &Cutter) -> Result<Self> {
        let (features, heads) = (config.block_out_channels[level], config.heads[level]);
        let norm = |name: &str| LayerNorm::new(&p.at(name), features, LAYER_NORM_EPS);
        let attention = |name: &str, context| {
            let p = p.at(name);
            let kept = cutter.units(p.path(), SiteKind::Heads, heads)?;
            let names = ["to_q", "to_k", "to_v", "to_out.0"];
            let (upcast, bias, causal) = (config.upcast_attention, false, false);
            Attention::new(&p, &AttentionConfig { names, features, context, heads, kept, bias, upcast, causal })
        };
        Ok(Self {
            norm1: norm("norm1")?,
            attn1: attention("attn1", features)?,
            norm2: norm("norm2")?,
            attn2: attention("attn2", config.cross_attention_dim)?,
            norm3: norm("norm3")?,
            ff: FeedForward::new(&p.at("ff"), features, config.norm_num_groups, cutter)?,
        })
    }

    fn forward(&self, pass: &Pass<B>, mut x: B::Value, context: &B::Value) -> Result<B::Value> {
        let normed = self.norm1.forward(pass, &x)?;
        x = pass.add(&x, &self.attn1.forward(pass, &normed, &normed, None)?)?;
        let normed = self.norm2.forward(pass, &x)?;
        x = pass.add(&x, &self.attn2.forward(pass, &normed, context, None)?)?;
        let normed = self.norm3.forward(pass, &x)?;
        pass.add(&x, &self.ff.forward(pass, &normed)?)
    }
}

/// `value gelu(gate)` of one projection's two halves, then a linear layer back.
struct FeedForward<B: Backend> {
    path: Arc<str>,
    groups: usize,
    project: Linear<B>,
    output: Linear<B>,
}

impl<B: Backend> FeedForward<B> {
    fn new(p: &Params<B>, features: usize, groups: usize, cutter: &Cutter) -> Result<Self> {
        let kept = cutter.units(p.path(), SiteKind::FeedForwardGroups, groups)?;
        let width = 4 * features / groups * kept;
        Ok(Self {
            path: p.path().clone(),
            groups: kept,
            project: Linear::new(&p.at("net.0.proj"), features, 2 * width, true)?,
            output: Linear::new(&p.at("net.2"), width, features, true)?,
        })
    }

    fn forward(&self, pass: &Pass<B>, x: &B::Value) -> Result<B::Value> {
        let _scope = pass.scope(&self.path);
        let site = |half| pass.site(&self.path, Site::FeedForward { groups: self.groups }, half);
        let (value, gate) = pass.halves(&self.project.forward(pass, x)?, 2)?;
        let (value, gate) = (site(value)?, site(gate)?);
        let hidden = pass.mul(&value, &pass.unary(&gate, Unary::Gelu)?)?;
        self.output.forward(pass, &pass.site(&self.path, Site::FeedForwardHidden, hidden)?)
    }
}
