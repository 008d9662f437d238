//! Instruments over graphs of a few numbers, and against the packages' own pre- and post-processing.

use image::RgbImage;
use pleach_evaluator::{
    instrument::{Activation, Description, Error, FILE, Found, Instrument, Kind, Observation, Scores},
    kid::{Subsets, kernel_distance},
};
use pleach_model::{
    tokenizer::Tokenizer,
    vision::{Choice, Head, VisionConfig},
};
use pleach_runtime::{
    engine::{Engine, EngineOptions},
    onnx::{
        AttributeProto, DataType, GraphProto, Message as _, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
        ValueInfoProto,
    },
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{fs, path::Path};

const FLOAT: DataType = DataType::Float;

fn engine() -> Engine {
    Engine::start(&EngineOptions::default()).unwrap()
}

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures"))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn constant(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto::inline(name, FLOAT, dims, bytes(values))
}

/// Values without a pattern, between -1 and 1.
fn noise(count: usize, mut seed: u32) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A picture without a pattern.
fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    let values = noise((3 * width * height) as usize, seed).into_iter().map(|value| (127.5 + 127.0 * value) as u8);
    RgbImage::from_raw(width, height, values.collect()).unwrap()
}

fn save(folder: &Path, nodes: Vec<NodeProto>, constants: Vec<TensorProto>, input: &[i64], output: &[&str]) {
    let dims = |dims: &[i64]| dims.iter().map(|&dim| dim.into()).collect::<Vec<_>>();
    let value = |name: &&str| ValueInfoProto::tensor(name, FLOAT, vec!["batch".into(), "values".into()]);
    let graph = GraphProto {
        node: nodes,
        name: "graph".into(),
        initializer: constants,
        input: vec![ValueInfoProto::tensor("picture", FLOAT, dims(input))],
        output: output.iter().map(value).collect(),
        ..GraphProto::default()
    };
    write(folder, graph);
}

fn write(folder: &Path, graph: GraphProto) {
    let model = ModelProto {
        ir_version: 10,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 21 }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
}

/// `features = flatten(picture) @ w`, for pictures of 8 x 8 pixels.
fn linear(folder: &Path, features: usize) -> Vec<f32> {
    let weights = noise(3 * 64 * features, 5);
    let nodes = vec![
        NodeProto::new("Flatten", "flatten", &["picture"], &["flat"]),
        NodeProto::new("MatMul", "linear", &["flat", "w"], &["features"]),
    ];
    save(folder, nodes, vec![constant("w", &[3 * 64, features as i64], &weights)], &[-1, 3, 8, 8], &["features"]);
    weights
}

/// A graph that gives `values` of the shape `dims` for every picture.
fn always(folder: &Path, dims: &[i64], values: &[f32]) {
    let nodes = vec![
        NodeProto::new("ReduceMean", "mean", &["picture"], &["mean"]).with(AttributeProto::int("keepdims", 0)),
        NodeProto::new("Mul", "nothing", &["mean", "zero"], &["nothing"]),
        NodeProto::new("Add", "add", &["values", "nothing"], &["out"]),
    ];
    let value = ValueInfoProto::tensor("out", FLOAT, dims.iter().map(|&dim| dim.into()).collect::<Vec<_>>());
    let graph = GraphProto {
        node: nodes,
        name: "always".into(),
        initializer: vec![constant("values", dims, values), constant("zero", &[], &[0.0])],
        input: vec![ValueInfoProto::tensor(
            "picture",
            FLOAT,
            [1, 3].map(Into::into).into_iter().chain(["h".into(), "w".into()]),
        )],
        output: vec![value],
        ..GraphProto::default()
    };
    write(folder, graph);
}

fn matrix(folder: &Path, file: &str, name: &str, shape: [usize; 2], values: &[f32]) {
    let data = bytes(values);
    let view = TensorView::new(Dtype::F32, shape.to_vec(), &data).unwrap();
    fs::write(folder.join(file), safetensors::serialize([(name, view)], None).unwrap()).unwrap();
}

const INPUT: &str = r#"
[instrument.input]
width = 8
height = 8
fit = "squash"
filter = "pillow-bilinear"
"#;

fn describe(instrument: &str, input: &str) -> Description {
    let text = format!("name = \"test\"\n[instrument]\n{instrument}\n{input}");
    Description::parse(&text, Path::new(FILE)).unwrap()
}

fn open(description: &Description, folder: &Path) -> Result<Instrument, Error> {
    Instrument::open(&engine(), description, folder)
}

fn features(observation: &Observation) -> &[f32] {
    observation.features().unwrap()
}

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
    let head = |name: &str, classes: [&str; 2], choice| Head {
        name: name.into(),
        classes: classes.map(str::to_owned).to_vec(),
        choice,
    };
    let config = VisionConfig {
        in_channels: 3,
        block_out_channels: vec![8],
        layers_per_block: 1,
        norm_num_groups: 1,
        features: 2,
        heads: vec![head("style", ["flat", "dotted"], Choice::OneOf), head("shape", ["star", "ring"], Choice::AnyOf)],
    };
    fs::write(folder.path().join("config.json"), config.to_json().to_string()).unwrap();
    let mean =
        NodeProto::new("ReduceMean", "mean", &["sample", "axes"], &["mean"]).with(AttributeProto::int("keepdims", 0));
    let product = |name: &str| NodeProto::new("MatMul", name, &["mean", "w"], &[name]);
    let value = |name: &str| ValueInfoProto::tensor(name, FLOAT, ["batch".into(), 2.into()]);
    let axes: Vec<u8> = [2i64, 3].iter().flat_map(|axis| axis.to_le_bytes()).collect();
    let graph = GraphProto {
        node: vec![mean, product("features"), product("style"), product("shape")],
        name: "judge".into(),
        initializer: vec![
            TensorProto::inline("axes", DataType::Int64, [2], axes),
            constant("w", &[3, 2], &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0]),
        ],
        input: vec![ValueInfoProto::tensor(
            "sample",
            FLOAT,
            ["batch".into(), 3.into(), "height".into(), "width".into()],
        )],
        output: ["features", "style", "shape"].map(value).to_vec(),
        ..GraphProto::default()
    };
    write(folder.path(), graph);
    let mut judge = open(&describe("kind = \"judge\"", ""), folder.path()).unwrap();
    assert_eq!(judge.heads(), config.heads);
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

/// The references: tensors by name, and the packages' detections.
fn references() -> (Vec<u8>, serde_json::Value) {
    let read = |name: &str| fs::read(fixtures().join("instruments").join(name)).unwrap();
    (read("references.safetensors"), serde_json::from_slice(&read("references.json")).unwrap())
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    file.tensor(name).unwrap().data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// A graph that gives its input back, flat, shows how pictures are prepared.
#[test]
fn pictures_are_prepared_as_the_packages_do_it() {
    let (bytes, _) = references();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, reference, side) in [
        ("nudenet", "nudenet", 32),
        ("nudenet-3.0.8", "nudenet-3.0.8", 32),
        ("clip-vit-base-patch32", "clip", 32),
        ("csd", "clip", 32),
        ("q16", "clip", 32),
        ("inception", "inception", 29),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let nodes = vec![NodeProto::new("Flatten", "flatten", &["picture"], &["flat"])];
        save(folder.path(), nodes, Vec::new(), &[1, 3, side, side], &["flat"]);
        let mut input = Description::builtin(name).unwrap().instrument.input().unwrap().clone();
        (input.width, input.height) = (side as u32, side as u32);
        let mut description = describe("kind = \"embedding\"\ngraph = \"model.onnx\"", INPUT);
        *description.instrument.input_mut().unwrap() = input;
        let mut instrument = open(&description, folder.path()).unwrap();
        for picture in ["wide", "tall", "square", "odd"] {
            let source = file.tensor(&format!("source.{picture}")).unwrap();
            let (height, width) = (source.shape()[0] as u32, source.shape()[1] as u32);
            let source = RgbImage::from_raw(width, height, source.data().to_vec()).unwrap();
            let found = instrument.look(&[&source]).unwrap();
            let expected = tensor(&file, &format!("{reference}.{picture}"));
            assert_eq!(features(&found[0]).len(), expected.len());
            for (found, expected) in features(&found[0]).iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-6, "{name}, {picture}: {found} for {expected}");
            }
        }
    }
}

/// Boxes that the network says, through NMS and clipping to pixels, by both packages' own code.
#[test]
fn boxes_are_made_as_the_packages_do_it() {
    let (bytes, json) = references();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let output = tensor(&file, "output");
    for name in ["nudenet", "nudenet-3.0.8"] {
        let folder = tempfile::tempdir().unwrap();
        always(folder.path(), &[1, 22, 300], &output);
        let mut description = Description::builtin(name).unwrap();
        description.files.clear();
        let Kind::Yolo(yolo) = &mut description.instrument else { panic!() };
        yolo.graph = "model.onnx".into();
        let mut instrument = open(&description, folder.path()).unwrap();
        for (size, expected) in json["detections"].as_object().unwrap() {
            let (width, height) = size.split_once('x').unwrap();
            let picture = RgbImage::new(width.parse().unwrap(), height.parse().unwrap());
            let Observation::Boxes(found) = instrument.look(&[&picture]).unwrap().remove(0) else { panic!() };
            let expected: Vec<Found> = expected[name]
                .as_array()
                .unwrap()
                .iter()
                .map(|found| Found {
                    label: found["class"].as_str().unwrap().into(),
                    score: found["score"].as_f64().unwrap() as f32,
                    bounds: [0, 1, 2, 3].map(|i| found["box"][i].as_i64().unwrap() as f32),
                })
                .collect();
            assert_eq!(found, expected, "{name}, {size}");
        }
    }
}

#[test]
fn kernel_distances_agree_with_numpy() {
    let (_, json) = references();
    let bytes = fs::read(fixtures().join("frechet.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, expected) in json["kernel_distances"].as_object().unwrap() {
        let set = |side: &str| {
            let tensor = file.tensor(&format!("{name}.{side}")).unwrap();
            let values: Vec<f64> = tensor.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
            (values, tensor.shape()[1])
        };
        let ((a, dimensions), (b, _)) = (set("a"), set("b"));
        let (found, expected) = (kernel_distance(&a, &b, dimensions).unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{name}: {found} for {expected}");
        // The mean over subsets does not depend on their size.
        let kid = Subsets { count: 200, size: 12, seed: 1 }.kernel_distance(&a, &b, dimensions).unwrap();
        assert!((kid.mean - expected).abs() < 4.0 * kid.spread / 200f64.sqrt(), "{name}: {kid:?} for {expected}");
    }
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
    assert_eq!(serde_json::from_str::<pleach_evaluator::instrument::Identity>(&json).unwrap(), first);
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
