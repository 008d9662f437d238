//! A CLIP tokenizer for the captions: each of their words and the comma is one token, any other text is several.

use super::words;
use pleach_model::files;
use serde_json::{Map, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What ends a word.
const END: &str = "</w>";
const SPECIAL: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

/// Why the files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder could not be made.
    #[error("cannot make the folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
}

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Number of tokens: `vocab_size` of the text encoder's configuration. The last two are the beginning and the end of a text.
pub fn size() -> usize {
    2 * 256 + merges(&words()).len() + SPECIAL.len()
}

/// Writes `vocab.json`, `merges.txt`, `tokenizer_config.json` and `special_tokens_map.json` into `folder`, which is made where
/// it does not exist. Texts are padded with "!", id 0, as Stable Diffusion 2's are.
///
/// # Errors
/// [`Error::Folder`], [`Error::File`].
pub fn write(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Folder { folder: folder.to_owned(), source })?;
    let merges = merges(&words());
    let symbols = symbols();
    let tokens = (symbols.iter().map(char::to_string))
        .chain(symbols.iter().map(|symbol| format!("{symbol}{END}")))
        .chain(merges.iter().map(|(a, b)| format!("{a}{b}")))
        .chain(SPECIAL.map(str::to_owned));
    let vocabulary: Map<_, _> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    let lines: String = merges.iter().map(|(a, b)| format!("{a} {b}\n")).collect();
    let [start, end] = SPECIAL.map(
        |token| json!({ "content": token, "lstrip": false, "normalized": true, "rstrip": false, "single_word": false }),
    );
    let roles = json!({ "bos_token": start, "eos_token": end, "pad_token": "!", "unk_token": end });
    let mut config = roles.clone();
    config["model_max_length"] = 77.into();
    config["tokenizer_class"] = "CLIPTokenizer".into();
    for (name, text) in [
        ("vocab.json", json!(vocabulary).to_string()),
        ("merges.txt", format!("#version: 0.2\n{lines}")),
        ("tokenizer_config.json", format!("{config:#}\n")),
        ("special_tokens_map.json", format!("{roles:#}\n")),
    ] {
        files::write(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// A printable character for each byte, in the order that GPT-2 gave them: those that are printable as they are, then the
/// others, which stand for themselves plus 256 and on.
fn symbols() -> Vec<char> {
    ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ').chain('Ā'..='Ń').collect()
}

/// Byte-pair encoding learned from `words`, until each is one token. Used in this order, the merges give the same tokens again.
fn merges(words: &[&str]) -> Vec<(String, String)> {
    let mut split: Vec<Vec<String>> = words.iter().map(|word| letters(word)).collect();
    let mut merges = Vec::new();
    loop {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for pair in split.iter().flat_map(|word| word.windows(2)) {
            *counts.entry((&pair[0], &pair[1])).or_default() += 1;
        }
        // Of equally frequent pairs the last in the alphabet: any rule does, as long as it is one.
        let Some(((a, b), _)) = counts.into_iter().max_by_key(|&(_, count)| count) else { return merges };
        let pair = (a.to_owned(), b.to_owned());
        for word in &mut split {
            merge(word, &pair);
        }
        merges.push(pair);
    }
}

fn letters(word: &str) -> Vec<String> {
    let mut letters: Vec<String> = word.chars().map(String::from).collect();
    if let Some(last) = letters.last_mut() {
        *last += END;
    }
    letters
}

/// Joins the pair wherever it stands in the word.
fn merge(word: &mut Vec<String>, (a, b): &(String, String)) {
    let mut i = 0;
    while i + 1 < word.len() {
        if word[i] == *a && word[i + 1] == *b {
            let second = word.remove(i + 1);
            word[i] += &second;
        }
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::tokenizer::Tokenizer;

    fn tokenizer() -> Tokenizer {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("tokenizer")).unwrap();
        Tokenizer::clip(&folder.path().join("tokenizer"), 77).unwrap()
    }

    #[test]
    fn each_word_is_one_token() {
        let tokenizer = tokenizer();
        let end = size() as u32 - 1;
        let mut seen = std::collections::BTreeSet::new();
        for word in words().into_iter().chain([","]) {
            let tokens = tokenizer.encode(word).unwrap();
            assert_eq!((tokens.length, tokens.ids.len(), tokens.dropped), (3, 77, 0), "{word}");
            assert_eq!((tokens.ids[0], tokens.ids[2], tokens.ids[3], tokens.ids[76]), (end - 1, end, 0, 0), "{word}");
            assert!(seen.insert(tokens.ids[1]), "{word} has the token of another word");
        }
    }

    #[test]
    fn a_caption_has_a_token_for_each_word_and_comma() {
        let tokenizer = tokenizer();
        for i in 0..500 {
            let caption = crate::world::sample(3, i).caption;
            let count = caption.split(' ').count() + caption.matches(',').count();
            let tokens = tokenizer.encode(&caption).unwrap();
            assert_eq!((tokens.length, tokens.dropped), (count + 2, 0), "{caption}");
        }
    }

    #[test]
    fn other_text_is_several_tokens() {
        let tokenizer = tokenizer();
        for (text, least) in [("elephant", 3), ("7 Ünïcode 日本語 🙂", 12), ("starred", 2), ("a_b", 3)] {
            let tokens = tokenizer.encode(text).unwrap();
            assert!(tokens.length - 2 >= least, "{text}: {tokens:?}");
            assert!(tokens.ids.iter().all(|&id| id < size() as u32));
        }
    }

    #[test]
    fn the_alphabet_is_that_of_clip() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sd2/pipeline/tokenizer/vocab.json");
        let clip: BTreeMap<String, usize> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for (id, symbol) in symbols().into_iter().enumerate() {
            assert_eq!((clip[&symbol.to_string()], clip[&format!("{symbol}{END}")]), (id, id + 256));
        }
        assert_eq!(symbols().len(), 256);
    }

    #[test]
    fn a_folder_that_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let inner = file.join("tokenizer");
        assert_eq!(
            write(&inner).unwrap_err().to_string(),
            format!("cannot make the folder {}: Not a directory (os error 20)", inner.display())
        );
        std::fs::create_dir_all(folder.path().join("t/vocab.json")).unwrap();
        let taken = folder.path().join("t");
        assert_eq!(
            write(&taken).unwrap_err().to_string(),
            format!("cannot write {}: Is a directory (os error 21)", taken.join("vocab.json").display())
        );
    }
}
