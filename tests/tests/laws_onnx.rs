//! Laws of the exported graphs: ONNX Runtime computes what the reference does, operation by operation and at every
//! architecture, at sizes that were not known when the graph was written.

use anyhow::Result;
use pleach_exporter::{
    graph::{Graph, record},
    lower::{About, Layout, Target, fill_inline, lower},
    network::Network,
    quantize::{
        Quantized, Scheme, Span,
        numbers::{Blocks, Rows},
    },
    weights,
};
use pleach_model::{
    backend::Backend,
    checkpoint::{Checkpoint, NewTensor, Spelling, write_safetensors},
    noise::Generator,
    op::{Attention, Conv2d, Extent, Op},
    params::Params,
    reference::Reference,
    shape::{Dim, Fact},
    sites::Pass,
    tensor::{Dtype, TensorSpec},
};
use pleach_runtime::{
    engine::{self, GraphFile, HostCache, NetworkOptions, TensorRef},
    onnx::Message,
};
use pleach_tests::{
    cases::{Case, Operand, cases},
    networks::Engine,
    random::{RandomWeights, pruned, small_unet},
    tensor::Tensor,
};
use std::path::Path;

const TARGETS: [&Target; 2] = [&Target::PORTABLE, &Target::CPU];
/// Rounding of f32 over sums of at most some hundred terms of size 1.
const OPERATION: f32 = 1e-5;

/// A graph over weights, as files in a folder of their own.
struct Written {
    folder: tempfile::TempDir,
}

impl Written {
    /// Parameters are taken from `values`.
    fn new(graph: &Graph, values: impl Fn(&TensorSpec) -> Vec<f32>) -> Result<Self> {
        Self::quantized(graph, &Scheme::default(), values)
    }

    /// The same, in a scheme.
    fn quantized(graph: &Graph, scheme: &Scheme, values: impl Fn(&TensorSpec) -> Vec<f32>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let specs: Vec<TensorSpec> = graph.parameters().cloned().collect();
        let bytes = |spec: &TensorSpec| values(spec).iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let numbers: Vec<Vec<u8>> = specs.iter().map(bytes).collect();
        let tensor = |(spec, bytes): (&TensorSpec, _)| NewTensor::new(&spec.name, Dtype::F32, &spec.shape, bytes);
        let tensors = specs.iter().zip(numbers.iter().map(Vec::as_slice)).map(tensor).collect();
        let checkpoint = folder.path().join("model.safetensors");
        write_safetensors(&checkpoint, tensors, &Default::default())?;
        let checkpoint = Checkpoint::open(&checkpoint)?;
        let layout = Layout::quantized(graph, &[scheme]);
        let bound = checkpoint.bind(&specs, Spelling::Unet)?;
        let written = weights::write(graph, &layout, &bound, &folder.path().join("model.onnx_data"), &())?;
        for target in TARGETS {
            let about = About { name: "law", data_file: "model.onnx_data", metadata: &[] };
            let mut model = lower(graph, &layout, target, scheme, about)?;
            fill_inline(&mut model, &written.inline);
            std::fs::write(folder.path().join(target.name()), model.encode_to_vec())?;
        }
        Ok(Self { folder })
    }

    fn open(&self, target: &Target) -> Result<engine::Network> {
        open(self.folder.path(), target.name())
    }
}

fn open(folder: &Path, file: &str) -> Result<engine::Network> {
    let graph = GraphFile::open(folder, file, None, &HostCache::off())?;
    Ok(engine::Engine::start(&Default::default())?.open(&graph, &NetworkOptions::default())?)
}

fn run(network: &mut engine::Network, inputs: &[(String, Operand)]) -> Result<Tensor> {
    let tensor = |(name, operand): &'_ (String, Operand)| -> Result<(String, engine::Tensor)> {
        Ok((
            name.clone(),
            match operand {
                Operand::Floats(tensor) => TensorRef::new(&tensor.shape, &tensor.data)?.to_owned(),
                Operand::Ids(tensor) => TensorRef::new(&tensor.shape, &tensor.data)?.to_owned(),
            },
        ))
    };
    let tensors = inputs.iter().map(tensor).collect::<Result<Vec<_>>>()?;
    let given: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.view())).collect();
    let output = network.run(&given)?.swap_remove(0);
    let shape = output.shape().to_vec();
    Ok(Tensor::new(&shape, output.into_f32()))
}

fn reference(op: &Op, operands: &[Operand]) -> Result<Tensor> {
    let engine = Reference::default();
    let give = |operand: &Operand| match operand {
        Operand::Floats(tensor) => engine.give(tensor),
        Operand::Ids(tensor) => engine.give_ids(tensor),
    };
    let values = operands.iter().map(give).collect::<Result<Vec<_>>>()?;
    let result = engine.run(op.clone(), &values.iter().collect::<Vec<_>>())?;
    engine.take(&engine.cast(&result, Dtype::F32)?)
}

fn fact(operand: &Operand) -> Fact {
    match operand {
        Operand::Floats(tensor) => Fact::new(Dtype::F32, tensor.shape.iter().copied()),
        Operand::Ids(tensor) => Fact::new(Dtype::I64, tensor.shape.iter().copied()),
    }
}

/// Which operands are parameters of a layer, and so stored in whatever form the rule asks for.
fn is_parameter(op: &Op, operand: usize) -> bool {
    match op {
        Op::Linear | Op::Conv2d(_) | Op::GroupNorm { .. } | Op::LayerNorm { .. } => operand > 0,
        Op::Embedding => operand == 0,
        _ => false,
    }
}

/// A graph of one operation. Operands are called after their position.
fn graph(op: &Op, facts: &[Fact], stored: bool) -> Result<Graph> {
    Ok(record(Dtype::F32, |b, params| {
        let value = |(i, fact): (usize, &Fact)| match fact.known().filter(|_| stored && is_parameter(op, i)) {
            Some(shape) => params.get(&i.to_string(), &shape),
            None => Ok(b.with(|recorder| recorder.input(&i.to_string(), fact.clone()))),
        };
        let values = facts.iter().enumerate().map(value).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![("result".to_owned(), b.run(op.clone(), &values.iter().collect::<Vec<_>>())?)])
    })?)
}

#[track_caller]
fn agree(what: &str, found: &Tensor, expected: &Tensor) {
    let relative = found.difference(expected) / expected.largest().max(1.0);
    assert!(relative <= OPERATION, "{what}: {found:?} differs from {expected:?} by {relative:e}");
}

#[test]
fn every_operation_is_the_same_in_onnx_runtime_and_in_the_reference() {
    for Case { op, operands } in (0..4).flat_map(cases) {
        let facts: Vec<Fact> = operands.iter().map(fact).collect();
        let expected = reference(&op, &operands).unwrap();
        for stored in [false, true] {
            let graph = graph(&op, &facts, stored).unwrap();
            let number = |spec: &TensorSpec| match &operands[spec.name.parse::<usize>().unwrap()] {
                Operand::Floats(tensor) => tensor.data.clone(),
                Operand::Ids(_) => unreachable!("parameters are floating-point numbers"),
            };
            let written = Written::new(&graph, number).unwrap();
            let given = |(i, operand): (usize, &Operand)| {
                (!stored || !is_parameter(&op, i)).then(|| (i.to_string(), operand.clone()))
            };
            let inputs: Vec<_> = operands.iter().enumerate().filter_map(given).collect();
            for target in TARGETS {
                let found = run(&mut written.open(target).unwrap(), &inputs).unwrap();
                agree(&format!("{op:?}, {}, stored {stored}", target.name()), &found, &expected);
            }
        }
    }
}

/// What an operation is with the weights that a scheme leaves of its own: `[rows, length]` of the first.
fn rounded(quantized: Quantized, weight: &Tensor) -> Tensor {
    let length = weight.data.len() / weight.shape[0];
    let data = match quantized {
        Quantized::Blocks => Blocks::of(&weight.data).wide(),
        _ => Rows::of(&weight.data, length).wide(),
    };
    Tensor::new(&weight.shape, data)
}

#[test]
fn quantised_operations_compute_with_the_rounded_weights() {
    let mut draw = Generator::new(21);
    let mut tensor = |shape: &[usize]| Tensor::new(shape, draw.randn(shape.iter().product()));
    let conv = Op::Conv2d(Conv2d::same(3));
    let [x, weight, bias] = [&[3, 5, 128][..], &[12, 128], &[12]].map(|shape| Operand::Floats(tensor(shape)));
    let linear = vec![x, weight, bias];
    let [x, weight, bias] = [&[2, 8, 9, 7][..], &[12, 8, 3, 3], &[12]].map(|shape| Operand::Floats(tensor(shape)));
    let picture = vec![x, weight, bias];
    let table = vec![
        Operand::Floats(tensor(&[40, 16])),
        Operand::Ids(Tensor { shape: vec![2, 3], data: vec![0, 39, 7, 7, 1, 20] }),
    ];
    // What the result may be off by, relative to the largest: rounding of f32, and where what goes in is rounded to 8 bits, that. ONNX
    // Runtime rounds it before every matrix that is quantised, whoever asked for it (`session.qdq_matmulnbits_accuracy_level`).
    let (exact, stepped) = (1e-5, 2e-2);
    for (op, operands, quantized, [portable, cpu]) in [
        (Op::Linear, &linear, Quantized::Weights, [stepped, stepped]),
        (Op::Linear, &linear, Quantized::Dynamic, [stepped, stepped]),
        (Op::Linear, &linear, Quantized::Blocks, [stepped, stepped]),
        (conv.clone(), &picture, Quantized::Weights, [exact, exact]),
        (
            conv.clone(),
            &picture,
            Quantized::Static { input: Span::new(-4.5, 4.5), output: Span::new(-45.0, 45.0) },
            [stepped, stepped],
        ),
        (Op::Embedding, &table, Quantized::Rows, [exact, exact]),
    ] {
        let facts: Vec<Fact> = operands.iter().map(fact).collect();
        let graph = graph(&op, &facts, true).unwrap();
        let scheme = Scheme::of(&graph, |_, _| Some(quantized));
        assert_eq!(scheme.iter().count(), 1, "{op:?}");
        let number = |spec: &TensorSpec| match &operands[spec.name.parse::<usize>().unwrap()] {
            Operand::Floats(tensor) => tensor.data.clone(),
            Operand::Ids(_) => unreachable!("parameters are floating-point numbers"),
        };
        let written = Written::quantized(&graph, &scheme, number).unwrap();
        let weight = usize::from(op != Op::Embedding);
        let mut left = operands.clone();
        if let Operand::Floats(tensor) = &mut left[weight] {
            *tensor = rounded(quantized, tensor);
        }
        let expected = reference(&op, &left).unwrap();
        let given = |(i, operand): (usize, &Operand)| (!is_parameter(&op, i)).then(|| (i.to_string(), operand.clone()));
        let inputs: Vec<_> = operands.iter().enumerate().filter_map(given).collect();
        for (target, tolerance) in TARGETS.into_iter().zip([portable, cpu]) {
            let found = run(&mut written.open(target).unwrap(), &inputs).unwrap();
            let relative = found.difference(&expected) / expected.largest();
            assert!(relative <= tolerance, "{op:?} as {quantized:?} for {}: {relative:e}", target.name());
        }
        // It is not the operation that was not quantised.
        let relative = expected.difference(&reference(&op, operands).unwrap()) / expected.largest();
        assert!(relative > 1e-4, "{op:?} as {quantized:?} changes nothing");
    }
}

/// Operations as networks use them, over sizes that are not known.
fn open_ended() -> Vec<(Op, Vec<Vec<Dim>>)> {
    let [b, n, m, h, w] = ["b", "n", "m", "h", "w"].map(Dim::symbol);
    let k = |n: usize| Dim::Known(n);
    let picture = |channels: usize| vec![b.clone(), k(channels), h.clone(), w.clone()];
    let rows = |length: &Dim, features: usize| vec![b.clone(), length.clone(), k(features)];
    let attention = Attention { heads: 3, scale: 0.5, causal: false, upcast: true };
    let halved = |side: &Dim| side.strided(1, 2).expect("a symbol halves");
    let quarter = vec![b.clone(), k(5), halved(&h), halved(&w)];
    vec![
        (Op::Linear, vec![rows(&n, 7), vec![k(4), k(7)], vec![k(4)]]),
        (Op::Conv2d(Conv2d { stride: 2, padding: [1; 4] }), vec![picture(3), vec![k(4), k(3), k(3), k(3)], vec![k(4)]]),
        (Op::GroupNorm { groups: 3, eps: 1e-5 }, vec![picture(6), vec![k(6)], vec![k(6)]]),
        (Op::LayerNorm { eps: 1e-5 }, vec![rows(&n, 9), vec![k(9)], vec![k(9)]]),
        (Op::Attention(attention), vec![rows(&n, 12), rows(&m, 12), rows(&m, 12)]),
        (
            Op::Attention(attention),
            vec![rows(&n, 12), rows(&m, 12), rows(&m, 12), vec![b.clone(), k(1), k(1), m.clone()]],
        ),
        (
            Op::Attention(attention),
            vec![rows(&n, 12), rows(&m, 12), rows(&m, 12), vec![k(1), k(3), n.clone(), m.clone()]],
        ),
        (Op::Reshape(vec![Extent::Keep(0), Extent::Is(6), Extent::Rest]), vec![picture(6)]),
        (Op::Reshape(vec![Extent::Keep(0), Extent::Rest]), vec![picture(6)]),
        (Op::Reshape(vec![Extent::Keep(2), Extent::Keep(3), Extent::Rest]), vec![picture(6)]),
        (Op::ReshapeLike, vec![vec![b.clone(), k(6), Dim::product([&h, &w])], picture(6)]),
        (Op::Upsample2x, vec![picture(2)]),
        (Op::Upsample2x, vec![quarter, picture(1)]),
        (Op::NarrowLike { axis: 0, start: 0, like_axis: 1 }, vec![vec![k(40), k(3)], vec![b.clone(), n.clone()]]),
        (Op::NarrowLike { axis: 0, start: 2, like_axis: 1 }, vec![vec![k(40), k(3)], vec![b.clone(), n.clone()]]),
        (Op::Chunk { axis: 2, parts: 2, index: 1 }, vec![rows(&n, 8)]),
        (Op::Concat { axis: 1 }, vec![picture(2), picture(3)]),
    ]
}

#[test]
fn a_graph_runs_at_sizes_not_seen_when_it_was_written() {
    let mut draw = Generator::new(5);
    for (op, shapes) in open_ended() {
        let facts: Vec<Fact> = shapes.iter().map(|shape| Fact::new(Dtype::F32, shape.iter().cloned())).collect();
        let graph = graph(&op, &facts, false).unwrap();
        let written = Written::new(&graph, |_| unreachable!("there are no parameters")).unwrap();
        for target in TARGETS {
            let mut network = written.open(target).unwrap();
            for _ in 0..6 {
                let sizes: Vec<(&str, usize)> =
                    ["b", "n", "m", "h", "w"].into_iter().map(|name| (name, 1 + draw.random() as usize % 15)).collect();
                let size = |name: &str| sizes.iter().find(|(symbol, _)| *symbol == name).map(|(_, size)| *size);
                let mut operand = |(i, shape): (usize, &Vec<Dim>)| {
                    let shape: Vec<usize> = shape.iter().map(|dim| dim.evaluate(&size).unwrap()).collect();
                    let numbers = draw.randn(shape.iter().product());
                    (i.to_string(), Operand::Floats(Tensor::new(&shape, numbers)))
                };
                let inputs: Vec<_> = shapes.iter().enumerate().map(&mut operand).collect();
                let operands: Vec<Operand> = inputs.iter().map(|(_, operand)| operand.clone()).collect();
                let expected = reference(&op, &operands).unwrap();
                agree(
                    &format!("{op:?}, {}, {sizes:?}", target.name()),
                    &run(&mut network, &inputs).unwrap(),
                    &expected,
                );
            }
        }
    }
}

#[test]
fn every_architecture_is_the_same_in_onnx_runtime_and_in_the_reference() {
    let (config, mut draw) = (small_unet(), Generator::new(11));
    for seed in 0..8 {
        let tokens = 9;
        let network = Network::Unet { config: config.clone(), architecture: pruned(&config, &mut draw), tokens };
        let weights = RandomWeights::new(seed);
        let written = Written::new(&network.record(Dtype::F32).unwrap(), |spec| weights.values(spec)).unwrap();
        let [batch, height, width] = [3, 13, 13].map(|most| 1 + draw.random() as usize % most);
        let mut noise = |shape: &[usize]| Tensor::new(shape, draw.randn(shape.iter().product()));
        let inputs = [noise(&[batch, 4, height, width]), Tensor::new(&[1], vec![321.0]), noise(&[batch, tokens, 12])];
        let reference = Reference::default();
        let values = inputs.each_ref().map(|input| reference.give(input).unwrap());
        let params = Params::new(&reference, &weights);
        let expected = network.forward(&Pass::plain(&reference), &params, Dtype::F32, &values).unwrap();
        let expected = reference.take(&expected[0]).unwrap();
        let names = network.inputs().into_iter().map(|port| port.name.to_owned());
        let inputs: Vec<_> = names.zip(inputs.map(Operand::Floats)).collect();
        for target in TARGETS {
            let found = run(&mut written.open(target).unwrap(), &inputs).unwrap();
            let difference = found.difference(&expected);
            assert!(difference <= 1e-4, "{network:?} at {:?}: differs by {difference:e}", expected.shape);
        }
    }
}
