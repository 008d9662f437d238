//! An exported network against the reference interpreter, on the same random inputs.

use crate::{
    error::{Error, Result},
    network::{Network, Port},
};
use pleach_model::{
    backend::{Backend, Constant},
    checkpoint::Bound,
    manifest::{Component, Flavour, Precision},
    noise::Generator,
    params::Params,
    reference::{self, Reference, Weights},
    sites::Pass,
    tensor::Dtype,
};
use pleach_runtime::engine::{
    Engine, GraphFile, HostCache, NetworkOptions, Provider, ProviderKind, Providers, TensorRef,
};
use serde::Serialize;
use std::path::Path;

/// Sizes that no network has by default, with which each is run: one picture wider than high, two with odd latents.
const SIZES: [Size; 2] = [Size { batch: 1, height: 6, width: 10 }, Size { batch: 2, height: 7, width: 5 }];
/// Timesteps from the middle, the beginning and the end of a picture's way; at the first two prompts are told apart.
const TIMESTEPS: [f32; 3] = [481.0, 981.0, 21.0];

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
    /// What is compared.
    pub of: Compared,
    /// The timestep, for a UNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep: Option<f32>,
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Largest difference of a number.
    pub max_abs: f64,
    /// The same in units of the largest number of the reference.
    pub max_rel: f64,
    /// Root of the mean square of the difference, in units of that of the reference.
    pub rms: f64,
    /// Cosine of the angle between the results.
    pub cosine: f64,
    /// What passes.
    pub limit: Limit,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// What comes out.
    Result,
    /// What the prompt changes: the result with one prompt less that with another. A network that has lost it draws nicely, and something
    /// else.
    Conditioning,
}

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Difference::max_rel`] up to this.
    Largest(f64),
    /// [`Difference::rms`] up to this.
    Rms(f64),
    /// [`Difference::cosine`] from this on.
    Cosine(f64),
}

impl Limit {
    /// For a network. In f32 what is left is the order of summation, a few units in the last place for each of some hundred layers; in f16
    /// every layer rounds to 11 bits. Fewer bits lose what they lose: beyond these limits a network draws something else.
    pub fn of(network: &Network, precision: Precision, of: Compared) -> Self {
        match (precision, network) {
            (Precision::F32, _) => Self::Largest(1e-4),
            // What a prompt changes may be small beside what every layer rounds; it must still point the same way.
            _ if of == Compared::Conditioning => Self::Cosine(0.5),
            (Precision::F16 | Precision::Bf16, _) => Self::Largest(1e-2),
            (Precision::Int4, Network::Unet { .. }) => Self::Rms(0.2),
            (Precision::Int8 | Precision::Int4, _) => Self::Rms(0.1),
        }
    }
}

impl Difference {
    /// Whether the graph computes the network. What is not a number never passes.
    pub fn passed(&self) -> bool {
        match self.limit {
            Limit::Largest(most) => self.max_rel <= most,
            Limit::Rms(most) => self.rms <= most,
            Limit::Cosine(least) => self.cosine >= least,
        }
    }

    fn measure(result: &[f32], reference: &[f32]) -> [f64; 4] {
        let (mut largest, mut apart) = (0f64, 0f64);
        let (mut product, mut squares, mut reference_squares, mut wrong) = (0f64, 0f64, 0f64, 0f64);
        for (&a, &b) in result.iter().zip(reference) {
            let (a, b) = (f64::from(a), f64::from(b));
            // `max` would drop what is not a number.
            apart = if apart.is_nan() || (a - b).abs() <= apart { apart } else { (a - b).abs() };
            largest = largest.max(b.abs());
            product += a * b;
            squares += a * a;
            reference_squares += b * b;
            wrong += (a - b) * (a - b);
        }
        // Two that are all zeros are the same.
        let relative = if apart == 0.0 { 0.0 } else { apart / largest };
        let cosine =
            if squares + reference_squares == 0.0 { 1.0 } else { product / (squares * reference_squares).sqrt() };
        let rms = if wrong == 0.0 { 0.0 } else { (wrong / reference_squares).sqrt() };
        [apart, relative, rms, cosine]
    }
}

/// Runs every graph of a component (below `root`) that this ONNX Runtime can run, and the reference on the same inputs: at two sizes, or that of these latents where the
/// graphs are for one; of a UNet at several timesteps, and
/// with two prompts.
///
/// # Errors
/// A graph that ONNX Runtime refuses, or that gives something else than declared. Differences are no errors.
pub fn verify(
    engine: &Engine,
    network: &Network,
    tensors: &Bound,
    component: &Component,
    root: &Path,
    latents: Option<[usize; 2]>,
) -> Result<Vec<Difference>> {
    let runs =
        cases(network, latents).into_iter().map(|case| Run::new(network, tensors, case)).collect::<Result<Vec<_>>>()?;
    let mut differences = Vec::new();
    for graph in &component.graphs {
        let Some(providers) = providers(engine, graph.flavour)? else { continue };
        let file = GraphFile::open(root, &graph.file, None, &HostCache::off()).map_err(engine_error)?;
        let mut session = engine.open(&file, &NetworkOptions { providers, ..NetworkOptions::default() })?;
        let mut compare = |run: &Run, name: &str, of, found: &[f32], expected: &[f32], shape: &[usize]| {
            let [max_abs, max_rel, rms, cosine] = Difference::measure(found, expected);
            differences.push(Difference {
                file: graph.file.clone(),
                output: name.to_owned(),
                of,
                timestep: run.timestep,
                shape: shape.to_vec(),
                max_abs,
                max_rel,
                rms,
                cosine,
                limit: Limit::of(network, component.precision, of),
            });
        };
        let mut before: Option<(&Run, Vec<f32>)> = None;
        for run in &runs {
            let inputs = run.inputs.iter().map(Input::tensor).collect::<Result<Vec<_>>>()?;
            let outputs = session.run(&inputs)?;
            let mut first = Vec::new();
            for (i, expected) in run.results.iter().enumerate() {
                let output = outputs.get(i).filter(|output| output.shape() == expected.shape);
                let output = output.ok_or_else(|| Error::Output {
                    file: graph.file.clone(),
                    expected: expected.shape.clone(),
                    found: outputs.get(i).map(|output| output.shape().to_vec()),
                })?;
                let found = output.view().to_f32();
                compare(run, &expected.name, Compared::Result, &found, &expected.numbers, &expected.shape);
                if i == 0 {
                    first = found.into_owned();
                }
            }
            if let (Some((other, found)), [expected]) = (before.take().filter(|_| run.is_second), &run.results[..]) {
                let minus = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>();
                let wanted = other.results.first().map_or(&[][..], |result| &result.numbers);
                let (found, wanted) = (minus(&first, &found), minus(&expected.numbers, wanted));
                compare(run, &expected.name, Compared::Conditioning, &found, &wanted, &expected.shape);
            }
            before = Some((run, first));
        }
    }
    Ok(differences)
}

/// What runs a graph; none where this ONNX Runtime cannot: a graph for CUDA without CUDA.
fn providers(engine: &Engine, flavour: Flavour) -> Result<Option<Providers>> {
    if flavour != Flavour::Cuda {
        return Ok(Some(Providers::default()));
    }
    let has = engine.offered()?.iter().any(|offered| offered.provider == ProviderKind::Cuda);
    let list = [ProviderKind::Cuda, ProviderKind::Cpu].map(Provider::new);
    has.then(|| Providers::new(list.into()).map_err(|error| pleach_runtime::engine::Error::from(error).into()))
        .transpose()
}

/// One run of a network.
#[derive(Clone, Copy, Debug)]
struct Case {
    size: Size,
    timestep: f32,
    /// The run before, with another prompt.
    is_second: bool,
}

fn cases(network: &Network, latents: Option<[usize; 2]>) -> Vec<Case> {
    let [small, large] = match latents {
        Some([height, width]) if !matches!(network, Network::Router { .. }) => [Size { batch: 1, height, width }; 2],
        _ => SIZES,
    };
    let case = |size, timestep, is_second| Case { size, timestep, is_second };
    let [middle, begin, end] = TIMESTEPS;
    match network {
        Network::Unet { .. } => vec![
            case(small, middle, false),
            case(small, middle, true),
            case(small, begin, false),
            case(small, begin, true),
            case(small, end, false),
            case(large, middle, false),
        ],
        _ => vec![case(small, middle, false), case(large, middle, false)],
    }
}

fn engine_error(error: pleach_runtime::engine::GraphError) -> Error {
    pleach_runtime::engine::Error::from(error).into()
}

/// Inputs and what the reference makes of them.
struct Run {
    timestep: Option<f32>,
    /// Whether all but the prompt is as in the run before.
    is_second: bool,
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
    fn new(network: &Network, tensors: &Bound, case: Case) -> Result<Self> {
        let mut generator = Generator::new(case.size.width as u64);
        let mut other = Generator::new(case.size.width as u64 + 1);
        let give = |port: Port| {
            let is_prompt = matches!(network, Network::Unet { .. }) && port.name == "encoder_hidden_states";
            input(network, port, case, if is_prompt && case.is_second { &mut other } else { &mut generator })
        };
        let inputs: Vec<Input> = network.inputs().into_iter().map(give).collect();
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
        let timestep = matches!(network, Network::Unet { .. }).then_some(case.timestep);
        let results = network.outputs().into_iter().zip(results).map(output).collect();
        Ok(Self { timestep, is_second: case.is_second, inputs, results })
    }
}

/// Random numbers for an input. Pictures are as many times larger than latents as the network makes them smaller.
fn input(network: &Network, port: Port, case: Case, generator: &mut Generator) -> Input {
    let size = case.size;
    let factor = match network {
        Network::VaeEncoder(config) => config.factor(),
        Network::Classifier(config) => config.factor(),
        Network::TextEncoder(_) | Network::Unet { .. } | Network::VaeDecoder(_) | Network::Router { .. } => 1,
        Network::ImageTower(_) | Network::TextTower(_) => 1,
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
        Network::TextTower(config) => tokens(config.text.vocab_size),
        // Each prompt a token shorter than the one before.
        Network::Router { .. } if port.name == "attention_mask" => {
            let is_token = |i: usize| i % size.width + i / size.width < size.width;
            Constant::I64((0..numel).map(|i| i64::from(is_token(i))).collect())
        }
        Network::Router { sentence, .. } => tokens(sentence.vocab_size),
        _ if port.name == "timestep" => Constant::F32(vec![case.timestep; numel]),
        _ => Constant::F32(generator.randn(numel)),
    };
    Input { name: port.name, shape, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(result: &[f32], reference: &[f32]) -> Difference {
        let [max_abs, max_rel, rms, cosine] = Difference::measure(result, reference);
        let (file, output, shape) = ("unet/model.onnx".into(), "out_sample".into(), vec![result.len()]);
        let (of, timestep, limit) = (Compared::Result, None, Limit::Largest(1e-4));
        Difference { file, output, of, timestep, shape, max_abs, max_rel, rms, cosine, limit }
    }

    #[test]
    fn differences_are_measured() {
        let found = difference(&[3.0, 4.0], &[3.0, 5.0]);
        assert_eq!((found.max_abs, found.max_rel), (1.0, 0.2));
        assert!((found.cosine - 29.0 / (25f64 * 34.0).sqrt()).abs() < 1e-12);
        assert!((found.rms - 1.0 / 34f64.sqrt()).abs() < 1e-12);
        assert!(!found.passed());
        assert!(Difference { limit: Limit::Rms(0.2), ..found.clone() }.passed());
        assert!(!Difference { limit: Limit::Cosine(0.999), ..found.clone() }.passed());
        assert!(Difference { limit: Limit::Cosine(0.99), ..found }.passed());
        assert!(difference(&[3.0, 4.0], &[3.0, 4.0001]).passed());
    }

    #[test]
    fn what_is_not_a_number_fails() {
        assert!(!difference(&[f32::NAN, 4.0], &[3.0, 4.0]).passed());
        assert!(!difference(&[3.0, f32::NAN, 4.0], &[3.0, 1.0, 4.0]).passed());
        assert!(!difference(&[f32::INFINITY, 4.0], &[3.0, 4.0]).passed());
    }
}
