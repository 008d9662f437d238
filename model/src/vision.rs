//! A small convolutional picture encoder with linear heads: the judge and the image tower of the small world.
//!
//! It is no published network, so its configuration and tensor names are its own: ResNets and downsamplers as the
//! autoencoder's encoder has them, the largest value over all positions (what is shown counts, wherever it is; with the mean in its
//! place shapes are learnt many times slower), a hidden layer whose output are the features, and heads on the features.

use crate::{
    backend::Backend,
    config::Fields,
    error::Result,
    layers::{Conv2d, GroupNorm, Linear},
    op::{self, Extent, Unary},
    params::Params,
    resnet::{Resnet, ResnetConfig},
    sites::Pass,
};
use serde_json::{Map, Value, json};

/// What its configuration calls its class.
pub const CLASS: &str = "PleachVision";
/// Epsilon of every norm.
const NORM_EPS: f64 = 1e-5;

/// Sizes of the encoder. Lists go from the finest level to the coarsest.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Channels of the pictures.
    pub in_channels: usize,
    /// Channels of each level; the first works at half the picture's size.
    pub block_out_channels: Vec<usize>,
    /// ResNets of each level.
    pub layers_per_block: usize,
    /// Groups of every GroupNorm.
    pub norm_num_groups: usize,
    /// Features that the heads see.
    pub features: usize,
    /// The heads, in order.
    pub heads: Vec<Head>,
}

/// What one head distinguishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name: `style`.
    pub name: String,
    /// The classes, in the order of their scores.
    pub classes: Vec<String>,
    /// Whether they exclude each other.
    pub choice: Choice,
}

/// How the scores of a head are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A picture shows exactly one: the class of the highest score (softmax).
    OneOf,
    /// A picture shows any number of them: those with a score above 0 (sigmoid).
    AnyOf,
}

impl Choice {
    const ALL: [Self; 2] = [Self::OneOf, Self::AnyOf];

    fn key(self) -> &'static str {
        match self {
            Self::OneOf => "one_of",
            Self::AnyOf => "any_of",
        }
    }
}

impl Head {
    /// Numbers of the classes that these scores find.
    pub fn found(&self, scores: &[f32]) -> Vec<usize> {
        match self.choice {
            Choice::OneOf => (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).into_iter().collect(),
            Choice::AnyOf => (0..scores.len()).filter(|&class| scores[class] > 0.0).collect(),
        }
    }

    fn from_json(name: &str, value: &Value) -> Option<Self> {
        let object = value.as_object().filter(|object| object.len() == 1)?;
        let (choice, list) = Choice::ALL.into_iter().find_map(|choice| Some((choice, object.get(choice.key())?)))?;
        let words = list.as_array().filter(|list| !list.is_empty())?.iter();
        let classes = words.map(|word| Some(word.as_str()?.to_owned())).collect::<Option<_>>()?;
        Some(Self { name: name.to_owned(), classes, choice })
    }
}

impl VisionConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Names the first field that is missing or malformed.
    pub fn from_json(value: &Value) -> Result<Self> {
        let fields = Fields::new(CLASS, value)?;
        fields.only(&[("_class_name", json!(CLASS))])?;
        let heads = fields.get("heads").and_then(Value::as_object);
        let heads = heads.ok_or_else(|| fields.error("heads", "missing; expected an object of heads"))?;
        let head = |(name, value): (&String, &Value)| {
            Head::from_json(name, value).ok_or_else(|| {
                let reason =
                    format!("{name}: expected {{\"one_of\": [...]}} or {{\"any_of\": [...]}} with names of classes");
                fields.error("heads", reason)
            })
        };
        let config = Self {
            in_channels: fields.count("in_channels", Some(3))?,
            block_out_channels: fields.counts("block_out_channels")?,
            layers_per_block: fields.count("layers_per_block", Some(1))?,
            norm_num_groups: fields.count("norm_num_groups", Some(32))?,
            features: fields.count("features", None)?,
            heads: heads.iter().map(head).collect::<Result<_>>()?,
        };
        let groups = config.norm_num_groups;
        match config.block_out_channels.iter().find(|channels| *channels % groups != 0) {
            None => Ok(config),
            Some(channels) => {
                let reason = format!("{channels} channels do not fall into {groups} groups");
                Err(fields.error("block_out_channels", reason))
            }
        }
    }

    /// Pixels of a picture, each way, that one position of the last level stands for.
    pub fn factor(&self) -> usize {
        1 << self.block_out_channels.len()
    }

    /// The same as a configuration.
    pub fn to_json(&self) -> Value {
        let head = |head: &Head| (head.name.clone(), json!({ head.choice.key(): head.classes }));
        let heads: Map<String, Value> = self.heads.iter().map(head).collect();
        json!({
            "_class_name": CLASS,
            "in_channels": self.in_channels,
            "block_out_channels": self.block_out_channels,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_num_groups,
            "features": self.features,
            "heads": heads,
        })
    }
}

/// What the encoder sees in a batch of pictures.
pub struct Seen<V> {
    /// `[B, features]`: the penultimate layer.
    pub features: V,
    /// Scores of each head, before softmax or sigmoid: `[B, classes]`.
    pub heads: Vec<V>,
}

/// The encoder.
pub struct Vision<B: Backend> {
    channels: usize,
    conv_in: Conv2d<B>,
    levels: Vec<Level<B>>,
    norm_out: GroupNorm<B>,
    hidden: Linear<B>,
    heads: Vec<Linear<B>>,
}

struct Level<B: Backend> {
    resnets: Vec<Resnet<B>>,
    sampler: Option<Conv2d<B>>,
}

impl<B: Backend> Vision<B> {
    /// An encoder whose layers lie below `p`.
    pub fn new(config: &VisionConfig, p: &Params<B>) -> Result<Self> {
        let (channels, groups) = (&config.block_out_channels, config.norm_num_groups);
        let halve = op::Conv2d { stride: 2, padding: [1; 4] };
        let level = |i: usize| {
            let p = p.at(format_args!("blocks.{i}"));
            let (input, output) = (channels[i.saturating_sub(1)], channels[i]);
            let resnet = |j: usize| {
                let input = if j == 0 { input } else { output };
                let sizes = ResnetConfig { input, output, time: None, groups, kept: groups, eps: NORM_EPS };
                Resnet::new(&p.at(format_args!("resnets.{j}")), &sizes)
            };
            let sampler = (i + 1 < channels.len())
                .then(|| Conv2d::new(&p.at("downsamplers.0.conv"), output, output, 3, halve))
                .transpose()?;
            Ok(Level { resnets: (0..config.layers_per_block).map(resnet).collect::<Result<_>>()?, sampler })
        };
        let last = channels[channels.len() - 1];
        let head = |Head { name, classes, .. }: &Head| {
            Linear::new(&p.at(format_args!("heads.{name}")), config.features, classes.len(), true)
        };
        Ok(Self {
            channels: last,
            conv_in: Conv2d::new(&p.at("conv_in"), config.in_channels, channels[0], 3, halve)?,
            levels: (0..channels.len()).map(level).collect::<Result<_>>()?,
            norm_out: GroupNorm::new(&p.at("norm_out"), groups, last, NORM_EPS)?,
            hidden: Linear::new(&p.at("hidden"), last, config.features, true)?,
            heads: config.heads.iter().map(head).collect::<Result<_>>()?,
        })
    }

    /// Pictures `[B, in_channels, H, W]` in [-1, 1].
    pub fn forward(&self, pass: &Pass<B>, pictures: &B::Value) -> Result<Seen<B::Value>> {
        let mut h = self.conv_in.forward(pass, pictures)?;
        for level in &self.levels {
            for resnet in &level.resnets {
                h = resnet.forward(pass, &h, None)?;
            }
            if let Some(sampler) = &level.sampler {
                h = sampler.forward(pass, &h)?;
            }
        }
        let h = pass.silu(&self.norm_out.forward(pass, &h)?)?;
        let rows = pass.reshape(&h, &[Extent::Keep(0), Extent::Is(self.channels), Extent::Rest])?;
        let most = pass.reshape(&pass.max(&rows, 2)?, &[Extent::Keep(0), Extent::Is(self.channels)])?;
        let hidden = self.hidden.forward(pass, &most)?;
        let features = pass.unary(&hidden, Unary::Gelu)?;
        let heads = self.heads.iter().map(|head| head.forward(pass, &features)).collect::<Result<_>>()?;
        Ok(Seen { features, heads })
    }
}
