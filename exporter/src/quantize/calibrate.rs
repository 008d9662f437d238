//! What goes through a UNet while it draws, and what is lost where a layer of it is quantised.

pub use super::trajectory::Embedding;

use super::{Quantized, Scheme, Span, has_blocks, prompts, trajectory::walk};
use crate::{
    error::{Error, Result},
    graph::Graph,
    lower::{About, Layout, PROBE, Probe, Target, fill_inline, lower_probe, probed},
    watch::Watch,
    weights,
};
use pleach_model::{checkpoint::Bound, files, manifest::Precision, op::Op, samplers::SamplerKind, schedule::Schedule};
use pleach_runtime::{
    engine::{Engine, GraphFile, HostCache, Network, NetworkOptions, Tensor},
    onnx::Message,
};
use serde::Serialize;
use std::{collections::BTreeMap, path::Path};

/// Layers that no scheme quantises: the first and the last, and what tells the timestep. They are small, and everything depends on them.
const WIDE: [&str; 3] = ["conv_in", "conv_out", "time_embedding"];
/// Error of a layer's result, relative to it (root of the mean square), above which the layer is not quantised to 8 bits.
const MOST_OF_8_BITS: f64 = 0.025;
/// The same of 4 bits, above which it gets 8.
const MOST_OF_4_BITS: f64 = 0.08;
/// Prompts that errors are measured with, and the most steps.
const MEASURED: (usize, usize) = (1, 4);

/// How ranges are found.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What is drawn.
    pub prompts: Vec<String>,
    /// Steps of each picture.
    pub steps: usize,
    /// Guidance scale.
    pub guidance: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { prompts: prompts::USUAL.map(str::to_owned).into(), steps: 8, guidance: 7.5 }
    }
}

/// What pictures are drawn with to find ranges.
pub struct Calibration<'a> {
    /// What runs the graphs.
    pub engine: &'a Engine,
    /// The noise schedule.
    pub schedule: &'a Schedule,
    /// The sampler.
    pub sampler: SamplerKind,
    /// Steps of each picture.
    pub steps: usize,
    /// Guidance scale.
    pub guidance: f32,
    /// Shape of one picture's latents.
    pub latents: [usize; 4],
    /// The empty prompt.
    pub null: Embedding,
    /// The prompts.
    pub prompts: Vec<Embedding>,
    /// Whom to ask whether to stop.
    pub watch: &'a dyn Watch,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Path of the module.
    pub layer: String,
    /// Bits that its weights would have had.
    pub bits: u32,
    /// Error of its result alone quantised, relative to the result: root of the mean square over a picture's way.
    pub error: f64,
    /// Bits that they have.
    pub kept: u32,
}

/// The scheme of a UNet, and how sensitive each layer was.
///
/// `folder` is for graphs and weights in f32 meanwhile.
///
/// # Errors
/// What ONNX Runtime says of the graphs; a file that cannot be written; [`Error::Interrupted`].
pub fn scheme(
    graph: &Graph,
    tensors: &Bound,
    precision: Precision,
    calibration: &Calibration<'_>,
    folder: &Path,
) -> Result<(Scheme, Vec<Sensitivity>)> {
    let spans = ranges(graph, tensors, calibration, folder)?;
    let mut scheme = Scheme::of(graph, |i, node| {
        let wide = WIDE.iter().any(|wide| {
            node.path.strip_prefix(wide).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        });
        match node.op {
            _ if wide => None,
            Op::Conv2d(_) => spans.get(&i).map(|&[input, output]| Quantized::Static { input, output }),
            Op::Linear if precision == Precision::Int4 && has_blocks(graph, node) => Some(Quantized::Blocks),
            Op::Linear => Some(Quantized::Dynamic),
            _ => None,
        }
    });
    let errors = errors(graph, tensors, &scheme, calibration, folder)?;
    let mut told = Vec::new();
    for (i, error) in errors {
        let (Some(quantized), Some(node)) = (scheme.get(i), graph.nodes.get(i)) else { continue };
        let bits = if quantized == Quantized::Blocks { 4 } else { 8 };
        let kept = match quantized {
            Quantized::Blocks if error > MOST_OF_4_BITS => {
                scheme.0.insert(i, Quantized::Dynamic);
                8
            }
            // What is not a number is more than any.
            _ if bits == 8 && (error.is_nan() || error > MOST_OF_8_BITS) => {
                scheme.remove(i);
                32
            }
            _ => bits,
        };
        told.push(Sensitivity { layer: node.path.to_string(), bits, error, kept });
    }
    Ok((scheme, told))
}

/// The ranges of what goes into each convolution and what comes out.
fn ranges(
    graph: &Graph,
    tensors: &Bound,
    calibration: &Calibration<'_>,
    folder: &Path,
) -> Result<BTreeMap<usize, [Span; 2]>> {
    let mut unet = open(graph, tensors, Probe::Ranges, calibration, folder)?;
    let told = probed(graph, Probe::Ranges);
    let mut spans: Vec<Option<[Span; 2]>> = vec![None; told.len()];
    walk(&mut unet, calibration, &calibration.prompts, calibration.steps, &mut |outputs| {
        let numbers = probe(outputs, 4 * told.len())?;
        for (known, found) in spans.iter_mut().zip(numbers.as_chunks::<4>().0) {
            let found = [Span::new(found[0], found[1]), Span::new(found[2], found[3])];
            *known = Some(known.map_or(found, |known| [known[0].and(found[0]), known[1].and(found[1])]));
        }
        Ok(())
    })?;
    Ok(told.into_iter().zip(spans).filter_map(|(i, span)| Some((i, span?))).collect())
}

/// The error of each operation of a scheme, alone quantised.
fn errors(
    graph: &Graph,
    tensors: &Bound,
    scheme: &Scheme,
    calibration: &Calibration<'_>,
    folder: &Path,
) -> Result<Vec<(usize, f64)>> {
    if scheme.is_empty() {
        return Ok(Vec::new());
    }
    let mut unet = open(graph, tensors, Probe::Errors(scheme), calibration, folder)?;
    let told = probed(graph, Probe::Errors(scheme));
    let mut sums = vec![[0.0; 2]; told.len()];
    let (prompts, steps) = MEASURED;
    let prompts = calibration.prompts.get(..prompts).unwrap_or(&calibration.prompts);
    walk(&mut unet, calibration, prompts, steps.min(calibration.steps), &mut |outputs| {
        let numbers = probe(outputs, 2 * told.len())?;
        for (sums, found) in sums.iter_mut().zip(numbers.as_chunks::<2>().0) {
            sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += f64::from(*found));
        }
        Ok(())
    })?;
    // A layer that gives nothing loses nothing.
    let relative = |[wrong, right]: [f64; 2]| if wrong == 0.0 { 0.0 } else { (wrong / right).sqrt() };
    Ok(told.into_iter().zip(sums.into_iter().map(relative)).collect())
}

/// The graph with a probe, opened. Its files are gone when it is closed.
fn open(
    graph: &Graph,
    tensors: &Bound,
    probe: Probe<'_>,
    calibration: &Calibration<'_>,
    folder: &Path,
) -> Result<Network> {
    let none = Scheme::default();
    let layout = match probe {
        Probe::Ranges => Layout::of(graph),
        Probe::Errors(scheme) => Layout::quantized(graph, &[&none, scheme]),
    };
    let data = folder.join("probe.onnx_data");
    let written = weights::write(graph, &layout, tensors, &data, &())?;
    let about = About { name: PROBE, data_file: "probe.onnx_data", metadata: &[] };
    let mut model = lower_probe(graph, &layout, &Target::CPU, probe, about)?;
    fill_inline(&mut model, &written.inline);
    files::write(&folder.join("probe.onnx"), &model.encode_to_vec())?;
    let file =
        GraphFile::open(folder, "probe.onnx", None, &HostCache::off()).map_err(pleach_runtime::engine::Error::from)?;
    Ok(calibration.engine.open(&file, &NetworkOptions::default())?)
}

/// The numbers that a probe gave: the last output.
fn probe(outputs: &[Tensor], expected: usize) -> Result<Vec<f32>> {
    let found = outputs.last().map(|output| output.view().to_f32().into_owned()).unwrap_or_default();
    if found.len() == expected {
        return Ok(found);
    }
    Err(Error::Output { file: "probe.onnx".into(), expected: vec![expected], found: Some(vec![found.len()]) })
}
