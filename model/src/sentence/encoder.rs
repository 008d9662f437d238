//! The encoder: embeddings, post-norm transformer layers, mean over the tokens.

use super::{SentenceConfig, SentenceKind, relative};
use crate::{
    attention::{Attention, AttentionConfig},
    backend::{Backend, Constant},
    error::Result,
    layers::{LayerNorm, Linear},
    op::{Extent, Unary},
    params::Params,
    sites::Pass,
    tensor::Dtype,
};

/// Added to the score of a padding token; its exponential is 0 in f32.
const HIDDEN: f64 = -1e9;
/// Least number of tokens divided by, as in sentence-transformers.
const LEAST_TOKENS: f64 = 1e-9;

/// A sentence encoder.
pub struct SentenceEncoder<B: Backend> {
    config: SentenceConfig,
    words: B::Value,
    positions: B::Value,
    token_types: Option<B::Value>,
    norm: LayerNorm<B>,
    relative_bias: Option<B::Value>,
    layers: Vec<Layer<B>>,
}

impl<B: Backend> SentenceEncoder<B> {
    /// The encoder with parameters named as in transformers, without a prefix.
    pub fn new(config: &SentenceConfig, p: &Params<B>) -> Result<Self> {
        let width = config.hidden_size;
        let embeddings = p.at("embeddings");
        let table = |name: &str, rows| embeddings.get(name, &[rows, width]);
        let (token_types, relative_bias) = match config.kind {
            SentenceKind::Bert { token_types } => (Some(table("token_type_embeddings.weight", token_types)?), None),
            SentenceKind::Mpnet { buckets, .. } => {
                let shape = [buckets, config.num_attention_heads];
                (None, Some(p.get("encoder.relative_attention_bias.weight", &shape)?))
            }
        };
        let layer = |i| Layer::new(config, &p.at(format_args!("encoder.layer.{i}")));
        Ok(Self {
            words: table("word_embeddings.weight", config.vocab_size)?,
            positions: table("position_embeddings.weight", config.max_position_embeddings)?,
            token_types,
            norm: LayerNorm::new(&embeddings.at("LayerNorm"), width, config.layer_norm_eps)?,
            relative_bias,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    /// Token ids `[B, N]` and `mask [B, N]` (1 for a token, 0 for padding at the right) to the mean of the tokens' last hidden
    /// states, `[B, hidden_size]`, not normalised.
    pub fn forward(&self, pass: &Pass<B>, ids: &B::Value, mask: &B::Value) -> Result<B::Value> {
        let mask = pass.cast(mask, Dtype::F32)?;
        let bias = self.bias(pass, ids, &mask)?;
        let mut h = self.embed(pass, ids)?;
        for layer in &self.layers {
            h = layer.forward(pass, h, &bias)?;
        }
        let rows = pass.reshape(&mask, &[Extent::Keep(0), Extent::Keep(1), Extent::Is(1)])?;
        let total = pass.sum(&pass.mul(&h, &rows)?, 1)?;
        let count = pass.at_least(&pass.sum(&rows, 1)?, LEAST_TOKENS)?;
        pass.reshape(&pass.div(&total, &count)?, &[Extent::Keep(0), Extent::Is(self.config.hidden_size)])
    }

    fn embed(&self, pass: &Pass<B>, ids: &B::Value) -> Result<B::Value> {
        let positions = pass.narrow_like(&self.positions, 0, self.config.first_position(), ids, 1)?;
        let mut h = pass.add(&pass.embedding(&self.words, ids)?, &positions)?;
        if let Some(table) = &self.token_types {
            let first = pass.constant(Constant::I64(vec![0]), &[1])?;
            h = pass.add(&h, &pass.embedding(table, &first)?)?;
        }
        self.norm.forward(pass, &h)
    }

    /// What is added to the attention scores: `[B, 1, 1, N]`, or `[B, heads, N, N]` with relative positions.
    fn bias(&self, pass: &Pass<B>, ids: &B::Value, mask: &B::Value) -> Result<B::Value> {
        let shape = [Extent::Keep(0), Extent::Is(1), Extent::Is(1), Extent::Keep(1)];
        let padding = pass.affine(&pass.reshape(mask, &shape)?, -HIDDEN, HIDDEN)?;
        let (SentenceKind::Mpnet { buckets, .. }, Some(table)) = (self.config.kind, &self.relative_bias) else {
            return Ok(padding);
        };
        let length = self.config.max_tokens();
        let mut pairs = pass.constant(Constant::I64(relative::buckets(length, buckets)), &[length, length])?;
        for axis in [0, 1] {
            pairs = pass.narrow_like(&pairs, axis, 0, ids, 1)?;
        }
        let relative = pass.permute(&pass.embedding(table, &pairs)?, &[2, 0, 1])?;
        let shape = [Extent::Is(1), Extent::Keep(0), Extent::Keep(1), Extent::Keep(2)];
        pass.add(&padding, &pass.reshape(&relative, &shape)?)
    }
}

/// Self-attention and feed-forward, each added to its input and then normalised.
struct Layer<B: Backend> {
    attention: Attention<B>,
    attention_norm: LayerNorm<B>,
    intermediate: Linear<B>,
    output: Linear<B>,
    output_norm: LayerNorm<B>,
}

impl<B: Backend> Layer<B> {
    fn new(config: &SentenceConfig, p: &Params<B>) -> Result<Self> {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        let (names, norm, inside) = match config.kind {
            SentenceKind::Bert { .. } => {
                (["self.query", "self.key", "self.value", "output.dense"], "attention.output.LayerNorm", "attention")
            }
            SentenceKind::Mpnet { .. } => (["q", "k", "v", "o"], "attention.LayerNorm", "attention.attn"),
        };
        let sizes = AttentionConfig {
            names,
            features: width,
            context: width,
            heads,
            kept: heads,
            bias: true,
            upcast: false,
            causal: false,
        };
        let norm_at = |name: &str| LayerNorm::new(&p.at(name), width, config.layer_norm_eps);
        Ok(Self {
            attention: Attention::new(&p.at(inside), &sizes)?,
            attention_norm: norm_at(norm)?,
            intermediate: Linear::new(&p.at("intermediate.dense"), width, config.intermediate_size, true)?,
            output: Linear::new(&p.at("output.dense"), config.intermediate_size, width, true)?,
            output_norm: norm_at("output.LayerNorm")?,
        })
    }

    fn forward(&self, pass: &Pass<B>, x: B::Value, bias: &B::Value) -> Result<B::Value> {
        let mixed = self.attention.forward(pass, &x, &x, Some(bias))?;
        let h = self.attention_norm.forward(pass, &pass.add(&mixed, &x)?)?;
        let hidden = pass.unary(&self.intermediate.forward(pass, &h)?, Unary::Gelu)?;
        self.output_norm.forward(pass, &pass.add(&self.output.forward(pass, &hidden)?, &h)?)
    }
}
