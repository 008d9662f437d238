//! The residual block of UNet and VAE (diffusers' `ResnetBlock2D`).

use crate::{
    backend::Backend,
    error::Result,
    layers::{Conv2d, GroupNorm, Linear},
    op::Extent,
    params::Params,
    sites::{Pass, Site},
};
use std::sync::Arc;

/// Sizes of a residual block.
#[derive(Clone, Copy, Debug)]
pub struct ResnetConfig {
    /// Channels coming in.
    pub input: usize,
    /// Channels going out.
    pub output: usize,
    /// Features of the time embedding, where there is one.
    pub time: Option<usize>,
    /// Normalisation groups of the unpruned block; divides `input` and `output`.
    pub groups: usize,
    /// Groups of the inner channels that are left.
    pub kept: usize,
    /// Epsilon of both norms.
    pub eps: f64,
}

/// `conv2(silu(norm2(conv1(silu(norm1(x))) + time)))` plus the input, which a 1x1 convolution brings to `output` channels if need be.
pub struct Resnet<B: Backend> {
    path: Arc<str>,
    groups: usize,
    norm1: GroupNorm<B>,
    conv1: Conv2d<B>,
    time: Option<Linear<B>>,
    norm2: GroupNorm<B>,
    conv2: Conv2d<B>,
    shortcut: Option<Conv2d<B>>,
    inner: usize,
}

impl<B: Backend> Resnet<B> {
    /// A block whose layers lie below `p`.
    pub fn new(p: &Params<B>, config: &ResnetConfig) -> Result<Self> {
        let ResnetConfig { input, output, time, groups, kept, eps } = *config;
        let inner = output / groups * kept;
        Ok(Self {
            path: p.path().clone(),
            groups: kept,
            norm1: GroupNorm::new(&p.at("norm1"), groups, input, eps)?,
            conv1: Conv2d::same(&p.at("conv1"), input, inner, 3)?,
            time: time.map(|features| Linear::new(&p.at("time_emb_proj"), features, inner, true)).transpose()?,
            norm2: GroupNorm::new(&p.at("norm2"), kept, inner, eps)?,
            conv2: Conv2d::same(&p.at("conv2"), inner, output, 3)?,
            shortcut: (input != output).then(|| Conv2d::same(&p.at("conv_shortcut"), input, output, 1)).transpose()?,
            inner,
        })
    }

    /// `x [B, input, H, W]`, `time [B or 1, features]` (SiLU already applied) to `[B, output, H, W]`.
    pub fn forward(&self, pass: &Pass<B>, x: &B::Value, time: Option<&B::Value>) -> Result<B::Value> {
        let _scope = pass.scope(&self.path);
        let mut h = pass.silu(&self.norm1.forward(pass, x)?)?;
        h = self.conv1.forward(pass, &h)?;
        if let (Some(layer), Some(time)) = (&self.time, time) {
            let shift = layer.forward(pass, time)?;
            let shape = [Extent::Keep(0), Extent::Is(self.inner), Extent::Is(1), Extent::Is(1)];
            h = pass.add(&h, &pass.reshape(&shift, &shape)?)?;
        }
        h = pass.site(&self.path, Site::ResnetInner { groups: self.groups }, h)?;
        h = pass.silu(&self.norm2.forward(pass, &h)?)?;
        h = pass.site(&self.path, Site::ResnetHidden { groups: self.groups }, h)?;
        h = self.conv2.forward(pass, &h)?;
        match &self.shortcut {
            Some(shortcut) => pass.add(&shortcut.forward(pass, x)?, &h),
            None => pass.add(x, &h),
        }
    }
}
