//! CLIP's byte-level BPE, rebuilt from vocabulary and merges as transformers 5 rebuilds it from any of its file forms:
//! NFC, white space to one blank, lower case, then BPE with `</w>` at the end of words.
//! <https://github.com/huggingface/transformers/blob/v5.0.0/src/transformers/models/clip/tokenization_clip.py>

use super::{
    Tokenizer,
    files::{Error, Result, read_json, read_optional, read_text},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};
use tokenizers::{
    AddedToken, SplitDelimiterBehavior,
    models::bpe::{BPE, Merges, Vocab},
    normalizers::{Lowercase, NFC, NormalizerWrapper, Replace, Sequence, replace::ReplacePattern},
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
    processors::roberta::RobertaProcessing,
};

const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A special token: its text alone, or with the flags of `AddedToken`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Flags {
        content: String,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        normalized: bool,
    },
}

impl Special {
    fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Flags { content, .. } => content,
        }
    }

    fn added(&self) -> AddedToken {
        let token = AddedToken::from(self.content(), true);
        match self {
            Self::Text(_) => token,
            &Self::Flags { lstrip, rstrip, single_word, normalized, .. } => {
                token.lstrip(lstrip).rstrip(rstrip).single_word(single_word).normalized(normalized)
            }
        }
    }
}

/// The tokens with a role, as `tokenizer_config.json` and `special_tokens_map.json` name them.
#[derive(Default, Deserialize)]
struct Roles {
    bos_token: Option<Special>,
    eos_token: Option<Special>,
    unk_token: Option<Special>,
    pad_token: Option<Special>,
}

impl Roles {
    /// `other` where it names a token, `self` elsewhere.
    fn overridden_by(self, other: Self) -> Self {
        Self {
            bos_token: other.bos_token.or(self.bos_token),
            eos_token: other.eos_token.or(self.eos_token),
            unk_token: other.unk_token.or(self.unk_token),
            pad_token: other.pad_token.or(self.pad_token),
        }
    }
}

#[derive(Default, Deserialize)]
struct Config {
    /// transformers writes 1e30 for "no limit".
    model_max_length: Option<f64>,
    added_tokens_decoder: Option<BTreeMap<u32, Special>>,
    #[serde(flatten)]
    roles: Roles,
}

/// The part of `tokenizer.json` that transformers keeps for CLIP.
#[derive(Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<Special>,
    model: BpeJson,
}

#[derive(Deserialize)]
struct BpeJson {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// Older files write a merge as one text, newer ones as a pair.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Text(String),
    Pair(String, String),
}

/// Where the words come from.
struct Source {
    file: PathBuf,
    vocab: HashMap<String, u32>,
    merges: Merges,
    added: Vec<Special>,
}

pub(super) fn open(folder: &Path, max_positions: usize) -> Result<Tokenizer> {
    let source = Source::open(folder)?;
    let config: Config = read_optional(&folder.join("tokenizer_config.json"))?;
    let max_length = config
        .model_max_length
        .filter(|&length| length >= 1.0)
        .map_or(max_positions, |length| max_positions.min(length as usize));

    // As in transformers: the list of added tokens makes the older special_tokens_map.json void, and lends its flags.
    let (roles, listed) = match config.added_tokens_decoder {
        Some(listed) => (config.roles, listed.into_values().collect()),
        None => {
            let map: Roles = read_optional(&folder.join("special_tokens_map.json"))?;
            (config.roles.overridden_by(map), source.added)
        }
    };
    let role = |token: Option<Special>, default: &str| {
        let token = token.unwrap_or_else(|| Special::Text(default.into()));
        listed.iter().find(|l| l.content() == token.content()).cloned().unwrap_or(token)
    };
    let start = role(roles.bos_token, "<|startoftext|>");
    let end = role(roles.eos_token, "<|endoftext|>");
    let unknown = role(roles.unk_token, "<|endoftext|>");
    let pad = role(roles.pad_token, "<|endoftext|>");
    let id = |token: &Special| {
        source.vocab.get(token.content()).copied().ok_or_else(|| {
            Error::invalid(&source.file, format!("the special token {:?} is not in the vocabulary", token.content()))
        })
    };
    let (start_id, end_id, pad_id) = (id(&start)?, id(&end)?, id(&pad)?);
    id(&unknown)?;

    let broken = |e: tokenizers::Error| Error::invalid(&source.file, e);
    let model = BPE::builder()
        .vocab_and_merges(source.vocab.into_iter().collect::<Vocab>(), source.merges)
        .unk_token(unknown.content().into())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".into())
        .build()
        .map_err(broken)?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner
        .with_normalizer(Some(Sequence::new(vec![
            NormalizerWrapper::from(NFC),
            Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(broken)?.into(),
            Lowercase.into(),
        ])))
        .with_pre_tokenizer(Some(PreTokenizers::new(vec![
            PreTokenizerWrapper::from(
                Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true).map_err(broken)?,
            ),
            ByteLevel::new(false, true, true).into(),
        ])))
        .with_post_processor(Some(
            RobertaProcessing::new((end.content().into(), end_id), (start.content().into(), start_id))
                .trim_offsets(false)
                .add_prefix_space(false),
        ));
    let special: Vec<_> = listed.iter().chain([&start, &end, &unknown, &pad]).map(Special::added).collect();
    inner.add_special_tokens(&special);
    Ok(Tokenizer { inner, max_length, padding: Some(pad_id) })
}

impl Source {
    fn open(folder: &Path) -> Result<Self> {
        let file = folder.join("tokenizer.json");
        if file.is_file() {
            let json: TokenizerJson = read_json(&file)?;
            let merges = json.model.merges.into_iter().enumerate().map(|(i, merge)| match merge {
                Merge::Pair(a, b) => Ok((a, b)),
                Merge::Text(text) => split(&text).ok_or_else(|| bad_merge(&file, &format!("model.merges[{i}]"), &text)),
            });
            let merges = merges.collect::<Result<_>>()?;
            return Ok(Self { file, vocab: json.model.vocab, merges, added: json.added_tokens });
        }
        let (file, merges_file) = (folder.join("vocab.json"), folder.join("merges.txt"));
        if !file.is_file() || !merges_file.is_file() {
            return Err(Error::Missing { folder: folder.into() });
        }
        let text = read_text(&merges_file)?;
        let merges = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.starts_with("#version") && !line.is_empty())
            .map(|(i, line)| split(line).ok_or_else(|| bad_merge(&merges_file, &format!("line {}", i + 1), line)));
        let merges = merges.collect::<Result<_>>()?;
        Ok(Self { vocab: read_json(&file)?, merges, added: Vec::new(), file })
    }
}

fn split(merge: &str) -> Option<(String, String)> {
    let (a, b) = merge.split_once(' ')?;
    (!a.is_empty() && !b.is_empty() && !b.contains(' ')).then(|| (a.into(), b.into()))
}

fn bad_merge(file: &Path, place: &str, merge: &str) -> Error {
    Error::invalid(file, format!("{place}: {merge:?} is not two parts with a blank between"))
}
