//! ONNX Runtime's own operators of the graphs for CUDA, written in standard ones as their documentation says what they do.

use pleach_runtime::onnx::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto};
use std::collections::HashMap;

/// Replaces every node of these operators.
pub fn decompose(model: &ModelProto, operators: &[&str]) -> ModelProto {
    let mut model = model.clone();
    let graph = model.graph.as_mut().unwrap();
    let mut written = Written { known: sources(graph), ..Written::default() };
    for node in std::mem::take(&mut graph.node) {
        match node.op_type.as_str() {
            op if !operators.contains(&op) => written.nodes.push(node),
            "GroupNorm" => written.group_norm(&node),
            "MultiHeadAttention" => written.attention(&node),
            op => panic!("{op} has no meaning here"),
        }
    }
    graph.node = written.nodes;
    graph.initializer.extend(written.constants);
    model
}

/// What is known of a value without running the graph.
#[derive(Clone, Debug)]
struct Known {
    dtype: DataType,
    dims: Vec<i64>,
}

/// Types and shapes of stored tensors, and of what casts make of them.
fn sources(graph: &GraphProto) -> HashMap<String, Known> {
    let kind = |number: i32| DataType::try_from(number).unwrap();
    let stored = graph.initializer.iter();
    let mut known: HashMap<String, Known> = stored
        .map(|tensor| (tensor.name.clone(), Known { dtype: kind(tensor.data_type), dims: tensor.dims.clone() }))
        .collect();
    for node in graph.node.iter().filter(|node| node.op_type == "Cast") {
        if let Some(source) = known.get(&node.input[0]).cloned() {
            let to = kind(i32::try_from(int(node, "to").unwrap()).unwrap());
            known.insert(node.output[0].clone(), Known { dtype: to, ..source });
        }
    }
    known
}

/// An attribute of a node.
pub fn int(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name == name)?.i
}

fn float(node: &NodeProto, name: &str) -> f32 {
    node.attribute.iter().find(|attribute| attribute.name == name).and_then(|attribute| attribute.f).unwrap()
}

#[derive(Default)]
struct Written {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    known: HashMap<String, Known>,
}

impl Written {
    /// A node; gives its output's name.
    fn add(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = format!("meaning.{}", self.nodes.len());
        self.nodes.push(NodeProto { attribute: attributes, ..NodeProto::new(op, &name, inputs, &[&name]) });
        name
    }

    fn whole(&mut self, numbers: &[i64]) -> String {
        let name = format!("meaning.constant.{}", self.constants.len());
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.constants.push(TensorProto::inline(&name, DataType::Int64, [numbers.len() as i64], bytes));
        name
    }

    fn number(&mut self, number: f32) -> String {
        let name = format!("meaning.constant.{}", self.constants.len());
        self.constants.push(TensorProto::inline(&name, DataType::Float, [], number.to_le_bytes().to_vec()));
        name
    }

    fn cast(&mut self, x: &str, to: DataType) -> String {
        self.add("Cast", &[x], vec![AttributeProto::int("to", i64::from(i32::from(to)))])
    }

    /// Gives the last node's output the name that the replaced node's had.
    fn finish(&mut self, replaced: &NodeProto) {
        self.nodes.last_mut().unwrap().output = replaced.output.clone();
    }

    /// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta over each group of channels, which are last; SiLU of it where `activation` is 1.
    /// Gamma and beta are vectors in f32.
    fn group_norm(&mut self, node: &NodeProto) {
        let [x, gamma, beta] = node.input.as_slice() else { panic!("{node:?}") };
        assert_eq!(int(node, "channels_last"), Some(1));
        let groups = int(node, "groups").unwrap();
        let [scale, shift] = [gamma, beta].map(|name| self.known[name].clone());
        let &[channels] = scale.dims.as_slice() else { panic!("{gamma} has the shape {:?}", scale.dims) };
        assert_eq!((scale.dtype, shift.dtype, &shift.dims), (DataType::Float, DataType::Float, &vec![channels]));
        assert_eq!(channels % groups, 0);
        assert_eq!(channels / groups % 2, 0, "the kernel reads two channels at a time");
        let wide = self.cast(x, DataType::Float);
        let grouped = self.whole(&[0, -1, groups, channels / groups]);
        let rows = self.add("Reshape", &[&wide, &grouped], Vec::new());
        let axes = self.whole(&[1, 3]);
        let mean = self.add("ReduceMean", &[&rows, &axes], vec![AttributeProto::int("keepdims", 1)]);
        let centred = self.add("Sub", &[&rows, &mean], Vec::new());
        let squares = self.add("Mul", &[&centred, &centred], Vec::new());
        let variance = self.add("ReduceMean", &[&squares, &axes], vec![AttributeProto::int("keepdims", 1)]);
        let epsilon = self.number(float(node, "epsilon"));
        let variance = self.add("Add", &[&variance, &epsilon], Vec::new());
        let deviation = self.add("Sqrt", &[&variance], Vec::new());
        let normed = self.add("Div", &[&centred, &deviation], Vec::new());
        let shape = self.add("Shape", &[x], Vec::new());
        let normed = self.add("Reshape", &[&normed, &shape], Vec::new());
        let scaled = self.add("Mul", &[&normed, gamma], Vec::new());
        let mut result = self.add("Add", &[&scaled, beta], Vec::new());
        if int(node, "activation").unwrap() == 1 {
            let sigmoid = self.add("Sigmoid", &[&result], Vec::new());
            result = self.add("Mul", &[&result, &sigmoid], Vec::new());
        }
        self.add("CastLike", &[&result, x], Vec::new());
        self.finish(node);
    }

    /// softmax(scale * Q * K^T) * V of each head, heads joined: `[batch, length, heads * size]` each.
    fn attention(&mut self, node: &NodeProto) {
        let [q, k, v] = node.input.as_slice() else { panic!("{node:?}") };
        let heads = int(node, "num_heads").unwrap();
        assert_eq!(int(node, "unidirectional"), None);
        let split = self.whole(&[0, 0, heads, -1]);
        let mut apart = |x: &str, order: [i64; 4]| {
            let x = self.add("Reshape", &[x, &split], Vec::new());
            self.add("Transpose", &[&x], vec![AttributeProto::ints("perm", order)])
        };
        let (q, k, v) = (apart(q, [0, 2, 1, 3]), apart(k, [0, 2, 3, 1]), apart(v, [0, 2, 1, 3]));
        let scores = self.add("MatMul", &[&q, &k], Vec::new());
        let scale = self.number(float(node, "scale"));
        let scale = self.add("CastLike", &[&scale, &scores], Vec::new());
        let scores = self.add("Mul", &[&scores, &scale], Vec::new());
        let weights = self.add("Softmax", &[&scores], vec![AttributeProto::int("axis", -1)]);
        let mixed = self.add("MatMul", &[&weights, &v], Vec::new());
        let mixed = self.add("Transpose", &[&mixed], vec![AttributeProto::ints("perm", [0, 2, 1, 3])]);
        let joined = self.whole(&[0, 0, -1]);
        self.add("Reshape", &[&mixed, &joined], Vec::new());
        self.finish(node);
    }
}
