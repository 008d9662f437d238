use super::*;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A copy of the SD 2.x fixture's vocabulary and merges with other configuration files.
fn with_config(config: Option<Value>, special_tokens_map: Option<Value>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(fixtures().join("sd2/pipeline/tokenizer").join(name), folder.path().join(name)).unwrap();
    }
    for (name, value) in [("tokenizer_config.json", config), ("special_tokens_map.json", special_tokens_map)] {
        if let Some(value) = value {
            fs::write(folder.path().join(name), value.to_string()).unwrap();
        }
    }
    folder
}

/// Ids before the padding.
fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let tokens = tokenizer.encode(text).unwrap();
    tokens.ids[..tokens.length].to_vec()
}

#[test]
fn clip_ids_equal_the_fixtures() {
    for (variant, form) in [("sd1", "vocab.json"), ("sd2", "vocab.json"), ("sd2v", "tokenizer.json")] {
        let folder = fixtures().join(variant);
        assert!(folder.join("pipeline/tokenizer").join(form).is_file(), "{variant} should test {form}");
        let tokenizer = Tokenizer::clip(&folder.join("pipeline/tokenizer"), 77).unwrap();
        let bytes = fs::read(folder.join("reference.safetensors")).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let prompts: Vec<String> = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["prompts"]).unwrap();
        let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let expected = int64(reference.tensor("text.input_ids").unwrap().data());
        let found: Vec<i64> =
            prompts.iter().flat_map(|prompt| tokenizer.encode(prompt).unwrap().ids).map(i64::from).collect();
        assert_eq!(found, expected, "{variant}");
    }
}

fn int64(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Expected ids: `CLIPTokenizer.from_pretrained` of transformers 5.23.0 on the same files.
#[test]
fn scripts_emoji_and_control_characters() {
    let tokenizer = Tokenizer::clip(&fixtures().join("sd2/pipeline/tokenizer"), 77).unwrap();
    let cases: [(&str, &[u32]); 13] = [
        ("A photo!", &[1712, 320, 1125, 256, 1713]),
        (
            "Ünïcode — 日本語 🙂, quotes",
            &[
                1712, 127, 120, 77, 127, 107, 622, 654, 728, 498, 162, 245, 98, 162, 250, 105, 164, 103, 508, 1478,
                224, 267, 666, 78, 83, 542, 1713,
            ],
        ),
        (
            "<|endoftext|> x <|ENDOFTEXT|> y <|startoftext|>",
            &[1712, 1713, 343, 27, 347, 524, 639, 69, 600, 1052, 91, 285, 344, 1712, 1713],
        ),
        (
            "tab\tnewline\n nul\u{0} bell\u{7} \u{200b} zero�",
            &[1712, 648, 321, 1218, 1148, 1156, 331, 444, 65, 812, 451, 728, 489, 89, 517, 334, 171, 123, 377, 1713],
        ),
        (
            "it's we've I'LL 12345 --- !!! don't",
            &[1712, 585, 568, 649, 1200, 328, 1342, 272, 273, 274, 275, 276, 12, 12, 268, 995, 847, 713, 1713],
        ),
        ("  lead  trail  ", &[1712, 534, 680, 752, 958, 1713]),
        (
            "é e\u{301} İstanbul ß Ꭰ",
            &[1712, 127, 358, 127, 358, 328, 136, 485, 522, 514, 609, 331, 127, 509, 166, 255, 364, 1713],
        ),
        (
            " nbsp\u{3000}ideographic\u{2028}ls \u{1c}\u{1d}\u{85}",
            &[1712, 77, 65, 82, 335, 72, 561, 78, 782, 79, 677, 322, 1268, 216, 473, 1713],
        ),
        (
            "हिन्दी नमस्ते العربية ไทย",
            &[
                1712, 156, 97, 373, 156, 97, 379, 156, 97, 357, 156, 98, 491, 156, 97, 355, 156, 98, 478, 156, 97, 101,
                156, 97, 106, 156, 97, 372, 156, 98, 491, 156, 97, 353, 156, 98, 485, 148, 100, 149, 226, 148, 117,
                148, 109, 148, 101, 149, 232, 148, 358, 156, 117, 226, 156, 116, 245, 156, 116, 351, 1713,
            ],
        ),
        ("x²½ Ⅷ ９ ٣", &[1712, 343, 126, 366, 126, 377, 158, 227, 371, 171, 120, 503, 149, 352, 1713]),
        ("ǅ", &[1712, 131, 484, 1713]),
        ("", &[1712, 1713]),
        ("a_b-c.d", &[1712, 320, 318, 321, 268, 322, 269, 323, 1713]),
    ];
    for (text, expected) in cases {
        assert_eq!(ids(&tokenizer, text), expected, "{text:?}");
    }
}

/// The files of the Stable Diffusion 2.x repositories: the older map names "!" as padding, which makes it special in prompts too.
#[test]
fn padding_of_stable_diffusion_2() {
    let flags = |content| json!({"content": content, "lstrip": false, "normalized": true, "rstrip": false, "single_word": false});
    let map = json!({"bos_token": flags("<|startoftext|>"), "eos_token": flags("<|endoftext|>"), "pad_token": "!",
        "unk_token": flags("<|endoftext|>")});
    let config = json!({"model_max_length": 77, "pad_token": "<|endoftext|>", "bos_token": flags("<|startoftext|>")});
    let folder = with_config(Some(config), Some(map.clone()));
    let tokenizer = Tokenizer::clip(folder.path(), 77).unwrap();
    let tokens = tokenizer.encode("A photo!").unwrap();
    assert_eq!(tokens.ids[..6], [1712, 320, 1125, 0, 1713, 0]);
    assert_eq!((tokens.ids.len(), tokens.length, tokens.ids[76]), (77, 5, 0));
    assert_eq!(ids(&tokenizer, "<|endoftext|> x <|ENDOFTEXT|> y"), [1712, 1713, 343, 1713, 344, 1713]);

    // a list of added tokens makes the older map void
    let config = json!({"pad_token": "<|endoftext|>", "added_tokens_decoder": {"1713": flags("<|endoftext|>")}});
    let folder = with_config(Some(config), Some(map));
    assert_eq!(Tokenizer::clip(folder.path(), 77).unwrap().encode("A photo!").unwrap().ids[3..6], [256, 1713, 1713]);
}

#[test]
fn a_prompt_of_10_000_words_is_cut_and_counted() {
    let tokenizer = Tokenizer::clip(&fixtures().join("sd1/pipeline/tokenizer"), 77).unwrap();
    let tokens = tokenizer.encode(&"cat ".repeat(10_000)).unwrap();
    let of_one = tokenizer.encode("cat").unwrap().length - 2;
    assert_eq!((tokens.ids.len(), tokens.length), (77, 77));
    assert_eq!((tokens.ids[0], tokens.ids[76]), (1712, 1713));
    assert_eq!(tokens.dropped, 10_000 * of_one - 75);
    assert_eq!(
        tokenizer.encode("").unwrap(),
        Tokens { ids: [vec![1712], vec![1713; 76]].concat(), length: 2, dropped: 0 }
    );
}

#[test]
fn the_smaller_length_counts() {
    let length = |config, positions| {
        let folder = with_config(config, None);
        Tokenizer::clip(folder.path(), positions).unwrap().encode("a photo of a cat").unwrap().ids.len()
    };
    assert_eq!(length(None, 77), 77);
    assert_eq!(length(Some(json!({"model_max_length": 1e30})), 77), 77);
    assert_eq!(length(Some(json!({"model_max_length": 20})), 77), 20);
    assert_eq!(length(Some(json!({"model_max_length": 77})), 3), 3);
}

#[test]
fn what_is_wrong_is_said() {
    let message = |folder: &Path| Tokenizer::clip(folder, 77).unwrap_err().to_string();
    let empty = tempfile::tempdir().unwrap();
    let here = |name| empty.path().join(name).display().to_string();
    assert_eq!(
        message(empty.path()),
        format!(
            "{}: no tokenizer here: expected tokenizer.json, or vocab.json with merges.txt",
            empty.path().display()
        )
    );
    fs::write(empty.path().join("vocab.json"), r#"{"a": 0}"#).unwrap();
    fs::write(empty.path().join("merges.txt"), "#version: 0.2\na\n").unwrap();
    assert_eq!(
        message(empty.path()),
        format!("{}: line 2: \"a\" is not two parts with a blank between", here("merges.txt"))
    );
    fs::write(empty.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    assert_eq!(
        message(empty.path()),
        format!("{}: the special token \"<|startoftext|>\" is not in the vocabulary", here("vocab.json"))
    );
    let vocab = r#"{"a": 0, "b": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}"#;
    fs::write(empty.path().join("vocab.json"), vocab).unwrap();
    fs::write(empty.path().join("merges.txt"), "a b\n").unwrap();
    assert_eq!(message(empty.path()), format!("{}: Token `ab` out of vocabulary", here("vocab.json")));
    fs::write(empty.path().join("tokenizer.json"), "[1").unwrap();
    assert!(message(empty.path()).starts_with(&format!("{}: ", here("tokenizer.json"))));
}

#[test]
fn sentence_ids_equal_the_fixture() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.native/sentence/all-MiniLM-L6-v2/tokenizer.json");
    assert!(file.is_file(), "the sentence encoder is not installed: run `cargo xtask setup`");
    let bytes = fs::read(fixtures().join("sentence.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = metadata.metadata().as_ref().unwrap();
    let prompts: Vec<String> = serde_json::from_str(&metadata["prompts"]).unwrap();
    let tokenizer = Tokenizer::sentence(&file, metadata["max_length"].parse().unwrap()).unwrap();
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (i, prompt) in prompts.iter().enumerate() {
        let tokens = tokenizer.encode(prompt).unwrap();
        let found: Vec<i64> = tokens.ids.iter().copied().map(i64::from).collect();
        assert_eq!(found, int64(reference.tensor(&format!("{i}.input_ids")).unwrap().data()), "{prompt:?}");
        assert_eq!(tokens.length, tokens.ids.len());
    }
    assert!(tokenizer.encode(&prompts[4]).unwrap().dropped > 0);
}
