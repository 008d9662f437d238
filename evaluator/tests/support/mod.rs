//! Instruments over graphs of a few numbers.

#![allow(dead_code, reason = "each test takes what it needs")]

use image::RgbImage;
use pleach_evaluator::instrument::{Description, Error, FILE, Instrument, Observation};
use pleach_model::vision::{Choice, Head, VisionConfig};
use pleach_runtime::{
    engine::{Engine, EngineOptions},
    onnx::{
        AttributeProto, DataType, GraphProto, Message as _, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
        ValueInfoProto,
    },
};
use safetensors::{Dtype, tensor::TensorView};
use std::{fs, path::Path};

/// Single precision.
pub const FLOAT: DataType = DataType::Float;

/// ONNX Runtime.
pub fn engine() -> Engine {
    Engine::start(&EngineOptions::default()).unwrap()
}

/// The folder of the fixtures.
pub fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures"))
}

/// Little-endian bytes.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A constant of a graph.
pub fn constant(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto::inline(name, FLOAT, dims, bytes(values))
}

/// Values without a pattern, between -1 and 1.
pub fn noise(count: usize, mut seed: u32) -> Vec<f32> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A picture without a pattern.
pub fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    let values = noise((3 * width * height) as usize, seed).into_iter().map(|value| (127.5 + 127.0 * value) as u8);
    RgbImage::from_raw(width, height, values.collect()).unwrap()
}

/// Writes `model.onnx`: from `picture` to outputs `[batch, values]`.
pub fn save(folder: &Path, nodes: Vec<NodeProto>, constants: Vec<TensorProto>, input: &[i64], output: &[&str]) {
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

/// Writes `model.onnx`.
pub fn write(folder: &Path, graph: GraphProto) {
    let model = ModelProto {
        ir_version: 10,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 21 }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
}

/// `features = flatten(picture) @ w`, for pictures of 8 x 8 pixels.
pub fn linear(folder: &Path, features: usize) -> Vec<f32> {
    let weights = noise(3 * 64 * features, 5);
    let nodes = vec![
        NodeProto::new("Flatten", "flatten", &["picture"], &["flat"]),
        NodeProto::new("MatMul", "linear", &["flat", "w"], &["features"]),
    ];
    save(folder, nodes, vec![constant("w", &[3 * 64, features as i64], &weights)], &[-1, 3, 8, 8], &["features"]);
    weights
}

/// A graph that gives `values` of the shape `dims` for every picture.
pub fn always(folder: &Path, dims: &[i64], values: &[f32]) {
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

/// Writes a judge as `pleach export` does, with the heads `style` and `shape`: features and scores are the mean colour times
/// `weights` `[3, 2]`. Gives the heads that it was written with.
pub fn judge(folder: &Path, choices: [Choice; 2], weights: [[f32; 6]; 3]) -> Vec<Head> {
    let head = |name: &str, classes: [&str; 2], choice| Head {
        name: name.into(),
        classes: classes.map(str::to_owned).to_vec(),
        choice,
    };
    let [style, shape] = choices;
    let config = VisionConfig {
        in_channels: 3,
        block_out_channels: vec![8],
        layers_per_block: 1,
        norm_num_groups: 1,
        features: 2,
        heads: vec![head("style", ["flat", "dotted"], style), head("shape", ["star", "ring"], shape)],
    };
    fs::write(folder.join("config.json"), config.to_json().to_string()).unwrap();
    let mean =
        NodeProto::new("ReduceMean", "mean", &["sample", "axes"], &["mean"]).with(AttributeProto::int("keepdims", 0));
    let outputs = ["features", "style", "shape"];
    let product = |name: &str| NodeProto::new("MatMul", name, &["mean", &format!("{name}-w")], &[name]);
    let value = |name: &str| ValueInfoProto::tensor(name, FLOAT, ["batch".into(), 2.into()]);
    let axes: Vec<u8> = [2i64, 3].iter().flat_map(|axis| axis.to_le_bytes()).collect();
    let matrices = outputs.iter().zip(&weights).map(|(name, weights)| constant(&format!("{name}-w"), &[3, 2], weights));
    let graph = GraphProto {
        node: [mean].into_iter().chain(outputs.map(product)).collect(),
        name: "judge".into(),
        initializer: [TensorProto::inline("axes", DataType::Int64, [2], axes)].into_iter().chain(matrices).collect(),
        input: vec![ValueInfoProto::tensor(
            "sample",
            FLOAT,
            ["batch".into(), 3.into(), "height".into(), "width".into()],
        )],
        output: outputs.map(value).to_vec(),
        ..GraphProto::default()
    };
    write(folder, graph);
    config.heads
}

/// Writes a safetensors file with one matrix.
pub fn matrix(folder: &Path, file: &str, name: &str, shape: [usize; 2], values: &[f32]) {
    let data = bytes(values);
    let view = TensorView::new(Dtype::F32, shape.to_vec(), &data).unwrap();
    fs::write(folder.join(file), safetensors::serialize([(name, view)], None).unwrap()).unwrap();
}

/// How pictures are prepared, as a description says it.
pub const INPUT: &str = r#"
[instrument.input]
width = 8
height = 8
fit = "squash"
filter = "pillow-bilinear"
"#;

/// A description from the inside of its table and its input.
pub fn describe(instrument: &str, input: &str) -> Description {
    let text = format!("name = \"test\"\n[instrument]\n{instrument}\n{input}");
    Description::parse(&text, Path::new(FILE)).unwrap()
}

/// Opens an instrument.
pub fn open(description: &Description, folder: &Path) -> Result<Instrument, Error> {
    Instrument::open(&engine(), description, folder)
}

/// The features of an observation that has some.
pub fn features(observation: &Observation) -> &[f32] {
    observation.features().unwrap()
}
