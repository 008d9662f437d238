//! An exported network against the reference interpreter, on the same random inputs.

use crate::{
    error::{Error, Result},
    network::{Network, Port},
};
use pleach_model::{
    backend::{Backend, Constant},
    checkpoint::Bound,
    manifest::Component,
    noise::Generator,
    params::Params,
    reference::{self, Reference, Weights},
    sites::Pass,
    tensor::Dtype,
};
use pleach_runtime::engine::{Engine, GraphFile, HostCache, NetworkOptions, TensorRef};
use serde::Serialize;
use std::path::Path;

/// Sizes that no network has by default, with which each is run: one picture wider than high, two with odd latents.
const SIZES: [Size; 2] = [Size { batch: 1, height: 6, width: 10 }, Size { batch: 2, height: 7, width: 5 }];
/// A timestep from the middle of the schedule.
const TIMESTEP: f32 = 481.0;

/// Sizes of a run, in latents.
#[derive(Clone, Copy, Debug)]
struct Size {
    batch: usize,
    height: usize,
    width: usize,
}

/// How far a graph is from the reference in one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The graph's file in the bundle.
    pub file: String,
    /// Which of its outputs.
    pub output: String,
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Largest difference of a number.
    pub max_abs: f64,
    /// The same in units of the largest number of the reference.
    pub max_rel: f64,
    /// Cosine of the angle between the results.
    pub cosine: f64,
    /// Largest `max_rel` that passes.
    pub tolerance: f64,
}

impl Difference {
    /// Whether the graph computes the network. What is not a number never passes.
    pub fn passed(&self) -> bool {
        self.max_rel <= self.tolerance
    }

    fn measure(result: &[f32], reference: &[f32]) -> (f64, f64, f64) {
        let (mut largest, mut apart) = (0f64, 0f64);
        let (mut product, mut squares, mut reference_squares) = (0f64, 0f64, 0f64);
        for (&a, &b) in result.iter().zip(reference) {
            let (a, b) = (f64::from(a), f64::from(b));
            // `max` would drop what is not a number.
            apart = if apart.is_nan() || (a - b).abs() <= apart { apart } else { (a - b).abs() };
            largest = largest.max(b.abs());
            product += a * b;
            squares += a * a;
            reference_squares += b * b;
        }
        // Two that are all zeros are the same.
        let relative = if apart == 0.0 { 0.0 } else { apart / largest };
        let cosine =
            if squares + reference_squares == 0.0 { 1.0 } else { product / (squares * reference_squares).sqrt() };
        (apart, relative, cosine)
    }
}

/// The largest relative difference that passes. In f32 what is left is the order of summation, a few units in the last place for
/// each of some hundred layers; in f16 every layer rounds to 11 bits.
pub fn tolerance(precision: Dtype) -> f64 {
    match precision {
        Dtype::F32 => 1e-4,
        _ => 1e-2,
    }
}

/// Runs every graph of a component (below `root`) and the reference on the same inputs at two sizes.
///
/// # Errors
/// A graph that ONNX Runtime refuses, or that gives something else than declared. Differences are no errors.
pub fn verify(
    engine: &Engine,
    network: &Network,
    tensors: &Bound,
    component: &Component,
    root: &Path,
) -> Result<Vec<Difference>> {
    let runs = SIZES.map(|size| Run::new(network, tensors, size)).into_iter().collect::<Result<Vec<_>>>()?;
    let mut differences = Vec::new();
    for graph in &component.graphs {
        let file = GraphFile::open(root, &graph.file, None, &HostCache::off()).map_err(engine_error)?;
        let mut session = engine.open(&file, &NetworkOptions::default())?;
        for run in &runs {
            let inputs = run.inputs.iter().map(Input::tensor).collect::<Result<Vec<_>>>()?;
            let outputs = session.run(&inputs)?;
            for (i, expected) in run.results.iter().enumerate() {
                let output = outputs.get(i).filter(|output| output.shape() == expected.shape);
                let output = output.ok_or_else(|| Error::Output {
                    file: graph.file.clone(),
                    expected: expected.shape.clone(),
                    found: outputs.get(i).map(|output| output.shape().to_vec()),
                })?;
                let (max_abs, max_rel, cosine) = Difference::measure(&output.view().to_f32(), &expected.numbers);
                differences.push(Difference {
                    file: graph.file.clone(),
                    output: expected.name.clone(),
                    shape: expected.shape.clone(),
                    max_abs,
                    max_rel,
                    cosine,
                    tolerance: tolerance(component.precision.dtype()),
                });
            }
        }
    }
    Ok(differences)
}

fn engine_error(error: pleach_runtime::engine::GraphError) -> Error {
    pleach_runtime::engine::Error::from(error).into()
}

/// Inputs and what the reference makes of them.
struct Run {
    inputs: Vec<Input>,
    results: Vec<Output>,
}

struct Output {
    name: String,
    shape: Vec<usize>,
    numbers: Vec<f32>,
}

struct Input {
    name: &'static str,
    shape: Vec<usize>,
    data: Constant,
}

impl Input {
    fn tensor(&self) -> Result<(&str, TensorRef<'_>)> {
        let tensor = match &self.data {
            Constant::F32(numbers) => TensorRef::new(&self.shape, numbers),
            Constant::I64(numbers) => TensorRef::new(&self.shape, numbers),
        };
        Ok((self.name, tensor?))
    }
}

impl Run {
    fn new(network: &Network, tensors: &Bound, size: Size) -> Result<Self> {
        let mut generator = Generator::new(size.width as u64);
        let inputs: Vec<Input> =
            network.inputs().into_iter().map(|port| input(network, port, size, &mut generator)).collect();
        let reference = Reference::default();
        let weights = Weights::new(tensors);
        let values = inputs
            .iter()
            .map(|input| reference.constant(input.data.clone(), &input.shape))
            .collect::<Result<Vec<_>, _>>()?;
        // In f32 whatever the graph's precision: the checkpoint is the truth.
        let params = Params::new(&reference, &weights);
        let results = network.forward(&Pass::plain(&reference), &params, Dtype::F32, &values)?;
        let output = |(name, value): (String, reference::Value)| Output {
            name,
            shape: value.shape().to_vec(),
            numbers: match value.integers() {
                Some(numbers) => numbers.iter().map(|&number| number as f32).collect(),
                None => value.floats().unwrap_or_default().to_vec(),
            },
        };
        Ok(Self { inputs, results: network.outputs().into_iter().zip(results).map(output).collect() })
    }
}

/// Random numbers for an input. Pictures are as many times larger than latents as the network makes them smaller.
fn input(network: &Network, port: Port, size: Size, generator: &mut Generator) -> Input {
    let factor = match network {
        Network::VaeEncoder(config) => config.factor(),
        Network::Classifier(config) => config.factor(),
        Network::TextEncoder(_) | Network::Unet { .. } | Network::VaeDecoder(_) | Network::Router { .. } => 1,
    };
    let symbol = |name: &str| match name {
        "batch" => Some(size.batch),
        "height" => Some(factor * size.height),
        "width" => Some(factor * size.width),
        "tokens" => Some(size.width),
        _ => None,
    };
    let shape: Vec<usize> = port.fact.shape.iter().map(|dim| dim.evaluate(&symbol).unwrap_or(1)).collect();
    let numel = shape.iter().product();
    let mut tokens = |known: usize| {
        let token = |_| i64::from(generator.random()) % known as i64;
        Constant::I64((0..numel).map(token).collect())
    };
    let data = match network {
        Network::TextEncoder(config) => tokens(config.vocab_size),
        // Each prompt a token shorter than the one before.
        Network::Router { .. } if port.name == "attention_mask" => {
            let is_token = |i: usize| i % size.width + i / size.width < size.width;
            Constant::I64((0..numel).map(|i| i64::from(is_token(i))).collect())
        }
        Network::Router { sentence, .. } => tokens(sentence.vocab_size),
        _ if port.name == "timestep" => Constant::F32(vec![TIMESTEP; numel]),
        _ => Constant::F32(generator.randn(numel)),
    };
    Input { name: port.name, shape, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(result: &[f32], reference: &[f32]) -> Difference {
        let (max_abs, max_rel, cosine) = Difference::measure(result, reference);
        let shape = vec![result.len()];
        let (file, output) = ("unet/model.onnx".into(), "out_sample".into());
        Difference { file, output, shape, max_abs, max_rel, cosine, tolerance: 1e-4 }
    }

    #[test]
    fn differences_are_measured() {
        let found = difference(&[3.0, 4.0], &[3.0, 5.0]);
        assert_eq!((found.max_abs, found.max_rel), (1.0, 0.2));
        assert!((found.cosine - 29.0 / (25f64 * 34.0).sqrt()).abs() < 1e-12);
        assert!(!found.passed());
        assert!(difference(&[3.0, 4.0], &[3.0, 4.0001]).passed());
    }

    #[test]
    fn what_is_not_a_number_fails() {
        assert!(!difference(&[f32::NAN, 4.0], &[3.0, 4.0]).passed());
        assert!(!difference(&[3.0, f32::NAN, 4.0], &[3.0, 1.0, 4.0]).passed());
        assert!(!difference(&[f32::INFINITY, 4.0], &[3.0, 4.0]).passed());
    }
}
