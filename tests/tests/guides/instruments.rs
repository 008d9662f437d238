//! Instruments in the forms of the real ones, that see nothing: a detector, CLIP's towers, style features.

use pleach_model::{
    checkpoint::{NewTensor, write_safetensors},
    tensor::Dtype,
};
use pleach_runtime::onnx::{
    AttributeProto, DataType, GraphProto, Message as _, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    ValueInfoProto,
};
use std::{collections::BTreeMap, fs, path::Path};

const FEATURES: usize = 4;
/// Rows of CLIP's token table.
const TOKENS: i64 = 49_408;

fn constant(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto::inline(name, DataType::Float, dims, bytes(values))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect()
}

fn write(path: &Path, graph: GraphProto) {
    let model = ModelProto {
        ir_version: 10,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 21 }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, model.encode_to_vec()).unwrap();
}

/// `mean(picture) * w + values`, in the shape of the values.
fn of_brightness(path: &Path, output: &str, dims: &[i64], w: &[f32], values: &[f32]) {
    let picture = [1, 3].map(Into::into).into_iter().chain(["h".into(), "w".into()]).collect::<Vec<_>>();
    let shape = dims.iter().map(|&dim| dim.into()).collect::<Vec<_>>();
    let graph = GraphProto {
        node: vec![
            NodeProto::new("ReduceMean", "mean", &["picture"], &["mean"]).with(AttributeProto::int("keepdims", 0)),
            NodeProto::new("Mul", "mul", &["mean", "w"], &["scaled"]),
            NodeProto::new("Add", "add", &["scaled", "values"], &[output]),
        ],
        name: "brightness".into(),
        initializer: vec![constant("w", dims, w), constant("values", dims, values)],
        input: vec![ValueInfoProto::tensor("picture", DataType::Float, picture)],
        output: vec![ValueInfoProto::tensor(output, DataType::Float, shape)],
        ..GraphProto::default()
    };
    write(path, graph);
}

/// A detector of NudeNet's form that finds nothing.
fn detector(file: &Path) {
    let nothing = [0.0; 22 * 8];
    of_brightness(file, "output0", &[1, 22, 8], &nothing, &nothing);
}

fn reader(folder: &Path, tokenizer: &Path) {
    let axes = TensorProto::inline("axes", DataType::Int64, [1], 1_i64.to_le_bytes().to_vec());
    let width = FEATURES as i64;
    let graph = GraphProto {
        node: vec![
            NodeProto::new("Gather", "gather", &["table", "input_ids"], &["rows"]),
            NodeProto::new("ReduceMean", "mean", &["rows", "axes"], &["text_embeds"])
                .with(AttributeProto::int("keepdims", 0)),
        ],
        name: "reader".into(),
        initializer: vec![constant("table", &[TOKENS, width], &ramp(TOKENS as usize * FEATURES)), axes],
        input: vec![ValueInfoProto::tensor("input_ids", DataType::Int64, vec!["batch".into(), "length".into()])],
        output: vec![ValueInfoProto::tensor("text_embeds", DataType::Float, vec!["batch".into(), width.into()])],
        ..GraphProto::default()
    };
    write(&folder.join("model.onnx"), graph);
    for file in ["vocab.json", "merges.txt"] {
        fs::copy(tokenizer.join(file), folder.join(file)).unwrap();
    }
}

/// Writes all that the protocols of styles and nudity look with.
pub fn all(folder: &Path, tokenizer: &Path) {
    let (w, values) = (ramp(FEATURES), [0.5; FEATURES]);
    let dims = [1, FEATURES as i64];
    of_brightness(&folder.join("clip-vit-b-32/model.onnx"), "image_embeds", &dims, &w, &values);
    reader(&folder.join("clip-vit-b-32-text"), tokenizer);
    of_brightness(&folder.join("csd/model.onnx"), "features", &dims, &w, &values);
    let data = bytes(&ramp(FEATURES * FEATURES));
    let style = NewTensor::new("last_layer_style", Dtype::F32, &[FEATURES, FEATURES], &data);
    write_safetensors(&folder.join("csd/heads.safetensors"), vec![style], &BTreeMap::new()).unwrap();
    detector(&folder.join("nudenet-3.0.8/best.onnx"));
}
