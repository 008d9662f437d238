//! The small world's own CLIP (Radford et al. 2021): the two towers that bring pictures and captions to the same features.
//!
//! It is no published network: the image tower is a [`Vision`] that also sees where in the picture each pixel is. A cosine of what the
//! towers give is the dot product, as both are of length 1.

use crate::{
    backend::{Backend, Constant},
    clip::{ClipText, ClipTextConfig},
    config::Fields,
    error::Result,
    layers::Linear,
    op::{Extent, Unary},
    params::Params,
    sites::Pass,
    tensor::Dtype,
    vision::{CLASS, Head, Vision, VisionConfig},
};
use serde_json::Value;

/// Folder of the image tower, the projection of texts and the factor of similarities, beside the parts of a pipeline.
pub const FOLDER: &str = "clip";
/// Path of the projection of texts.
pub const PROJECTION: &str = "text_projection";
/// The one head of the image tower's network: the features that pictures share with texts.
pub const HEAD: &str = "shared";
/// Channels that tell where a pixel is: its column and its row.
const PLACES: usize = 2;
/// The least square of a length that features are divided by.
const LEAST: f64 = 1e-12;

/// Sizes of the image tower.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageTowerConfig {
    /// Its network: the channels of a picture and two more, and one head.
    pub vision: VisionConfig,
    /// Pixels of a picture, each way.
    pub side: usize,
}

impl ImageTowerConfig {
    /// The network of `config.json`, for pictures of this side.
    ///
    /// # Errors
    /// Names the field that keeps the network from being an image tower.
    pub fn from_json(value: &Value, side: usize) -> Result<Self> {
        let vision = VisionConfig::from_json(value)?;
        let fields = Fields::new(CLASS, value)?;
        if !matches!(&vision.heads[..], [head] if head.name == HEAD) {
            return Err(fields.error("heads", format!("an image tower has one, called {HEAD:?}")));
        }
        if vision.in_channels < 2 * PLACES {
            let reason =
                format!("{}: an image tower sees pictures and {PLACES} channels of places", vision.in_channels);
            return Err(fields.error("in_channels", reason));
        }
        Ok(Self { vision, side })
    }

    /// Channels of a picture.
    pub fn channels(&self) -> usize {
        self.vision.in_channels - PLACES
    }

    /// Features that pictures and texts share.
    pub fn shared(&self) -> usize {
        self.vision.heads.first().map_or(0, |head: &Head| head.classes.len())
    }
}

/// Sizes of the text tower.
#[derive(Clone, Debug, PartialEq)]
pub struct TextTowerConfig {
    /// The text encoder.
    pub text: ClipTextConfig,
    /// Features that pictures and texts share.
    pub shared: usize,
}

/// Pictures to features.
pub struct ImageTower<B: Backend> {
    vision: Vision<B>,
    places: B::Value,
}

impl<B: Backend> ImageTower<B> {
    /// A tower whose layers lie below `p`.
    pub fn new(config: &ImageTowerConfig, p: &Params<B>) -> Result<Self> {
        let side = config.side;
        let places = p.backend().constant(Constant::F32(places(side)), &[1, PLACES, side, side])?;
        Ok(Self { vision: Vision::new(&config.vision, p)?, places })
    }

    /// Pictures `[B, channels, side, side]` in [-1, 1] to features of length 1, `[B, shared]` in f32.
    pub fn forward(&self, pass: &Pass<B>, pictures: &B::Value) -> Result<B::Value> {
        let places = pass.cast(&self.places, pass.fact(pictures).dtype)?;
        // As many as there are pictures: no operation repeats.
        let none = pass.affine(&pass.narrow_like(pictures, 1, 0, &places, 1)?, 0.0, 0.0)?;
        let input = pass.concat(&[pictures, &pass.add(&none, &places)?], 1)?;
        let seen = self.vision.forward(pass, &input)?;
        // The configuration has exactly one head.
        unit(pass, seen.heads.first().unwrap_or(&seen.features))
    }
}

/// Texts to features.
pub struct TextTower<B: Backend> {
    text: ClipText<B>,
    projection: Linear<B>,
    width: usize,
    /// Row `i` is 1 at position `i`, and 0 elsewhere.
    positions: B::Value,
}

impl<B: Backend> TextTower<B> {
    /// A tower whose text encoder and projection lie below `p`.
    pub fn new(config: &TextTowerConfig, p: &Params<B>) -> Result<Self> {
        let TextTowerConfig { text, shared } = config;
        let length = text.max_position_embeddings;
        let one = |i: usize| f32::from(u8::from(i.is_multiple_of(length + 1)));
        let positions = Constant::F32((0..length * length).map(one).collect());
        Ok(Self {
            text: ClipText::new(text, p)?,
            projection: Linear::new(&p.at(PROJECTION), text.hidden_size, *shared, false)?,
            width: text.hidden_size,
            positions: p.backend().constant(positions, &[length; 2])?,
        })
    }

    /// Token ids `[B, N]` to features of length 1, `[B, shared]` in f32: the projection of what the encoder says at the end of the text,
    /// which is the first token of the highest id. What follows it changes nothing.
    pub fn forward(&self, pass: &Pass<B>, ids: &B::Value) -> Result<B::Value> {
        let hidden = self.text.forward(pass, ids)?;
        let end = pass.arg_max(&pass.cast(ids, Dtype::F32)?, 1)?;
        let is_end = pass.narrow_like(&pass.embedding(&self.positions, &end)?, 1, 0, ids, 1)?;
        let is_end = pass.reshape(&is_end, &[Extent::Keep(0), Extent::Rest, Extent::Is(1)])?;
        let last = pass.sum(&pass.mul(&hidden, &pass.cast(&is_end, pass.fact(&hidden).dtype)?)?, 1)?;
        let last = pass.reshape(&last, &[Extent::Keep(0), Extent::Is(self.width)])?;
        unit(pass, &self.projection.forward(pass, &last)?)
    }
}

/// Column and row of each pixel, from -1 to 1: `[2, side, side]`, the same numbers as PyTorch's `linspace`.
fn places(side: usize) -> Vec<f32> {
    let step = 2.0 / (side.max(2) - 1) as f32;
    let line = |i: usize| if i < side / 2 { -1.0 + step * i as f32 } else { 1.0 - step * (side - 1 - i) as f32 };
    let columns = (0..side * side).map(|i| line(i % side));
    columns.chain((0..side * side).map(|i| line(i / side))).collect()
}

/// Rows `[B, D]` at length 1, in f32.
fn unit<B: Backend>(pass: &Pass<B>, x: &B::Value) -> Result<B::Value> {
    let x = pass.cast(x, Dtype::F32)?;
    let square = pass.at_least(&pass.sum(&pass.mul(&x, &x)?, 1)?, LEAST)?;
    pass.div(&x, &pass.unary(&square, Unary::Sqrt)?)
}
