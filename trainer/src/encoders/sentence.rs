//! Prompts to sentence embeddings, which a router reads.

use super::{Result, build};
use crate::torch::{Torch, Value};
use pleach_model::{
    backend::{Backend, Constant},
    checkpoint::Spelling,
    counter,
    pipeline::Network,
    sentence::{SentenceConfig, SentenceEncoder, SentenceKind},
    sites::Pass,
    tensor::Dtype,
    tokenizer::Tokenizer,
};
use std::path::Path;
use tch::{Device, Tensor, no_grad};

/// A frozen sentence encoder with its tokenizer: a BERT or an MPNet as Hugging Face has them.
pub struct Sentences {
    torch: Torch,
    network: SentenceEncoder<Torch>,
    config: SentenceConfig,
    tokenizer: Tokenizer,
}

impl Sentences {
    /// The encoder in a folder with `config.json`, weights and `tokenizer.json`.
    ///
    /// # Errors
    /// Every variant of [`Error`](super::Error).
    pub fn open(folder: &Path, device: Device) -> Result<Self> {
        let torch = Torch::new(device, Dtype::F32)?;
        let network = Network::open(folder)?;
        let config = SentenceConfig::from_json(&network.config)?;
        let tokenizer = Tokenizer::sentence(&folder.join("tokenizer.json"), config.max_tokens())?;
        let tensors = counter::sentence(&config, config.max_tokens())?.tensors;
        let spelling = match config.kind {
            SentenceKind::Bert { .. } => Spelling::Bert,
            SentenceKind::Mpnet { .. } => Spelling::Mpnet,
        };
        let network = build(&torch, &network, &tensors, spelling, |p| SentenceEncoder::new(&config, p))?;
        Ok(Self { torch, network, config, tokenizer })
    }

    /// Features of an embedding.
    pub fn features(&self) -> usize {
        self.config.hidden_size
    }

    /// The embedding of each prompt, `[B, D]`: the mean over its tokens, not normalised, as APTP has it. What is too long for the
    /// encoder is cut.
    ///
    /// # Errors
    /// The tokenizer or libtorch fails.
    pub fn encode(&self, prompts: &[String]) -> Result<Tensor> {
        let tokens = prompts.iter().map(|prompt| self.tokenizer.encode(prompt)).collect::<Result<Vec<_>, _>>()?;
        let longest = tokens.iter().map(|tokens| tokens.length).max().unwrap_or(0);
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for tokens in &tokens {
            ids.extend(tokens.ids.iter().copied().map(i64::from));
            mask.extend(std::iter::repeat_n(1, tokens.length));
            ids.resize(ids.len() + longest - tokens.length, 0);
            mask.resize(mask.len() + longest - tokens.length, 0);
        }
        no_grad(|| {
            let given = |data| self.torch.constant(Constant::I64(data), &[tokens.len(), longest]);
            let embeddings: Value = self.network.forward(&Pass::plain(&self.torch), &given(ids)?, &given(mask)?)?;
            Ok(embeddings.tensor().shallow_clone())
        })
    }
}
