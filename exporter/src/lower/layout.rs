//! Where the numbers of a graph go: into the graph file where they are few, else into the data file beside it.
//!
//! The layout depends on the graph alone and not on the target, so all graphs of one network share one data file.

use super::tensors::data_type;
use crate::{
    graph::{Graph, Node, Origin, ValueId},
    quantize::{BLOCK, Quantized, Scheme},
};
use pleach_model::{op::Op, tensor::Dtype};
use pleach_runtime::onnx::DataType;
use std::collections::{BTreeSet, HashSet};

/// Tensors from this size on are external: several providers want to see small constants in the graph itself.
pub const INLINE_BELOW: u64 = 1024;
/// External tensors begin at multiples of a page, so that they can be mapped.
pub const ALIGNMENT: u64 = 4096;

/// How the numbers of a parameter are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As the checkpoint has them.
    Plain,
    /// `[out, in]` as `[in, out]`, for `MatMul`.
    Transposed,
    /// `[C]` as `[C, 1, 1]`, to broadcast over pictures.
    PerChannel,
    /// Rows of 8-bit numbers ([`Rows`](crate::quantize::numbers::Rows)), in the checkpoint's shape.
    Rows,
    /// The same of a matrix, transposed.
    RowsTransposed,
    /// Their scales, `[out]`.
    RowScales,
    /// The same as `[out, 1]`.
    RowScaleColumn,
    /// The bias `[out]` of a product of 8-bit numbers, in 32 bits.
    WideBias(Product),
    /// Its scales, `[out]`.
    WideBiasScales(Product),
    /// A matrix in blocks of 4-bit numbers ([`Blocks`](crate::quantize::numbers::Blocks)), `[out, in]`.
    Blocks,
    /// Their scales, `[out, in / BLOCK]`.
    BlockScales,
    /// Their zero points, the same.
    BlockZeros,
}

/// A product of 8-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// The weight.
    pub weight: ValueId,
    /// Bits of the input's step.
    input: u32,
}

impl Product {
    /// Of an input of this step with a weight.
    pub fn new(weight: ValueId, input: f32) -> Self {
        Self { weight, input: input.to_bits() }
    }

    /// Step of the input.
    pub fn input(self) -> f32 {
        f32::from_bits(self.input)
    }
}

impl Form {
    /// The form that an operation wants its operand in.
    pub(super) fn wanted(op: &Op, operand: usize) -> Self {
        match (op, operand) {
            (Op::Linear, 1) => Self::Transposed,
            (Op::GroupNorm { .. }, 1 | 2) => Self::PerChannel,
            _ => Self::Plain,
        }
    }

    /// The forms of an operand of an operation that may be quantised.
    fn all(node: &Node, operand: usize, quantized: Option<Quantized>) -> Vec<Self> {
        match (quantized, &node.op, operand) {
            (Some(Quantized::Static { .. } | Quantized::Weights), Op::Conv2d(_), 1) => {
                vec![Self::Rows, Self::RowScales]
            }
            (Some(Quantized::Static { input, .. }), Op::Conv2d(_), 2) => {
                let product = Product::new(node.inputs[1], input.scale());
                vec![Self::WideBias(product), Self::WideBiasScales(product)]
            }
            (Some(Quantized::Dynamic | Quantized::Weights), Op::Linear, 1) => {
                vec![Self::RowsTransposed, Self::RowScales]
            }
            (Some(Quantized::Blocks), Op::Linear, 1) => vec![Self::Blocks, Self::BlockScales, Self::BlockZeros],
            (Some(Quantized::Rows), Op::Embedding, 0) => vec![Self::Rows, Self::RowScaleColumn],
            (_, op, operand) => vec![Self::wanted(op, operand)],
        }
    }

    fn dims(self, shape: &[usize]) -> Vec<usize> {
        let rows = shape.first().copied().unwrap_or(1);
        match self {
            Self::Plain | Self::Rows | Self::WideBias(_) | Self::WideBiasScales(_) | Self::Blocks => shape.to_vec(),
            Self::Transposed | Self::RowsTransposed => shape.iter().rev().copied().collect(),
            Self::PerChannel => [shape, &[1, 1]].concat(),
            Self::RowScales => vec![rows],
            Self::RowScaleColumn => vec![rows, 1],
            Self::BlockScales | Self::BlockZeros => vec![rows, shape.get(1).copied().unwrap_or(0) / BLOCK],
        }
    }

    /// What is added to the parameter's name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Plain | Self::PerChannel => "",
            Self::Transposed => ".T",
            Self::Rows => ".s8",
            Self::RowsTransposed => ".s8.T",
            Self::RowScales => ".scales",
            Self::RowScaleColumn => ".scale_column",
            Self::WideBias(_) => ".s32",
            Self::WideBiasScales(_) => ".s32.scales",
            Self::Blocks => ".u4",
            Self::BlockScales => ".u4.scales",
            Self::BlockZeros => ".u4.zeros",
        }
    }
}

/// A parameter or constant of the graph in one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Name of the initialiser: the parameter's, with `.T` where it is transposed.
    pub name: String,
    /// The value of the graph.
    pub value: ValueId,
    /// How it is arranged.
    pub form: Form,
    /// Type of its elements where they are floating-point numbers.
    pub dtype: Dtype,
    /// Shape in this form.
    pub dims: Vec<usize>,
    /// Where the numbers are.
    pub place: Place,
}

/// Where the numbers of a weight are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the graph file.
    Graph,
    /// In the graph's own data file.
    Data {
        /// First byte.
        offset: u64,
    },
    /// In the data file of another graph in the same folder, which has the same weight.
    Shared {
        /// Name of the file.
        file: String,
        /// First byte.
        offset: u64,
    },
}

impl Weight {
    /// What two weights must have in common to be written alike: name, form, type and shape.
    pub fn kind(&self) -> (&String, Form, Dtype, &Vec<usize>) {
        (&self.name, self.form, self.dtype, &self.dims)
    }

    /// Type of its elements.
    pub fn data_type(&self) -> DataType {
        match self.form {
            Form::Rows | Form::RowsTransposed => DataType::Int8,
            Form::WideBias(_) => DataType::Int32,
            Form::Blocks | Form::BlockZeros => DataType::Uint4,
            Form::RowScales | Form::RowScaleColumn | Form::WideBiasScales(_) | Form::BlockScales => DataType::Float,
            Form::Plain | Form::Transposed | Form::PerChannel => data_type(self.dtype),
        }
    }

    /// Size of the numbers.
    pub fn bytes(&self) -> u64 {
        let bits = self.data_type().bits().unwrap_or(0) * self.dims.iter().product::<usize>() as u64;
        bits.div_ceil(8)
    }
}

/// Weights in the order of first use, which is the order of the data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The weights.
    pub weights: Vec<Weight>,
    /// Size of the data file; 0 where there need be none.
    pub bytes: u64,
}

impl Layout {
    /// The layout of a graph.
    pub fn of(graph: &Graph) -> Self {
        Self::quantized(graph, &[&Scheme::default()])
    }

    /// The layout of a graph that is written in each of these schemes.
    pub fn quantized(graph: &Graph, schemes: &[&Scheme]) -> Self {
        let mut layout = Self { weights: Vec::new(), bytes: 0 };
        let mut seen = HashSet::new();
        let operands = graph.nodes.iter().enumerate().flat_map(|(i, node)| {
            let forms = move |operand| schemes.iter().flat_map(move |scheme| Form::all(node, operand, scheme.get(i)));
            node.inputs
                .iter()
                .enumerate()
                .flat_map(move |(operand, &value)| forms(operand).map(move |form| (value, form)))
        });
        let outputs = graph.outputs.iter().map(|output| (output.value, Form::Plain));
        for (value, wanted) in operands.chain(outputs) {
            let form = match graph.values[value].origin {
                Origin::Parameter(_) => wanted,
                Origin::Constant(_) => Form::Plain,
                Origin::Input(_) | Origin::Node(_) => continue,
            };
            if seen.insert((value, form)) {
                layout.push(graph, value, form);
            }
        }
        layout
    }

    fn push(&mut self, graph: &Graph, value: ValueId, form: Form) {
        let fact = graph.fact(value);
        // Parameters and constants have known shapes.
        let shape = fact.known().unwrap_or_default();
        let mut name = match graph.parameter(value) {
            Some(spec) => format!("{}{}", spec.name, form.suffix()),
            None => format!("constant.{}", self.weights.len()),
        };
        while self.weights.iter().any(|weight| weight.name == name) {
            name.push('\'');
        }
        let place = Place::Graph;
        let mut weight = Weight { name, value, form, dtype: fact.dtype, dims: form.dims(&shape), place };
        if weight.bytes() >= INLINE_BELOW {
            weight.place = self.place(weight.bytes());
        }
        self.weights.push(weight);
    }

    /// Room in the data file.
    fn place(&mut self, bytes: u64) -> Place {
        let offset = self.bytes.next_multiple_of(ALIGNMENT);
        self.bytes = offset + bytes;
        Place::Data { offset }
    }

    /// Takes from other data files what lies there already: `shared` gives file and offset of a weight that is the same. The others move
    /// together.
    pub fn share(&mut self, shared: impl Fn(&Weight) -> Option<(String, u64)>) {
        self.bytes = 0;
        for i in 0..self.weights.len() {
            let Some(weight) = self.weights.get(i).filter(|weight| weight.place != Place::Graph) else { continue };
            let place = match shared(weight) {
                Some((file, offset)) => Place::Shared { file, offset },
                None => self.place(weight.bytes()),
            };
            if let Some(weight) = self.weights.get_mut(i) {
                weight.place = place;
            }
        }
    }

    /// The data files of others that weights lie in, by name.
    pub fn shared_files(&self) -> BTreeSet<&str> {
        let files = self.weights.iter().filter_map(|weight| match &weight.place {
            Place::Shared { file, .. } => Some(file.as_str()),
            Place::Graph | Place::Data { .. } => None,
        });
        files.collect()
    }

    /// The weight that gives a value in a form.
    pub(super) fn find(&self, value: ValueId, form: Form) -> Option<&Weight> {
        self.weights.iter().find(|weight| weight.value == value && weight.form == form)
    }
}
