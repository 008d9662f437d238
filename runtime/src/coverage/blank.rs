//! A graph whose weights are gone, and that ONNX Runtime's kernels for processors take.
//!
//! What a provider is asked about does not depend on weights, which may be gigabytes: their place is taken by one file of zeros that
//! takes no room on the disk. Constants that lie in the graph stay, for shapes are among them.
//!
//! In half precision ONNX Runtime would first write the graph anew for its own kernels, which are few: casts around every node, operators
//! in terms of others. So half precision is made single precision, and a cast between the two a node that is left alone
//! ([`STAND_IN`]); [`Blank::restore`] undoes both.

use super::{Error, Frozen, Result, types};
use crate::onnx::{
    AttributeProto, DataLocation, DataType, GraphProto, ModelProto, NodeProto, TensorProto, TypeValue, ValueInfoProto,
};
use half::{bf16, f16};
use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// The file of zeros.
const ZEROS: &str = "zeros";
/// An operator on f32 that no optimisation knows.
const STAND_IN: &str = "Softsign";

/// A graph without weights, and how it differs from the one that it was made of.
pub(super) struct Blank {
    /// The graph. Its weights lie in the folder it was made for.
    pub model: ModelProto,
    /// What each cast to or from half precision casts to, by what it makes.
    casts: HashMap<String, DataType>,
    /// The type of each input and constant that was of half precision.
    halves: HashMap<String, DataType>,
}

impl Blank {
    /// Makes one of `model`, whose weight files lie in `weights`, and writes the file of zeros into `folder`.
    pub fn new(mut model: ModelProto, weights: Option<&Path>, folder: &Path) -> Result<Self> {
        let mut blank = Self { model: ModelProto::default(), casts: HashMap::new(), halves: HashMap::new() };
        let mut longest = 0;
        if let Some(graph) = model.graph.as_mut() {
            blank.note_halves(graph);
            if !blank.halves.is_empty() || graph.node.iter().any(|node| cast_to(node).is_some_and(types::is_half)) {
                blank.widen_nodes(graph);
            }
            let within = graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|of| of.t.as_mut());
            for tensor in graph.initializer.iter_mut().chain(within) {
                empty(tensor, weights, &mut longest)?;
            }
            graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info).for_each(widen_declared);
        }
        let path = folder.join(ZEROS);
        let written = File::create(&path).and_then(|file| file.set_len(longest));
        written.map_err(|source| Error::File { path, source })?;
        Ok(Self { model, ..blank })
    }

    /// Notes which inputs and constants are of half precision.
    fn note_halves(&mut self, graph: &GraphProto) {
        let inputs = graph.input.iter().filter_map(|input| Some((&input.name, declared(input)?)));
        let constants = graph.initializer.iter().map(|tensor| (&tensor.name, types::of(tensor.data_type)));
        let halves = inputs.chain(constants).filter(|(_, kind)| types::is_half(*kind));
        self.halves.extend(halves.map(|(name, kind)| (name.clone(), kind)));
    }

    /// Makes every cast to or from half precision one in single precision.
    fn widen_nodes(&mut self, graph: &mut GraphProto) {
        let inputs = graph.input.iter().filter_map(|input| Some((input.name.clone(), declared(input)?)));
        let constants = graph.initializer.iter().map(|tensor| (tensor.name.clone(), types::of(tensor.data_type)));
        let mut known: HashMap<String, DataType> = inputs.chain(constants).collect();
        for node in &mut graph.node {
            let given = node.input.first().and_then(|input| known.get(input)).copied();
            if let Some(kind) = types::output(node, |name| known.get(name).copied()) {
                known.extend(node.output.iter().map(|output| (output.clone(), kind)));
            }
            let (Some(kind), Some(output)) = (cast_to(node), node.output.first()) else { continue };
            let alone = given.is_some_and(types::is_float) && types::is_float(kind);
            if !alone && !types::is_half(kind) {
                continue;
            }
            self.casts.insert(output.clone(), kind);
            node.attribute.clear();
            if alone {
                node.op_type = STAND_IN.to_owned();
            } else {
                node.attribute.push(AttributeProto::int("to", i64::from(i32::from(DataType::Float))));
            }
        }
    }

    /// Puts the casts and the types of half precision back into what ONNX Runtime made of the graph.
    pub fn restore(&self, graph: &mut Frozen) {
        if self.halves.is_empty() && self.casts.is_empty() {
            return;
        }
        for (name, value) in graph.values.iter_mut().filter(|(_, value)| value.dtype == DataType::Float) {
            value.dtype = self.halves.get(name).copied().unwrap_or(DataType::Float);
        }
        for node in &mut graph.nodes {
            let cast = node.output.first().and_then(|output| self.casts.get(output));
            if let Some(&kind) = cast.filter(|_| node.op_type == STAND_IN || node.op_type == "Cast") {
                node.op_type = "Cast".to_owned();
                node.attribute = vec![AttributeProto::int("to", i64::from(i32::from(kind)))];
            }
            let kind = types::output(node, |name| graph.values.get(name).map(|value| value.dtype));
            for output in &node.output {
                if let (Some(value), Some(kind)) = (graph.values.get_mut(output), kind)
                    && value.dtype == DataType::Float
                {
                    value.dtype = kind;
                }
            }
        }
    }
}

/// What a cast casts to.
fn cast_to(node: &NodeProto) -> Option<DataType> {
    let to = types::attribute(node, "to").filter(|_| node.op_type == "Cast")?.i?;
    i32::try_from(to).ok().map(types::of)
}

fn declared(value: &ValueInfoProto) -> Option<DataType> {
    let TypeValue::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    Some(types::of(tensor.elem_type))
}

fn widen_declared(value: &mut ValueInfoProto) {
    if let Some(TypeValue::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        && types::is_half(types::of(tensor.elem_type))
    {
        tensor.elem_type = DataType::Float.into();
    }
}

/// Makes a tensor one of single precision if it is one of half precision, and zeros if its elements lie in another file. Whole numbers of
/// 32 and 64 bits may be shapes: they are read.
fn empty(tensor: &mut TensorProto, weights: Option<&Path>, longest: &mut u64) -> Result<()> {
    let kind = types::of(tensor.data_type);
    if types::is_half(kind) {
        widen(tensor, kind);
    }
    if tensor.data_location != i32::from(DataLocation::External) {
        return Ok(());
    }
    let kind = types::of(tensor.data_type);
    let numel = tensor.dims.iter().fold(1u64, |numel, &size| numel.saturating_mul(u64::try_from(size).unwrap_or(0)));
    let length = numel.saturating_mul(kind.bits().unwrap_or(0)).div_ceil(8);
    if matches!(kind, DataType::Int64 | DataType::Int32)
        && let Some(folder) = weights
    {
        tensor.raw_data = read(tensor, folder, length)?.into();
        tensor.external_data.clear();
        tensor.data_location = DataLocation::Default.into();
        return Ok(());
    }
    let name = std::mem::take(&mut tensor.name);
    let dims = std::mem::take(&mut tensor.dims);
    *tensor = TensorProto::external(&name, kind, dims, ZEROS, 0, length);
    *longest = (*longest).max(length);
    Ok(())
}

/// Elements of half precision as single precision; those in another file are forgotten anyway.
fn widen(tensor: &mut TensorProto, kind: DataType) {
    let widened = |bits: u16| match kind {
        DataType::Bfloat16 => bf16::from_bits(bits).to_f32(),
        _ => f16::from_bits(bits).to_f32(),
    };
    let raw = tensor.raw_data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let listed = tensor.int32_data.iter().map(|&bits| u16::try_from(bits).unwrap_or_default());
    let elements: Vec<u8> = raw.chain(listed).flat_map(|bits| widened(bits).to_le_bytes()).collect();
    tensor.raw_data = elements.into();
    tensor.int32_data.clear();
    tensor.data_type = DataType::Float.into();
}

/// The elements of a tensor in another file, whose bounds were checked when the graph was opened.
fn read(tensor: &TensorProto, folder: &Path, length: u64) -> Result<Vec<u8>> {
    let entry =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let path = folder.join(entry("location").unwrap_or_default());
    let offset = entry("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
    let mut bytes = Vec::new();
    let mut elements = || {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        file.take(length).read_to_end(&mut bytes)
    };
    elements().map_err(|source| Error::File { path: path.clone(), source })?;
    Ok(bytes)
}
