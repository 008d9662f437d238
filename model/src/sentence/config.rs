//! `config.json` of a sentence encoder.

use crate::{config::Fields, error::Result};
use serde_json::{Value, json};

/// Which family an encoder is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentenceKind {
    /// Absolute positions and token types.
    Bert {
        /// Rows of the token type table; every token is of type 0.
        token_types: usize,
    },
    /// Absolute positions after the padding index, and a learnt bias by relative position.
    Mpnet {
        /// Rows of the table of biases.
        buckets: usize,
        /// Id of the padding token: the first position is the one after it.
        padding: usize,
    },
}

/// Sizes of a sentence encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct SentenceConfig {
    /// The family.
    pub kind: SentenceKind,
    /// Number of tokens known.
    pub vocab_size: usize,
    /// Features of each position, and of the embedding.
    pub hidden_size: usize,
    /// Features inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Epsilon of every norm.
    pub layer_norm_eps: f64,
}

impl SentenceConfig {
    /// Reads a transformers configuration with `model_type` `bert` or `mpnet`.
    ///
    /// # Errors
    /// Names the first field that is missing, malformed, or asks for something that is not supported.
    pub fn from_json(value: &Value) -> Result<Self> {
        let fields = Fields::new("sentence encoder", value)?;
        fields.only(&[
            ("hidden_act", json!("gelu")),
            ("position_embedding_type", json!("absolute")),
            ("is_decoder", json!(false)),
            ("add_cross_attention", json!(false)),
        ])?;
        let model = Value::from(fields.word("model_type", None)?);
        let config = Self {
            kind: if fields.one_of("model_type", &model, &[("bert", true), ("mpnet", false)])? {
                SentenceKind::Bert { token_types: fields.count("type_vocab_size", Some(2))? }
            } else {
                SentenceKind::Mpnet {
                    buckets: fields.count("relative_attention_num_buckets", Some(32))?,
                    padding: fields.count("pad_token_id", Some(1))?,
                }
            },
            vocab_size: fields.count("vocab_size", Some(30522))?,
            hidden_size: fields.count("hidden_size", Some(768))?,
            intermediate_size: fields.count("intermediate_size", Some(3072))?,
            num_hidden_layers: fields.count("num_hidden_layers", Some(12))?,
            num_attention_heads: fields.count("num_attention_heads", Some(12))?,
            max_position_embeddings: fields.count("max_position_embeddings", Some(512))?,
            layer_norm_eps: fields.number("layer_norm_eps", Some(1e-12))?,
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let reason = format!("{} does not fall into {} heads", config.hidden_size, config.num_attention_heads);
            return Err(fields.error("hidden_size", reason));
        }
        if config.max_tokens() == 0 {
            return Err(fields.error("max_position_embeddings", "leaves no position after the padding index"));
        }
        Ok(config)
    }

    /// Position of the first token.
    pub(super) fn first_position(&self) -> usize {
        match self.kind {
            SentenceKind::Bert { .. } => 0,
            SentenceKind::Mpnet { padding, .. } => padding + 1,
        }
    }

    /// Longest sequence that there are positions for.
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }
}
