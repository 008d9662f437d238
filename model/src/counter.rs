//! Multiply-accumulates, parameters and activation sizes of a network, and the list of tensors that its checkpoint must hold.

use crate::{
    architecture::{Architecture, PrunableSite},
    backend::Constant,
    clip::{ClipText, ClipTextConfig},
    error::Result,
    op::{Op, Unary},
    params::{Listing, Params, Source},
    router::{Router, RouterConfig},
    sentence::{SentenceConfig, SentenceEncoder},
    shape::Fact,
    sites::Pass,
    tensor::{Dtype, TensorSpec},
    towers::{ImageTower, ImageTowerConfig, TextTower, TextTowerConfig},
    trace::{Sink, Traced, Tracer},
    unet::{UNet, UNetConfig},
    vae::{Decoder, Encoder, VaeConfig},
    vector::VectorLayout,
    vision::{Vision, VisionConfig},
};
use serde::{Deserialize, Serialize};
use std::{iter::Sum, ops::Add, sync::Arc};

/// Multiply-accumulates by three rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Macs {
    /// Matrix products as they are: convolutions, linear layers, both products of attention. No biases, nothing elementwise.
    pub exact: u64,
    /// As APTP's released counter has it: with biases, norms, SiLU and softmax, and cross-attention counted as if the
    /// text were as long as the picture.
    pub aptp: u64,
    /// Convolutions and linear layers only, as thop and most papers count.
    pub linear_conv: u64,
}

/// A rule of counting: a field of [`Macs`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// [`Macs::exact`].
    #[default]
    Exact,
    /// [`Macs::aptp`].
    Aptp,
    /// [`Macs::linear_conv`].
    LinearConv,
}

impl Macs {
    /// The count by a rule.
    pub fn by(self, rule: Rule) -> u64 {
        match rule {
            Rule::Exact => self.exact,
            Rule::Aptp => self.aptp,
            Rule::LinearConv => self.linear_conv,
        }
    }
}

impl Add for Macs {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            exact: self.exact + other.exact,
            aptp: self.aptp + other.aptp,
            linear_conv: self.linear_conv + other.linear_conv,
        }
    }
}

impl Sum for Macs {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

/// What one operation costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Module path.
    pub path: Arc<str>,
    /// Name of the operation.
    pub op: &'static str,
    /// Its multiply-accumulates.
    pub macs: Macs,
    /// Bytes of its result.
    pub bytes: u64,
}

impl Cost {
    /// Whether the operation belongs to a module or to something inside it; everything is inside the network, whose path is empty.
    pub fn is_inside(&self, module: &str) -> bool {
        let rest = self.path.strip_prefix(module);
        module.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Counts what a traced network costs. Every dimension must be known.
#[derive(Debug, Default)]
pub struct Counter {
    costs: Vec<Cost>,
    values: usize,
}

impl Sink for Counter {
    fn node(&mut self, path: &str, op: &Op, inputs: &[&Traced], output: &Fact) -> usize {
        let facts: Vec<&Fact> = inputs.iter().map(|value| &value.fact).collect();
        let bytes = numel(output) * output.dtype.size() as u64;
        self.costs.push(Cost { path: path.into(), op: op.name(), macs: macs(op, &facts, output), bytes });
        self.id()
    }

    fn constant(&mut self, _: &str, _: Constant, _: &Fact) -> usize {
        self.id()
    }
}

impl Counter {
    fn id(&mut self) -> usize {
        self.values += 1;
        self.values
    }
}

/// Gives every parameter as a bare shape.
#[derive(Clone, Copy, Debug)]
pub struct Shapes(pub Dtype);

impl<S: Sink> Source<Tracer<S>> for Shapes {
    fn parameter(&self, _: &Tracer<S>, spec: &TensorSpec) -> Result<Traced> {
        Ok(Traced { id: 0, fact: Fact::new(self.0, spec.shape.iter().copied()) })
    }
}

/// What a network holds and costs.
#[derive(Clone, Debug)]
pub struct Report {
    /// Tensors that its checkpoint must hold, in the order of construction.
    pub tensors: Vec<TensorSpec>,
    /// Cost of each operation of one forward pass, in order.
    pub costs: Vec<Cost>,
}

impl Report {
    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.numel() as u64).sum()
    }

    /// Multiply-accumulates of the whole pass.
    pub fn macs(&self) -> Macs {
        self.costs.iter().map(|cost| cost.macs).sum()
    }

    /// Multiply-accumulates of a module and everything inside it.
    pub fn macs_of(&self, module: &str) -> Macs {
        self.costs.iter().filter(|cost| cost.is_inside(module)).map(|cost| cost.macs).sum()
    }

    /// Bytes of all intermediate results together: about what autograd keeps.
    pub fn activation_bytes(&self) -> u64 {
        self.costs.iter().map(|cost| cost.bytes).sum()
    }

    /// Bytes of the largest intermediate result.
    pub fn largest_activation(&self) -> u64 {
        self.costs.iter().map(|cost| cost.bytes).max().unwrap_or(0)
    }
}

/// Sizes that a pass is counted at; the batch is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// Latent height.
    pub height: usize,
    /// Latent width.
    pub width: usize,
    /// Length of the text embedding.
    pub tokens: usize,
}

impl At {
    /// 64x64 latents and 77 tokens: a 512x512 picture.
    pub const SD512: Self = Self { height: 64, width: 64, tokens: 77 };
}

fn count(build: impl FnOnce(&Tracer<Counter>, &Params<Tracer<Counter>>) -> Result<()>) -> Result<Report> {
    let (tracer, listing) = (Tracer::new(Counter::default()), Listing::new(Shapes(Dtype::F32)));
    build(&tracer, &Params::new(&tracer, &listing))?;
    Ok(Report { tensors: listing.into_specs(), costs: tracer.finish().costs })
}

fn input(dtype: Dtype, shape: &[usize]) -> Traced {
    Traced { id: 0, fact: Fact::new(dtype, shape.iter().copied()) }
}

/// Counts one pass of a UNet.
pub fn unet(config: &UNetConfig, architecture: &Architecture, at: At) -> Result<Report> {
    count(|tracer, params| {
        let unet = UNet::new(config, architecture, params)?;
        let sample = input(Dtype::F32, &[1, config.in_channels, at.height, at.width]);
        let context = input(Dtype::F32, &[1, at.tokens, config.cross_attention_dim]);
        unet.forward(&Pass::plain(tracer), &sample, &input(Dtype::F32, &[1]), &context).map(drop)
    })
}

/// The sites of a UNet that can be pruned.
pub fn unet_sites(config: &UNetConfig) -> Result<Vec<PrunableSite>> {
    let tracer = Tracer::new(Counter::default());
    let unet = UNet::new(config, &Architecture::full(), &Params::new(&tracer, &Shapes(Dtype::F32)))?;
    Ok(unet.sites().to_vec())
}

/// Counts a picture encoded.
pub fn vae_encoder(config: &VaeConfig, at: At) -> Result<Report> {
    let factor = config.factor();
    count(|tracer, params| {
        let picture = input(Dtype::F32, &[1, config.in_channels, factor * at.height, factor * at.width]);
        Encoder::new(config, params)?.forward(&Pass::plain(tracer), &picture).map(drop)
    })
}

/// Counts latents decoded.
pub fn vae_decoder(config: &VaeConfig, at: At) -> Result<Report> {
    count(|tracer, params| {
        let latents = input(Dtype::F32, &[1, config.latent_channels, at.height, at.width]);
        Decoder::new(config, params)?.forward(&Pass::plain(tracer), &latents).map(drop)
    })
}

/// The tensors of a whole autoencoder: encoder, then decoder.
pub fn vae_tensors(config: &VaeConfig) -> Result<Vec<TensorSpec>> {
    let report = count(|_, params| {
        Encoder::new(config, params)?;
        Decoder::new(config, params).map(drop)
    })?;
    Ok(report.tensors)
}

/// Counts a text encoded.
pub fn clip_text(config: &ClipTextConfig, tokens: usize) -> Result<Report> {
    count(|tracer, params| {
        let ids = input(Dtype::I64, &[1, tokens]);
        ClipText::new(config, params)?.forward(&Pass::plain(tracer), &ids).map(drop)
    })
}

/// Counts a picture of these sides looked at.
pub fn vision(config: &VisionConfig, [height, width]: [usize; 2]) -> Result<Report> {
    count(|tracer, params| {
        let picture = input(Dtype::F32, &[1, config.in_channels, height, width]);
        Vision::new(config, params)?.forward(&Pass::plain(tracer), &picture).map(drop)
    })
}

/// Counts a picture brought to the features that it shares with texts.
pub fn image_tower(config: &ImageTowerConfig) -> Result<Report> {
    count(|tracer, params| {
        let picture = input(Dtype::F32, &[1, config.channels(), config.side, config.side]);
        ImageTower::new(config, params)?.forward(&Pass::plain(tracer), &picture).map(drop)
    })
}

/// Counts a text of so many tokens brought to the features that it shares with pictures.
pub fn text_tower(config: &TextTowerConfig, tokens: usize) -> Result<Report> {
    count(|tracer, params| {
        let ids = input(Dtype::I64, &[1, tokens]);
        TextTower::new(config, params)?.forward(&Pass::plain(tracer), &ids).map(drop)
    })
}

/// Counts a prompt of so many tokens routed, from its ids on.
pub fn prompt_router(
    sentence: &SentenceConfig,
    config: &RouterConfig,
    layout: &VectorLayout,
    tokens: usize,
) -> Result<Report> {
    count(|tracer, params| {
        let ids = input(Dtype::I64, &[1, tokens]);
        let embedding = SentenceEncoder::new(sentence, params)?.forward(&Pass::plain(tracer), &ids, &ids)?;
        Router::new(config, layout, params)?.forward(tracer, &embedding).map(drop)
    })
}

/// Counts an embedding routed.
pub fn router(config: &RouterConfig, layout: &VectorLayout) -> Result<Report> {
    count(|tracer, params| {
        let sentence = input(Dtype::F32, &[1, config.features]);
        Router::new(config, layout, params)?.forward(tracer, &sentence).map(drop)
    })
}

/// Counts a sentence encoded.
pub fn sentence(config: &SentenceConfig, tokens: usize) -> Result<Report> {
    count(|tracer, params| {
        let ids = input(Dtype::I64, &[1, tokens]);
        SentenceEncoder::new(config, params)?.forward(&Pass::plain(tracer), &ids, &ids).map(drop)
    })
}

fn numel(fact: &Fact) -> u64 {
    fact.shape.iter().map(|dim| dim.known().unwrap_or(1) as u64).product()
}

fn length(fact: &Fact, axis: usize) -> u64 {
    fact.shape.get(axis).and_then(|dim| dim.known()).unwrap_or(1) as u64
}

/// One formula for each operation; see [`Macs`] for the rules.
fn macs(op: &Op, inputs: &[&Fact], output: &Fact) -> Macs {
    let elementwise = |aptp| Macs { aptp, ..Macs::default() };
    match op {
        Op::Linear | Op::Conv2d(_) => {
            let [out, fan_in] = [length(inputs[1], 0), numel(inputs[1]) / length(inputs[1], 0).max(1)];
            let products = numel(output) * fan_in;
            // APTP adds a linear layer's bias once and a convolution's at each position.
            let bias = if inputs.len() < 3 {
                0
            } else {
                numel(output) / if *op == Op::Linear { numel(output) / out } else { 1 }
            };
            Macs { exact: products, aptp: products + bias, linear_conv: products }
        }
        Op::Attention(attention) => {
            let (queries, keys) = (numel(inputs[0]), length(inputs[1], 1));
            let (rows, heads) = (length(inputs[0], 1), attention.heads as u64 * length(inputs[0], 0));
            Macs { exact: 2 * queries * keys, aptp: 2 * queries * rows + heads * rows * rows, linear_conv: 0 }
        }
        Op::GroupNorm { .. } | Op::Unary(Unary::Silu) => elementwise(2 * numel(output)),
        Op::LayerNorm { .. } => elementwise(numel(output)),
        _ => Macs::default(),
    }
}
