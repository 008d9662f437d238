//! Small models for tests.

use super::*;
use crate::onnx::{
    AttributeProto, Bytes, DataType, DimensionValue, GraphProto, Message as _, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use std::{fs, path::Path};

pub const FLOAT: DataType = DataType::Float;

pub fn engine() -> Engine {
    Engine::start(&EngineOptions::default()).unwrap()
}

/// Little-endian bytes, as files hold them.
pub fn bytes(elements: &[f32]) -> Bytes {
    elements.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>().into()
}

pub fn value(name: &str, shape: &[&str]) -> ValueInfoProto {
    let dim = |text: &&str| text.parse::<i64>().map_or_else(|_| DimensionValue::from(*text), DimensionValue::from);
    ValueInfoProto::tensor(name, FLOAT, shape.iter().map(dim))
}

pub fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 10,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 21 }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// `y = x @ w`, with `x` of shape `[batch, 2]` and `w` of `[2, 3]`.
pub fn linear(w: TensorProto) -> ModelProto {
    model(GraphProto {
        node: vec![NodeProto::new("MatMul", "linear", &["x", "w"], &["y"])],
        name: "linear".into(),
        initializer: vec![w],
        input: vec![value("x", &["batch", "2"])],
        output: vec![value("y", &["batch", "3"])],
        ..GraphProto::default()
    })
}

pub const W: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

/// [`linear`] with its weights 4 bytes into the file `location`.
pub fn external(location: &str) -> ModelProto {
    linear(TensorProto::external("w", FLOAT, [2, 3], location, 4, 24))
}

/// The file of weights that [`external`] wants.
pub fn weights() -> Vec<u8> {
    [&[0; 4], bytes(&W).as_ref()].concat()
}

/// Two convolutions with an activation and a matrix product: what ONNX Runtime fuses, lays out anew and packs.
pub fn mixed(channels: usize) -> (ModelProto, Vec<u8>) {
    let mut data = Vec::new();
    let mut seed = 1u32;
    let mut tensor = |name: &str, dims: &[usize]| {
        let numel: usize = dims.iter().product();
        let offset = data.len() as u64;
        for _ in 0..numel {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = (seed >> 8) as f32 / (1 << 24) as f32 - 0.5;
            data.extend((x / (numel as f32).sqrt()).to_le_bytes());
        }
        let dims: Vec<i64> = dims.iter().map(|&size| size as i64).collect();
        TensorProto::external(name, FLOAT, dims, "model.onnx_data", offset, numel as u64 * 4)
    };
    let c = channels;
    let initializer = vec![
        tensor("w1", &[c, 4, 3, 3]),
        tensor("b1", &[c]),
        tensor("w2", &[c, c, 3, 3]),
        tensor("b2", &[c]),
        tensor("w3", &[8, c * 2]),
    ];
    let conv = |name: &str, x: &str, w: &str, b: &str, y: &str| {
        NodeProto::new("Conv", name, &[x, w, b], &[y]).with(AttributeProto::ints("pads", [1, 1, 1, 1]))
    };
    let graph = GraphProto {
        node: vec![
            conv("conv1", "x", "w1", "b1", "a"),
            NodeProto::new("Sigmoid", "sigmoid", &["a"], &["s"]),
            NodeProto::new("Mul", "silu", &["a", "s"], &["m"]),
            conv("conv2", "m", "w2", "b2", "n"),
            NodeProto::new("MatMul", "linear", &["n", "w3"], &["y"]),
        ],
        name: "mixed".into(),
        initializer,
        input: vec![value("x", &["batch", "4", "height", "8"])],
        output: vec![value("y", &["batch", &c.to_string(), "height", &(c * 2).to_string()])],
        ..GraphProto::default()
    };
    (model(graph), data)
}

/// Matrix products in f32, with 8 bits, and with blocks of `bits`: what ONNX Runtime packs. The matrices are of 8 x a, a x b, b x 96, 96 x c.
pub fn products([a, b, c]: [usize; 3], bits: usize) -> (ModelProto, Vec<u8>) {
    let mut data: Vec<u8> = Vec::new();
    let mut seed = 1u32;
    let mut tensor = |name: &str, kind: DataType, dims: &[usize]| {
        let offset = data.len().next_multiple_of(64);
        data.resize(offset, 0);
        for _ in 0..dims.iter().product::<usize>() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match kind {
                DataType::Float => data.extend(((seed >> 8) as f32 / (1 << 24) as f32 * 0.1).to_le_bytes()),
                _ => data.push((seed >> 24) as u8),
            }
        }
        let (length, dims) = ((data.len() - offset) as u64, dims.iter().map(|&size| size as i64));
        TensorProto::external(name, kind, dims.collect::<Vec<_>>(), "model.onnx_data", offset as u64, length)
    };
    let initializer = vec![
        tensor("w1", FLOAT, &[8, a]),
        tensor("w2", DataType::Int8, &[a, b]),
        tensor("s2", FLOAT, &[b]),
        tensor("w3", FLOAT, &[b, 96]),
        tensor("w4", DataType::Uint8, &[c, 3, 4 * bits]),
        tensor("s4", FLOAT, &[c * 3]),
        tensor("z4", DataType::Uint8, &[c * (3 * bits).div_ceil(8)]),
    ];
    let microsoft = |mut node: NodeProto| {
        node.domain = "com.microsoft".into();
        node
    };
    let blocks = [("K", 96), ("N", c as i64), ("bits", bits as i64), ("block_size", 32), ("accuracy_level", 4)];
    let blocks = blocks
        .into_iter()
        .fold(NodeProto::new("MatMulNBits", "blocks", &["q", "w4", "s4", "z4"], &["y"]), |node, (name, value)| {
            node.with(AttributeProto::int(name, value))
        });
    let graph = GraphProto {
        node: vec![
            NodeProto::new("MatMul", "first", &["x", "w1"], &["a"]),
            microsoft(NodeProto::new("DynamicQuantizeMatMul", "bytes", &["a", "w2", "s2"], &["b"])),
            NodeProto::new("MatMul", "second", &["b", "w3"], &["q"]),
            microsoft(blocks),
        ],
        name: "products".into(),
        initializer,
        input: vec![value("x", &["batch", "4", "height", "8"])],
        output: vec![value("y", &["batch", "4", "height", &c.to_string()])],
        ..GraphProto::default()
    };
    let mut model = model(graph);
    model.opset_import.push(OperatorSetIdProto { domain: "com.microsoft".into(), version: 1 });
    (model, data)
}

/// An 8-bit convolution of 4 channels to `channels`, of which ONNX Runtime makes a `QLinearConv`. Its weights are small enough for kernels that
/// add pairs of products in 16 bits.
pub fn quantised(channels: usize) -> (ModelProto, Vec<u8>) {
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 25) as i8 - 63
    };
    let w: Vec<u8> = (0..channels * 4 * 9).map(|_| next() as u8).collect();
    let b: Vec<u8> = (0..channels).flat_map(|_| (i32::from(next()) * 9).to_le_bytes()).collect();
    let (c, number) = (channels as i64, |x: f32| bytes(&[x]));
    let each = |x: f32| bytes(&vec![x; channels]);
    let weights = TensorProto::external("w", DataType::Int8, [c, 4, 3, 3], "model.onnx_data", 0, w.len() as u64);
    let initializer = vec![
        weights,
        TensorProto::inline("ws", FLOAT, [c], each(0.01)),
        TensorProto::inline("wz", DataType::Int8, [c], vec![0; channels]),
        TensorProto::inline("b", DataType::Int32, [c], b),
        TensorProto::inline("bs", FLOAT, [c], each(0.01 * 0.008)),
        TensorProto::inline("bz", DataType::Int32, [c], vec![0; 4 * channels]),
        TensorProto::inline("xs", FLOAT, [], number(0.008)),
        TensorProto::inline("xz", DataType::Uint8, [], vec![120]),
        TensorProto::inline("ys", FLOAT, [], number(0.02)),
        TensorProto::inline("yz", DataType::Uint8, [], vec![130]),
    ];
    let per_channel = |node: NodeProto| node.with(AttributeProto::int("axis", 0));
    let graph = GraphProto {
        node: vec![
            NodeProto::new("QuantizeLinear", "x8", &["x", "xs", "xz"], &["x8"]),
            NodeProto::new("DequantizeLinear", "xf", &["x8", "xs", "xz"], &["xf"]),
            per_channel(NodeProto::new("DequantizeLinear", "wf", &["w", "ws", "wz"], &["wf"])),
            per_channel(NodeProto::new("DequantizeLinear", "bf", &["b", "bs", "bz"], &["bf"])),
            NodeProto::new("Conv", "conv", &["xf", "wf", "bf"], &["c"])
                .with(AttributeProto::ints("pads", [1, 1, 1, 1]))
                .with(AttributeProto::ints("kernel_shape", [3, 3])),
            NodeProto::new("QuantizeLinear", "y8", &["c", "ys", "yz"], &["y8"]),
            NodeProto::new("DequantizeLinear", "yf", &["y8", "ys", "yz"], &["y"]),
        ],
        name: "quantised".into(),
        initializer,
        input: vec![value("x", &["batch", "4", "height", "8"])],
        output: vec![value("y", &["batch", &c.to_string(), "height", "8"])],
        ..GraphProto::default()
    };
    (model(graph), w)
}

/// Writes `model.onnx`, and `model.onnx_data` if there are weights.
pub fn save(folder: &Path, model: &ModelProto, weights: Option<&[u8]>) {
    fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
    if let Some(weights) = weights {
        fs::write(folder.join("model.onnx_data"), weights).unwrap();
    }
}
