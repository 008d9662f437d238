//! Instruments over graphs of a few numbers.

mod support;

use image::RgbImage;
use pleach_evaluator::instrument::{Activation, Description, FILE, Found, Identity, Instrument, Observation, Scores};
use pleach_model::{tokenizer::Tokenizer, vision::Choice};
use pleach_runtime::onnx::{AttributeProto, DataType, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use std::{fs, path::Path};
use support::{
    FLOAT, INPUT, always, constant, describe, features, fixtures, judge, linear, matrix, noise, open, picture, write,
};

#[test]
fn an_embedding_is_prepared_projected_and_scaled() {
    let folder = tempfile::tempdir().unwrap();
    let weights = linear(folder.path(), 4);
    let projection = noise(8, 9);
    matrix(folder.path(), "heads.safetensors", "style", [4, 2], &projection);
    let mut plain = open(&describe("kind = \"embedding\"\ngraph = \"model.onnx\"", INPUT), folder.path()).unwrap();
    let projected = "kind = \"embedding\"\ngraph = \"model.onnx\"\nnormalize = true\n\
                     projection = { file = \"heads.safetensors\", tensor = \"style\" }";
    let mut projected = open(&describe(projected, INPUT), folder.path()).unwrap();
    let picture = picture(8, 8, 1);
    let flat: Vec<f64> =
        (0..3).flat_map(|c| picture.pixels().map(move |pixel| f64::from(pixel.0[c]) / 255.0)).collect();
    let product = |vector: &[f64], matrix: &[f32], columns: usize| -> Vec<f64> {
        (0..columns)
            .map(|column| vector.iter().enumerate().map(|(row, v)| v * f64::from(matrix[row * columns + column])).sum())
            .collect()
    };
    let expected = product(&flat, &weights, 4);
    let close = |found: &[f32], expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} for {expected}");
        }
    };
    close(features(&plain.look(&[&picture]).unwrap()[0]), &expected);
    let style = product(&expected, &projection, 2);
    let length = style.iter().map(|value| value * value).sum::<f64>().sqrt();
    let style: Vec<f64> = style.iter().map(|value| value / length).collect();
    close(features(&projected.look(&[&picture]).unwrap()[0]), &style);
}

#[test]
fn a_picture_says_the_same_in_any_company() {
    let folder = tempfile::tempdir().unwrap();
    linear(folder.path(), 16);
    let mut instrument = open(&describe("kind = \"embedding\"\ngraph = \"model.onnx\"", INPUT), folder.path()).unwrap();
    let pictures: Vec<RgbImage> = (0..7).map(|seed| picture(5 + seed, 11 - seed, seed)).collect();
    let all: Vec<&RgbImage> = pictures.iter().collect();
    let together = instrument.look(&all).unwrap();
    for (picture, expected) in all.iter().zip(&together) {
        assert_eq!(instrument.look(&[picture]).unwrap(), std::slice::from_ref(expected));
    }
    let mut reversed = instrument.look(&all.iter().rev().copied().collect::<Vec<_>>()).unwrap();
    reversed.reverse();
    assert_eq!(reversed, together);
    assert_eq!(instrument.look(&[]).unwrap(), []);
}

#[test]
fn classifiers_give_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let logits = [1.0, 3.0, -2.0];
    always(folder.path(), &[1, 3], &logits);
    let instrument = |scores: &str| {
        let text = format!(
            "kind = \"classifier\"\ngraph = \"model.onnx\"\nhead = \"gore\"\nlabels = [\"a\", \"b\", \"c\"]\nscores = \"{scores}\""
        );
        open(&describe(&text, INPUT), folder.path()).unwrap()
    };
    let scores = |mut instrument: Instrument| match instrument.look(&[&picture(9, 9, 0)]).unwrap().remove(0) {
        Observation::Scores(Scores { mut heads, .. }) => heads.remove("gore").unwrap(),
        other => panic!("{other:?}"),
    };
    let powers = logits.map(f32::exp);
    let sum: f32 = powers.iter().sum();
    for (found, expected) in scores(instrument("softmax")).iter().zip(powers.map(|power| power / sum)) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
    for (found, expected) in scores(instrument("sigmoid")).iter().zip(logits.map(|x| 1.0 / (1.0 + (-x).exp()))) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
    assert_eq!(instrument("softmax").heads()[0].classes, ["a", "b", "c"]);
}

/// What `pleach export` writes, with weights that are two numbers.
#[test]
fn a_judge_is_an_instrument_like_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let heads = judge(folder.path(), [Choice::OneOf, Choice::AnyOf], [[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]; 3]);
    let mut judge = open(&describe("kind = \"judge\"", ""), folder.path()).unwrap();
    assert_eq!(judge.heads(), heads);
    assert_eq!(judge.identity().files.keys().collect::<Vec<_>>(), ["config.json", "model.onnx"]);
    // Red becomes 1, green -1.
    let picture = RgbImage::from_pixel(4, 6, image::Rgb([255, 0, 0]));
    let Observation::Scores(scores) = judge.look(&[&picture]).unwrap().remove(0) else { panic!() };
    assert_eq!(scores.features, [1.0, -2.0]);
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let close = |found: &[f32], expected: [f32; 2]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} for {expected:?}");
    };
    close(&scores.heads["style"], [sigmoid(3.0), sigmoid(-3.0)]);
    close(&scores.heads["shape"], [sigmoid(1.0), sigmoid(-2.0)]);
}

#[test]
fn learned_prompts_are_a_softmax_over_cosines() {
    let folder = tempfile::tempdir().unwrap();
    always(folder.path(), &[1, 2], &[3.0, 4.0]);
    matrix(folder.path(), "prompts.safetensors", "prompts", [2, 2], &[6.0, 8.0, 0.8, 0.6]);
    let q16 = "kind = \"q16\"\ngraph = \"model.onnx\"\nlabels = [\"fine\", \"not\"]\n\
               prompts = { file = \"prompts.safetensors\", tensor = \"prompts\" }";
    let mut q16 = open(&describe(q16, INPUT), folder.path()).unwrap();
    let Observation::Scores(scores) = q16.look(&[&picture(8, 8, 3)]).unwrap().remove(0) else { panic!() };
    // Cosines 1 and 0.96.
    let expected = 1.0 / (1.0 + (-4.0f64).exp());
    assert!((f64::from(scores.heads["class"][0]) - expected).abs() < 1e-6, "{scores:?}");
    assert_eq!(scores.features, [3.0, 4.0]);
}

#[test]
fn texts_are_read_with_clips_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = fixtures().join("sd1/pipeline/tokenizer");
    for file in fs::read_dir(&tokenizer).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    // The mean over positions of each id's row.
    let ids = Tokenizer::clip(&tokenizer, 77).unwrap();
    let vocabulary = 1 + *ids.encode("a red star").unwrap().ids.iter().max().unwrap() as usize;
    let table = noise(vocabulary * 3, 2);
    let graph = GraphProto {
        node: vec![
            NodeProto::new("Gather", "gather", &["table", "input_ids"], &["rows"]),
            NodeProto::new("ReduceMean", "mean", &["rows", "axes"], &["text_embeds"])
                .with(AttributeProto::int("keepdims", 0)),
        ],
        name: "text".into(),
        initializer: vec![
            constant("table", &[vocabulary as i64, 3], &table),
            TensorProto::inline("axes", DataType::Int64, [1], 1i64.to_le_bytes().to_vec()),
        ],
        input: vec![ValueInfoProto::tensor("input_ids", DataType::Int64, ["batch".into(), "positions".into()])],
        output: vec![ValueInfoProto::tensor("text_embeds", FLOAT, ["batch".into(), 3.into()])],
        ..GraphProto::default()
    };
    write(folder.path(), graph);
    let mut text = open(&Description::builtin("clip-vit-base-patch32-text").unwrap(), folder.path()).unwrap();
    assert!(text.reads());
    assert!(text.identity().files.contains_key("merges.txt"), "{:?}", text.identity());
    let prompts = ["a red star", "a star"];
    let together = text.read(&prompts).unwrap();
    for (prompt, observation) in prompts.iter().zip(&together) {
        let ids = ids.encode(prompt).unwrap().ids;
        let mut mean = [0.0f64; 3];
        for id in &ids {
            for (sum, value) in mean.iter_mut().zip(&table[*id as usize * 3..]) {
                *sum += f64::from(*value) / ids.len() as f64;
            }
        }
        let length = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (found, expected) in features(observation).iter().zip(mean) {
            assert!((f64::from(*found) - expected / length).abs() < 1e-5, "{observation:?} for {mean:?}");
        }
        assert_eq!(text.read(&[prompt]).unwrap(), std::slice::from_ref(observation));
    }
    let wrong = text.look(&[&picture(8, 8, 0)]).unwrap_err().to_string();
    assert_eq!(wrong, "clip-vit-base-patch32-text is of the kind text_embedding, which does not look at pictures");
}

#[test]
fn what_is_wrong_with_a_description_is_said() {
    let message = |text: &str| Description::parse(text, Path::new(FILE)).unwrap_err().to_string();
    let head = "name = \"test\"\n[instrument]\nkind = \"yolo\"\ngraph = \"model.onnx\"\n";
    for (text, expected) in [
        ("name = 3".to_owned(), "instrument.toml: TOML parse error at line 1"),
        (format!("{head}labels = [\"a\"]\ncolour = 1\n{INPUT}"), "unknown field `colour`"),
        (format!("{head}labels = [\"a\", \"a\"]\n{INPUT}"), "its labels are none, or one stands twice"),
        (format!("{head}labels = [\"a\"]\nfloor = 25\n{INPUT}"), "candidate, floor and overlap are shares"),
        (format!("{head}labels = [\"a\"]\n{}", INPUT.replace("squash", "crop")), "hides part of a picture"),
        (format!("{head}labels = [\"a\"]\n{}", INPUT.replace("width = 8", "width = 0")), "0 x 8 pixels; 1 to 4096"),
        (format!("{head}labels = [\"a\"]\n{INPUT}std = [1.0, 0.0, 1.0]"), "std is not 0"),
        (format!("{head}labels = [\"a\"]\n{INPUT}mean = [nan, 0.0, 1.0]"), "finite numbers"),
        (format!("{head}labels = [\"a\"]\n{INPUT}").replace("model.onnx", "../model.onnx"), "not a path inside"),
        ("name = \"test\"\n[instrument]\nkind = \"oracle\"".into(), "unknown variant `oracle`"),
    ] {
        assert!(message(&text).contains(expected), "{}", message(&text));
    }
    let unknown = Description::builtin("nudnet").unwrap_err().to_string();
    assert!(
        unknown.starts_with("there is no built-in instrument \"nudnet\"; there are: clip-vit-base-patch32, "),
        "{unknown}"
    );
    assert_eq!(Description::builtins().filter(|name| Description::builtin(name).is_err()).count(), 0);
}

#[test]
fn what_is_wrong_with_an_instrument_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let embedding = describe("kind = \"embedding\"\ngraph = \"model.onnx\"", INPUT);
    let fails = |description: &Description| open(description, folder.path()).unwrap_err();
    assert!(fails(&embedding).to_string().contains("cannot read"));
    always(folder.path(), &[1, 2], &[1.0, f32::NAN]);
    let mut nan = open(&embedding, folder.path()).unwrap();
    let error = nan.look(&[&picture(8, 8, 0), &picture(8, 8, 1)]).unwrap_err();
    assert!(error.to_string().starts_with("test: what it gives for item 0 is not finite"), "{error}");
    assert!(nan.read(&["a"]).unwrap_err().to_string().ends_with("which does not look at texts"));
    let narrow = nan.look(&[&RgbImage::new(0, 8)]).unwrap_err().to_string();
    assert_eq!(narrow, "test: a picture of 0 x 8 pixels cannot be brought to 8 pixels");

    let mut pinned = embedding.clone();
    pinned.files.insert("model.onnx".into(), "ab".repeat(32).parse().unwrap());
    let error = fails(&pinned);
    assert!(error.is_integrity() && error.to_string().contains("its description pins abab"), "{error}");
    let named = describe("kind = \"embedding\"\ngraph = \"model.onnx\"\noutput = \"pooled\"", INPUT);
    assert_eq!(fails(&named).to_string(), "test: model.onnx has no output \"pooled\"; it has: out");

    let classes = "kind = \"classifier\"\ngraph = \"model.onnx\"\nlabels = [\"a\"]\nscores = \"softmax\"";
    let error = open(&describe(classes, INPUT), folder.path()).unwrap().look(&[&picture(8, 8, 0)]).unwrap_err();
    assert_eq!(error.to_string(), "test: model.onnx gives the shape [1, 2], the description expects [1, 1]");

    let projected =
        "kind = \"embedding\"\ngraph = \"model.onnx\"\nprojection = { file = \"w.safetensors\", tensor = \"w\" }";
    let projected = describe(projected, INPUT);
    matrix(folder.path(), "w.safetensors", "v", [2, 2], &[1.0; 4]);
    assert_eq!(fails(&projected).to_string(), "test: w.safetensors has no tensor \"w\"; it has: v");
    matrix(folder.path(), "w.safetensors", "w", [2, 2], &[1.0, 1.0, f32::INFINITY, 1.0]);
    assert!(fails(&projected).to_string().ends_with("has numbers in \"w\" that are not finite"));
    fs::write(folder.path().join("w.safetensors"), "zeros").unwrap();
    assert!(fails(&projected).to_string().starts_with("test: w.safetensors is no safetensors file"));

    fs::write(folder.path().join("model.onnx"), [0x80, 2, 0]).unwrap();
    assert!(fails(&embedding).to_string().contains("is a pickle"));

    always(folder.path(), &[1, 5, 1], &[4.0, 4.0, 2.0, 2.0, 7.5]);
    let yolo = describe("kind = \"yolo\"\ngraph = \"model.onnx\"\nlabels = [\"a\"]", INPUT);
    let error = open(&yolo, folder.path()).unwrap().look(&[&picture(8, 8, 0)]).unwrap_err();
    assert_eq!(error.to_string(), "test: model.onnx gives the score 7.5, which is no probability");
}

#[test]
fn an_identity_is_of_every_file_and_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    always(folder.path(), &[1, 2], &[1.0, 2.0]);
    let embedding = "kind = \"embedding\"\ngraph = \"model.onnx\"";
    let of = |description: &Description| open(description, folder.path()).unwrap().identity().clone();
    let first = of(&describe(embedding, INPUT));
    // Defaults that are spelled out change nothing.
    assert_eq!(of(&describe(embedding, &format!("{INPUT}channels = \"rgb\""))), first);
    let other = of(&describe(embedding, &format!("{INPUT}channels = \"bgr\"")));
    assert_eq!(other.files, first.files);
    assert_ne!(other.sha256, first.sha256);
    always(folder.path(), &[1, 2], &[1.0, 3.0]);
    let changed = of(&describe(embedding, INPUT));
    assert_eq!(changed.description, first.description);
    assert_ne!(changed.sha256, first.sha256);
    let json = serde_json::to_string(&first).unwrap();
    assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), first);
}

#[test]
fn observations_survive_json_to_the_bit() {
    for observation in [
        Observation::Features(noise(50, 1)),
        Observation::Boxes(vec![Found { label: "a".into(), score: 0.1 + 0.2, bounds: [0.0, 1.5, 1e-7, 3e6] }]),
        Observation::Scores(Scores { heads: [("h".to_owned(), noise(3, 2))].into(), features: Vec::new() }),
    ] {
        let json = serde_json::to_string(&observation).unwrap();
        assert_eq!(serde_json::from_str::<Observation>(&json).unwrap(), observation, "{json}");
    }
    assert_eq!(Activation::Softmax, serde_json::from_str("\"softmax\"").unwrap());
}
