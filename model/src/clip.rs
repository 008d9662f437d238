//! `CLIPTextModel`: token ids to the text embedding that a UNet attends to.

use crate::{
    attention::{Attention, AttentionConfig},
    backend::Backend,
    config::Fields,
    error::Result,
    layers::{LayerNorm, Mlp},
    op::Unary,
    params::Params,
    sites::Pass,
};
use serde_json::{Value, json};

const NETWORK: &str = "CLIPTextModel";

/// Sizes of the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipTextConfig {
    /// Number of tokens known.
    pub vocab_size: usize,
    /// Features of each position.
    pub hidden_size: usize,
    /// Features inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Function inside the feed-forward layers.
    pub hidden_act: Unary,
    /// Epsilon of every norm.
    pub layer_norm_eps: f64,
}

impl ClipTextConfig {
    /// Reads a transformers configuration.
    ///
    /// # Errors
    /// Names the first field that is missing, malformed, or asks for something that is not supported.
    pub fn from_json(value: &Value) -> Result<Self> {
        let fields = Fields::new(NETWORK, value)?;
        let acts = [("gelu", Unary::Gelu), ("quick_gelu", Unary::QuickGelu)];
        let config = Self {
            vocab_size: fields.count("vocab_size", Some(49408))?,
            hidden_size: fields.count("hidden_size", Some(512))?,
            intermediate_size: fields.count("intermediate_size", Some(2048))?,
            num_hidden_layers: fields.count("num_hidden_layers", Some(12))?,
            num_attention_heads: fields.count("num_attention_heads", Some(8))?,
            max_position_embeddings: fields.count("max_position_embeddings", Some(77))?,
            hidden_act: fields.one_of("hidden_act", fields.get("hidden_act").unwrap_or(&json!("quick_gelu")), &acts)?,
            layer_norm_eps: fields.number("layer_norm_eps", Some(1e-5))?,
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let reason = format!("{} does not fall into {} heads", config.hidden_size, config.num_attention_heads);
            return Err(fields.error("hidden_size", reason));
        }
        Ok(config)
    }

    /// The same as a transformers configuration.
    pub fn to_json(&self) -> Value {
        let act = if self.hidden_act == Unary::QuickGelu { "quick_gelu" } else { "gelu" };
        json!({
            "architectures": [NETWORK],
            "model_type": "clip_text_model",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "max_position_embeddings": self.max_position_embeddings,
            "hidden_act": act,
            "layer_norm_eps": self.layer_norm_eps,
        })
    }

    /// The text encoder of Stable Diffusion 2.x (OpenCLIP ViT-H, penultimate layer): 340,387,840 parameters.
    pub fn sd2() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 23,
            num_attention_heads: 16,
            max_position_embeddings: 77,
            hidden_act: Unary::Gelu,
            layer_norm_eps: 1e-5,
        }
    }
}

/// The text encoder.
pub struct ClipText<B: Backend> {
    tokens: B::Value,
    positions: B::Value,
    layers: Vec<Layer<B>>,
    final_layer_norm: LayerNorm<B>,
}

impl<B: Backend> ClipText<B> {
    /// The encoder with parameters named as in transformers, with the `text_model.` prefix.
    pub fn new(config: &ClipTextConfig, p: &Params<B>) -> Result<Self> {
        let p = p.at("text_model");
        let embeddings = p.at("embeddings");
        let width = config.hidden_size;
        let layer = |i| Layer::new(config, &p.at(format_args!("encoder.layers.{i}")));
        Ok(Self {
            tokens: embeddings.get("token_embedding.weight", &[config.vocab_size, width])?,
            positions: embeddings.get("position_embedding.weight", &[config.max_position_embeddings, width])?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_layer_norm: LayerNorm::new(&p.at("final_layer_norm"), width, config.layer_norm_eps)?,
        })
    }

    /// Token ids `[B, N]` to the last hidden state after the final norm, `[B, N, hidden_size]`. No padding mask, as in Stable Diffusion.
    pub fn forward(&self, pass: &Pass<B>, ids: &B::Value) -> Result<B::Value> {
        let positions = pass.narrow_like(&self.positions, 0, 0, ids, 1)?;
        let mut h = pass.add(&pass.embedding(&self.tokens, ids)?, &positions)?;
        for layer in &self.layers {
            h = layer.forward(pass, h)?;
        }
        self.final_layer_norm.forward(pass, &h)
    }
}

/// Causal self-attention and feed-forward, each after a norm and added to its input.
struct Layer<B: Backend> {
    layer_norm1: LayerNorm<B>,
    self_attn: Attention<B>,
    layer_norm2: LayerNorm<B>,
    mlp: Mlp<B>,
}

impl<B: Backend> Layer<B> {
    fn new(config: &ClipTextConfig, p: &Params<B>) -> Result<Self> {
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        let norm = |name: &str| LayerNorm::new(&p.at(name), width, config.layer_norm_eps);
        let sizes = AttentionConfig {
            names: ["q_proj", "k_proj", "v_proj", "out_proj"],
            features: width,
            context: width,
            heads,
            kept: heads,
            bias: true,
            upcast: false,
            causal: true,
        };
        Ok(Self {
            layer_norm1: norm("layer_norm1")?,
            self_attn: Attention::new(&p.at("self_attn"), &sizes)?,
            layer_norm2: norm("layer_norm2")?,
            mlp: Mlp::new(&p.at("mlp"), ["fc1", "fc2"], [width, config.intermediate_size, width], config.hidden_act)?,
        })
    }

    fn forward(&self, pass: &Pass<B>, mut x: B::Value) -> Result<B::Value> {
        let normed = self.layer_norm1.forward(pass, &x)?;
        x = pass.add(&x, &self.self_attn.forward(pass, &normed, &normed, None)?)?;
        let normed = self.layer_norm2.forward(pass, &x)?;
        pass.add(&x, &self.mlp.forward(pass, &normed)?)
    }
}
