//! Text to token ids, exactly as transformers' tokenizers do it.
//!
//! Two kinds are needed: CLIP's byte-level BPE with a fixed length for text encoders ([`Tokenizer::clip`]), and whatever
//! `tokenizer.json` says for sentence encoders ([`Tokenizer::sentence`]). Both cut what is too long and say how much they cut.

mod clip;
mod files;

pub use files::Error;

use files::{Result, read_json};
use std::path::Path;
use tokenizers::TruncationDirection;

/// A prompt as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids with the beginning and end tokens, then padding where the tokenizer pads.
    pub ids: Vec<u32>,
    /// Ids before the padding: what `attention_mask` counts.
    pub length: usize,
    /// Tokens of the text that did not fit.
    pub dropped: usize,
}

/// A tokenizer with a maximum length; cheap to call, shareable between threads.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    max_length: usize,
    padding: Option<u32>,
}

impl Tokenizer {
    /// The CLIP tokenizer in `folder`: `tokenizer.json`, or `vocab.json` with `merges.txt`, and `tokenizer_config.json`,
    /// `special_tokens_map.json` where they exist. Ids are padded to `model_max_length`, or to `max_positions` (the text encoder's
    /// `max_position_embeddings`) where that is smaller or the only one.
    pub fn clip(folder: &Path, max_positions: usize) -> Result<Self> {
        clip::open(folder, max_positions)
    }

    /// The sentence encoder's tokenizer described by `file` (a `tokenizer.json`), cut at `max_length` ids, without padding.
    pub fn sentence(file: &Path, max_length: usize) -> Result<Self> {
        let mut inner: tokenizers::Tokenizer = read_json(file)?;
        inner.with_truncation(None).map_err(|e| Error::invalid(file, e))?;
        inner.with_padding(None);
        Ok(Self { inner, max_length, padding: None })
    }

    /// Ids per prompt for a tokenizer that pads, the most ids otherwise.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The ids of `text`. Text that is too long is cut so that the end token stays last.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let mut encoding = self.inner.encode_fast(text, false).map_err(Error::Encode)?;
        let found = encoding.len();
        let special = self.inner.get_post_processor().map_or(0, |p| tokenizers::PostProcessor::added_tokens(p, false));
        let kept = found.min(self.max_length.saturating_sub(special));
        encoding.truncate(kept, 0, TruncationDirection::Right);
        let encoding = self.inner.post_process(encoding, None, true).map_err(Error::Encode)?;
        let mut ids = encoding.get_ids().to_vec();
        let length = ids.len();
        if let Some(id) = self.padding {
            ids.resize(self.max_length.max(length), id);
        }
        Ok(Tokens { ids, length, dropped: found - kept })
    }
}

#[cfg(test)]
mod tests;
