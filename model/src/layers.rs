//! The layers that every network is put together from. Each knows its path, for errors and node names.

use crate::{
    backend::Backend,
    error::Result,
    op::{self, Unary},
    params::Params,
    tensor::Dtype,
};
use std::sync::Arc;

/// `x [.., in]` to `[.., out]`.
pub struct Linear<B: Backend> {
    path: Arc<str>,
    weight: B::Value,
    bias: Option<B::Value>,
}

impl<B: Backend> Linear<B> {
    /// `weight [out, in]` and, if asked for, `bias [out]`.
    pub fn new(p: &Params<B>, input: usize, output: usize, bias: bool) -> Result<Self> {
        let weight = p.get("weight", &[output, input])?;
        let bias = bias.then(|| p.get("bias", &[output])).transpose()?;
        Ok(Self { path: p.path().clone(), weight, bias })
    }

    /// Applies the layer.
    pub fn forward(&self, b: &B, x: &B::Value) -> Result<B::Value> {
        let _scope = b.scope(&self.path);
        b.linear(x, &self.weight, self.bias.as_ref())
    }
}

/// `x [B, in, H, W]` to `[B, out, H', W']`.
pub struct Conv2d<B: Backend> {
    path: Arc<str>,
    weight: B::Value,
    bias: B::Value,
    conv: op::Conv2d,
}

impl<B: Backend> Conv2d<B> {
    /// `weight [out, in, kernel, kernel]`, `bias [out]`.
    pub fn new(p: &Params<B>, input: usize, output: usize, kernel: usize, conv: op::Conv2d) -> Result<Self> {
        let weight = p.get("weight", &[output, input, kernel, kernel])?;
        Ok(Self { path: p.path().clone(), weight, bias: p.get("bias", &[output])?, conv })
    }

    /// Stride 1, same size.
    pub fn same(p: &Params<B>, input: usize, output: usize, kernel: usize) -> Result<Self> {
        Self::new(p, input, output, kernel, op::Conv2d::same(kernel))
    }

    /// Applies the layer.
    pub fn forward(&self, b: &B, x: &B::Value) -> Result<B::Value> {
        let _scope = b.scope(&self.path);
        b.conv2d(x, &self.weight, Some(&self.bias), self.conv)
    }
}

/// Group normalisation of `[B, C, H, W]`.
pub struct GroupNorm<B: Backend> {
    path: Arc<str>,
    weight: B::Value,
    bias: B::Value,
    groups: usize,
    eps: f64,
}

impl<B: Backend> GroupNorm<B> {
    /// `weight [C]`, `bias [C]`.
    pub fn new(p: &Params<B>, groups: usize, channels: usize, eps: f64) -> Result<Self> {
        let (weight, bias) = (p.get("weight", &[channels])?, p.get("bias", &[channels])?);
        Ok(Self { path: p.path().clone(), weight, bias, groups, eps })
    }

    /// Applies the layer.
    pub fn forward(&self, b: &B, x: &B::Value) -> Result<B::Value> {
        let _scope = b.scope(&self.path);
        b.group_norm(x, &self.weight, &self.bias, self.groups, self.eps)
    }
}

/// Layer normalisation of `[.., C]`.
pub struct LayerNorm<B: Backend> {
    path: Arc<str>,
    weight: B::Value,
    bias: B::Value,
    eps: f64,
}

impl<B: Backend> LayerNorm<B> {
    /// `weight [C]`, `bias [C]`.
    pub fn new(p: &Params<B>, channels: usize, eps: f64) -> Result<Self> {
        let (weight, bias) = (p.get("weight", &[channels])?, p.get("bias", &[channels])?);
        Ok(Self { path: p.path().clone(), weight, bias, eps })
    }

    /// Applies the layer.
    pub fn forward(&self, b: &B, x: &B::Value) -> Result<B::Value> {
        let _scope = b.scope(&self.path);
        b.layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// Two linear layers with a function between: the feed-forward half of a text encoder's layer, or a time embedding.
pub struct Mlp<B: Backend> {
    first: Linear<B>,
    second: Linear<B>,
    between: Unary,
}

impl<B: Backend> Mlp<B> {
    /// The layers' names, and the numbers of features before, between and after.
    pub fn new(p: &Params<B>, names: [&str; 2], [input, hidden, output]: [usize; 3], between: Unary) -> Result<Self> {
        let first = Linear::new(&p.at(names[0]), input, hidden, true)?;
        Ok(Self { first, second: Linear::new(&p.at(names[1]), hidden, output, true)?, between })
    }

    /// Element type of the parameters.
    pub fn dtype(&self, b: &B) -> Dtype {
        b.fact(&self.first.weight).dtype
    }

    /// Applies both layers.
    pub fn forward(&self, b: &B, x: &B::Value) -> Result<B::Value> {
        let hidden = b.unary(&self.first.forward(b, x)?, self.between)?;
        self.second.forward(b, &hidden)
    }
}
