use super::{blank::Blank, *};
use crate::onnx::{
    AttributeProto, DataType, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use std::{collections::BTreeSet, path::Path};

fn rules(target: Target) -> Rules {
    Rules::of(target).unwrap()
}

fn value(name: &str, kind: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| if size < 0 { DimensionValue::from("n") } else { DimensionValue::from(size) };
    ValueInfoProto::tensor(name, kind, shape.iter().map(dim))
}

fn constant(name: &str, kind: DataType, shape: &[i64]) -> TensorProto {
    let numel: i64 = shape.iter().product();
    let bytes = kind.bits().unwrap() as usize / 8 * numel as usize;
    TensorProto::inline(name, kind, shape, vec![0; bytes])
}

/// A graph of one node. Its inputs are `x` of a type and shape, and constants.
fn one(node: NodeProto, x: (DataType, &[i64]), constants: Vec<TensorProto>) -> Frozen {
    let graph = GraphProto {
        node: vec![node],
        initializer: constants,
        input: vec![value("x", x.0, x.1)],
        ..GraphProto::default()
    };
    Frozen::read(ModelProto { graph: Some(graph), ..ModelProto::default() })
}

/// What is said of the graph's first node.
fn reason(target: Target, graph: &Frozen) -> String {
    rules(target).refuses(graph, &graph.nodes[0]).map_or_else(|| "taken".to_owned(), |reason| reason.text)
}

const F32: DataType = DataType::Float;
const F16: DataType = DataType::Float16;
const I64: DataType = DataType::Int64;

#[test]
fn every_file_of_rules_reads_and_names_its_sources() {
    for target in Target::ALL {
        let rules = rules(target);
        assert_eq!((rules.provider, target.name().parse()), (target, Ok(target)));
        assert!(
            rules.version.contains("onnxruntime") && !rules.sources.is_empty() && !rules.notes.is_empty(),
            "{target}"
        );
        assert!(!rules.operators.is_empty(), "{target}");
    }
    assert_eq!(
        "tensorrt".parse::<Target>().unwrap_err().to_string(),
        "there are no rules for \"tensorrt\"; there are for coreml, nnapi, qnn and xnnpack"
    );
}

#[test]
fn inputs_are_judged_whatever_the_operator() {
    let relu = || NodeProto::new("Relu", "relu", &["x"], &["y"]);
    assert_eq!(reason(Target::CoreMl, &one(relu(), (F32, &[1, 4]), vec![])), "taken");
    assert_eq!(reason(Target::CoreMl, &one(relu(), (F16, &[1, 4]), vec![])), "taken");
    assert_eq!(reason(Target::Nnapi, &one(relu(), (F16, &[1, 4]), vec![])), "input 0 is f16");
    assert_eq!(reason(Target::CoreMl, &one(relu(), (F32, &[-1, 4]), vec![])), "the shape of input 0 is not fixed");
    let high = one(relu(), (F32, &[1; 6]), vec![]);
    assert_eq!(reason(Target::CoreMl, &high), "input 0 has 6 dimensions, at most 5 are taken");
    let nothing = one(NodeProto::new("Relu", "relu", &["nowhere"], &["y"]), (F32, &[1]), vec![]);
    assert_eq!(reason(Target::Qnn, &nothing), "the shape of input 0 is not fixed");
    let unknown = NodeProto { domain: "com.microsoft".into(), ..NodeProto::new("Relu", "relu", &["x"], &["y"]) };
    assert_eq!(reason(Target::CoreMl, &one(unknown, (F32, &[1]), vec![])), "not an operator that it takes");
}

#[test]
fn constants_and_attributes_are_judged_by_operator() {
    let gemm = |b: &str| NodeProto::new("Gemm", "gemm", &["x", b], &["y"]);
    let w = || vec![constant("w", F32, &[4, 4])];
    let x = (F32, &[2i64, 4][..]);
    assert_eq!(reason(Target::CoreMl, &one(gemm("w"), x, w())), "taken");
    assert_eq!(reason(Target::CoreMl, &one(gemm("x"), x, w())), "input 1 is no constant");
    let scaled = gemm("w").with(AttributeProto::float("alpha", 0.5));
    assert_eq!(reason(Target::CoreMl, &one(scaled, x, w())), "alpha is 0.5");
    // NNAPI takes a second matrix that is computed, if it is transposed.
    assert_eq!(reason(Target::Nnapi, &one(gemm("x"), x, w())), "input 1 is no constant");
    let transposed = gemm("x").with(AttributeProto::int("transB", 1));
    assert_eq!(reason(Target::Nnapi, &one(transposed, x, w())), "taken");

    let resize = |mode: &str, place: &str| {
        NodeProto::new("Resize", "resize", &["x", "", "scales"], &["y"])
            .with(AttributeProto::string("mode", mode))
            .with(AttributeProto::string("coordinate_transformation_mode", place))
            .with(AttributeProto::string("nearest_mode", "floor"))
    };
    let picture = (F32, &[1i64, 4, 8, 8][..]);
    let said = |target, node| reason(target, &one(node, picture, vec![constant("scales", F32, &[4])]));
    assert_eq!(said(Target::CoreMl, resize("nearest", "asymmetric")), "taken");
    assert_eq!(said(Target::CoreMl, resize("linear", "half_pixel")), "taken");
    assert_eq!(
        said(Target::CoreMl, resize("nearest", "half_pixel")),
        "coordinate_transformation_mode is \"half_pixel\""
    );
    assert_eq!(said(Target::Nnapi, resize("nearest", "asymmetric")), "input 1 is left out");
    assert_eq!(said(Target::Xnnpack, resize("nearest", "asymmetric")), "mode is \"nearest\"");

    let softmax = |axis| NodeProto::new("Softmax", "softmax", &["x"], &["y"]).with(AttributeProto::int("axis", axis));
    for axis in [-1, 3] {
        assert_eq!(reason(Target::Xnnpack, &one(softmax(axis), picture, vec![])), "taken");
    }
    let first = one(softmax(1), picture, vec![]);
    assert_eq!(reason(Target::Xnnpack, &first), "axis is 1, and only the last one is taken");
    let wide = one(NodeProto::new("Conv", "conv", &["x", "w"], &["y"]), (F32, &[1, 4, 1, 20_000]), w());
    assert_eq!(reason(Target::CoreMl, &wide), "input 0 has a side of 20000, at most 16384 are taken");
    let three = one(NodeProto::new("Max", "max", &["x", "x", "x"], &["y"]), picture, vec![]);
    assert_eq!(reason(Target::Nnapi, &three), "3 inputs, at most 2 are taken");
}

#[test]
fn matrix_products_of_nnapi_are_of_one_rank() {
    let said = |x: &[i64], w: &[i64]| {
        let node = NodeProto::new("MatMul", "matmul", &["x", "w"], &["y"]);
        reason(Target::Nnapi, &one(node, (F32, x), vec![constant("w", F32, w)]))
    };
    assert_eq!(said(&[2, 4], &[4, 4]), "taken");
    assert_eq!(said(&[1, 2, 4], &[1, 4, 4]), "taken");
    assert_eq!(said(&[1, 2, 4], &[4, 4]), "input 1 has 2 dimensions, 3 to 4 are taken");
}

#[test]
fn qnn_scales_channels_for_quantised_layers_alone() {
    let dequantise =
        |input: &str, scale: &str, output: &str| NodeProto::new("DequantizeLinear", output, &[input, scale], &[output]);
    let conv = |x: &str| NodeProto::new("Conv", "conv", &[x, "w"], &["y"]);
    let graph = |x: &str| GraphProto {
        node: vec![dequantise("q", "scale", "x"), dequantise("w.s8", "scales", "w"), conv(x)],
        initializer: vec![
            constant("w.s8", DataType::Int8, &[4, 4, 3, 3]),
            constant("scale", F32, &[]),
            constant("scales", F32, &[4]),
        ],
        input: vec![value("q", DataType::Uint8, &[1, 4, 8, 8]), value("f", F32, &[1, 4, 8, 8])],
        ..GraphProto::default()
    };
    let said = |x: &str| {
        let graph = Frozen::read(ModelProto { graph: Some(graph(x)), ..ModelProto::default() });
        let rules = rules(Target::Qnn);
        [0, 1].map(|i| rules.refuses(&graph, &graph.nodes[i]).map(|reason| reason.text))
    };
    assert_eq!(said("x"), [None, None]);
    assert_eq!(said("f"), [None, Some("input 1 has 1 dimensions, 0 are taken".to_owned())]);
}

/// A graph of nodes `name: input, input`, of which those in capitals are taken.
fn pieces(nodes: &[(&str, &[&str])]) -> Vec<usize> {
    let node = nodes.iter().map(|(name, inputs)| NodeProto::new("Relu", name, inputs, &[name])).collect();
    let graph = Frozen { nodes: node, ..Frozen::default() };
    let taken: Vec<bool> = nodes.iter().map(|(name, _)| name.chars().all(char::is_uppercase)).collect();
    partitions(&graph, &taken)
}

#[test]
fn what_is_not_taken_separates_partitions() {
    assert_eq!(pieces(&[]), [0; 0]);
    assert_eq!(pieces(&[("a", &["x"]), ("b", &["a"])]), [0; 0]);
    assert_eq!(pieces(&[("A", &["x"]), ("B", &["A"]), ("C", &["B"])]), [3]);
    assert_eq!(pieces(&[("A", &["x"]), ("b", &["A"]), ("C", &["b"])]), [1, 1]);
    // In front of everything, it separates nothing.
    assert_eq!(pieces(&[("a", &["x"]), ("B", &["a"]), ("C", &["B"])]), [2]);
}

#[test]
fn nodes_of_a_partition_need_not_touch() {
    assert_eq!(pieces(&[("A", &["x"]), ("B", &["y"])]), [2]);
    // Two ways around one node that is not taken: what it feeds is another partition, the rest is one.
    assert_eq!(pieces(&[("A", &["x"]), ("b", &["A"]), ("C", &["A"]), ("D", &["C", "b"]), ("E", &["C"])]), [3, 1]);
    // Nodes that are not taken, one after the other, cost one border.
    assert_eq!(pieces(&[("A", &["x"]), ("b", &["A"]), ("c", &["b"]), ("D", &["c"])]), [1, 1]);
    // And one that depends on the first partition only does not wait for the second.
    assert_eq!(pieces(&[("A", &["x"]), ("b", &["A"]), ("C", &["b"]), ("d", &["A"]), ("E", &["d", "C"])]), [1, 2]);
}

#[test]
fn a_network_is_summed_up() {
    let node = vec![
        NodeProto::new("Relu", "a", &["x"], &["a"]),
        NodeProto::new("Einsum", "b", &["a"], &["b"]),
        NodeProto::new("Einsum", "c", &["a"], &["c"]),
        NodeProto::new("Relu", "d", &["b"], &["d"]),
    ];
    let value_info = ["a", "b", "c"].map(|name| value(name, F32, &[4])).into();
    let input = vec![value("x", F32, &[4])];
    let graph = GraphProto { node, value_info, input, ..GraphProto::default() };
    let graph = Frozen::read(ModelProto { graph: Some(graph), ..ModelProto::default() });
    let found = |target| NetworkCoverage::of("unet", Some("large"), "unet/large.onnx", &graph, &rules(target));
    let coreml = found(Target::CoreMl);
    assert_eq!(
        (coreml.nodes, coreml.taken, &coreml.partitions[..], coreml.verdict),
        (4, 2, &[1, 1][..], Verdict::Islands)
    );
    let einsum = Missing {
        operator: "Einsum".into(),
        count: 2,
        kind: Kind::Operator,
        reason: "not an operator that it takes".into(),
    };
    assert_eq!(coreml.missing, [einsum]);
    assert_eq!(coreml.to_string(), "islands, 2 of 4 nodes in 2 partitions: runs, but slowly");
    assert_eq!(found(Target::Qnn).to_string(), "all of it, in 1 partition");
    assert_eq!(found(Target::Xnnpack).to_string(), "nothing: all of it runs on the processor");
}

#[test]
fn weights_become_zeros_and_half_precision_comes_back() {
    let node = vec![
        NodeProto::new("Cast", "in", &["x"], &["half"]).with(AttributeProto::int("to", 10)),
        NodeProto::new("MatMul", "linear", &["half", "w"], &["product"]),
        NodeProto::new("Cast", "out", &["product"], &["y"]).with(AttributeProto::int("to", 1)),
    ];
    let graph = GraphProto {
        node,
        initializer: vec![
            TensorProto::external("w", F16, [4, 4], "model.onnx_data", 4096, 32),
            constant("shape", I64, &[2]),
        ],
        input: vec![value("x", F32, &[2, 4])],
        output: vec![value("y", F32, &[2, 4])],
        ..GraphProto::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    let blank = Blank::new(model, Some(Path::new("nowhere")), folder.path()).unwrap();
    assert_eq!(folder.path().join("zeros").metadata().unwrap().len(), 64);
    let mut graph = blank.model.graph.clone().unwrap();
    let kinds: BTreeSet<&str> = graph.node.iter().map(|node| node.op_type.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["MatMul", "Softsign"]));
    assert_eq!(graph.initializer[0], TensorProto::external("w", F32, [4, 4], "zeros", 0, 64));
    assert_eq!(graph.initializer[1], constant("shape", I64, &[2]));

    graph.value_info = ["half", "product"].map(|name| value(name, F32, &[2, 4])).into();
    let mut frozen = Frozen::read(ModelProto { graph: Some(graph), ..ModelProto::default() });
    blank.restore(&mut frozen);
    let kinds = ["x", "half", "w", "product", "y"].map(|name| frozen.values[name].dtype);
    assert_eq!(kinds, [F32, F16, F16, F16, F32]);
    let casts: Vec<i64> = frozen.nodes.iter().filter_map(|node| types::attribute(node, "to")?.i).collect();
    assert_eq!((casts, frozen.nodes[0].op_type.as_str()), (vec![10, 1], "Cast"));
}
