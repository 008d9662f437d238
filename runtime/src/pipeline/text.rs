//! Prompts to embeddings.

use super::{Error, Event, Observer, Result};
use crate::engine::{Network, TensorRef};
use pleach_model::tokenizer::Tokenizer;
use std::sync::Arc;

/// The text encoder's last hidden state for one prompt: `[1, tokens, width]`.
#[derive(Clone, Debug)]
pub(super) struct Embedding {
    pub shape: [usize; 3],
    pub values: Arc<[f32]>,
}

/// Runs the text encoder on one prompt. As in diffusers no attention mask is given: padding is read like words.
pub(super) fn encode(
    network: &mut Network,
    tokenizer: &Tokenizer,
    prompt: &str,
    observer: &mut dyn Observer,
) -> Result<Embedding> {
    let tokens = tokenizer.encode(prompt)?;
    if tokens.dropped > 0 {
        let kept = tokens.length.saturating_sub(2);
        observer.event(Event::Truncated { prompt, dropped: tokens.dropped, kept });
    }
    let ids: Vec<i64> = tokens.ids.iter().copied().map(i64::from).collect();
    let mut outputs = network.run(&[("input_ids", TensorRef::new(&[1, ids.len()], &ids)?)])?;
    let wrong = |found: String| Error::Output {
        graph: network.name().to_owned(),
        found,
        expected: format!("an output last_hidden_state of shape [1, {}, width]", ids.len()),
    };
    let position = network.outputs().iter().position(|output| output.name == "last_hidden_state");
    let hidden = match position {
        Some(position) if position < outputs.len() => outputs.swap_remove(position),
        _ => {
            return Err(wrong(
                network.outputs().iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", "),
            ));
        }
    };
    let &[1, rows, width] = hidden.shape() else { return Err(wrong(format!("{:?}", hidden.shape()))) };
    if rows != ids.len() {
        return Err(wrong(format!("{:?}", hidden.shape())));
    }
    Ok(Embedding { shape: [1, rows, width], values: hidden.into_f32().into() })
}

/// Embeddings of prompts; the negative prompt's is kept from one request to the next.
#[derive(Debug, Default)]
pub(super) struct Unconditional(Option<(String, Embedding)>);

impl Unconditional {
    /// The embedding of `prompt`, if it is the one that is kept.
    pub fn get(&self, prompt: &str) -> Option<Embedding> {
        self.0.as_ref().filter(|(kept, _)| kept == prompt).map(|(_, embedding)| embedding.clone())
    }

    pub fn keep(&mut self, prompt: &str, embedding: &Embedding) {
        self.0 = Some((prompt.to_owned(), embedding.clone()));
    }
}
