//! Multi-head attention with its projections, for every network.

use crate::{
    backend::Backend,
    error::Result,
    layers::Linear,
    op,
    params::Params,
    sites::{Pass, Site},
};
use std::sync::Arc;

/// How an attention layer is laid out.
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig<'a> {
    /// Names of the query, key, value and output projections.
    pub names: [&'a str; 4],
    /// Features of the queries' side, in and out.
    pub features: usize,
    /// Features that keys and values are made of.
    pub context: usize,
    /// Heads of the unpruned layer; divides `features`.
    pub heads: usize,
    /// Heads that are left.
    pub kept: usize,
    /// Whether query, key and value projections have biases (the output projection always has one).
    pub bias: bool,
    /// Scores and softmax in f32.
    pub upcast: bool,
    /// Each position sees itself and those before it.
    pub causal: bool,
}

/// An attention layer.
pub struct Attention<B: Backend> {
    path: Arc<str>,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    output: Linear<B>,
    attention: op::Attention,
}

impl<B: Backend> Attention<B> {
    /// A layer whose projections lie below `p`.
    pub fn new(p: &Params<B>, config: &AttentionConfig) -> Result<Self> {
        let head = config.features / config.heads;
        let inner = head * config.kept;
        let [query, key, value, output] = config.names;
        let project = |name, input| Linear::new(&p.at(name), input, inner, config.bias);
        Ok(Self {
            path: p.path().clone(),
            query: project(query, config.features)?,
            key: project(key, config.context)?,
            value: project(value, config.context)?,
            output: Linear::new(&p.at(output), inner, config.features, true)?,
            attention: op::Attention {
                heads: config.kept,
                scale: 1.0 / (head as f64).sqrt(),
                causal: config.causal,
                upcast: config.upcast,
            },
        })
    }

    /// `x [B, N, features]`, `context [B, M, context]` (`x` itself for self-attention), optional additive `bias` of the
    /// scores, to `[B, N, features]`.
    pub fn forward(
        &self,
        pass: &Pass<B>,
        x: &B::Value,
        context: &B::Value,
        bias: Option<&B::Value>,
    ) -> Result<B::Value> {
        let _scope = pass.scope(&self.path);
        let site = |value| pass.site(&self.path, Site::Heads { heads: self.attention.heads }, value);
        let q = site(self.query.forward(pass, x)?)?;
        let k = site(self.key.forward(pass, context)?)?;
        let v = site(self.value.forward(pass, context)?)?;
        let mixed = pass.attention(&q, &k, &v, bias, self.attention)?;
        self.output.forward(pass, &mixed)
    }
}
