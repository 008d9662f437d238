//! What is asked of a pipeline, and what it says while it works.

use super::{Result, Size, job::Job};
use crate::{bundle::Bundle, image::Image};
use pleach_model::samplers::SamplerKind;
use std::fmt;

/// Pictures to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The pictures, in the order in which they are drawn.
    pub pictures: Vec<Picture>,
    /// What to keep away from, for all pictures; used with guidance above 1.
    pub negative: String,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale; at 1 and below the network runs without guidance, as in diffusers.
    pub guidance: f64,
    /// The sampler; the bundle's own by default.
    pub sampler: Option<SamplerKind>,
    /// The size; what the UNet was trained for by default.
    pub size: Option<Size>,
    /// Pictures denoised in step. A picture is the same in every batch.
    pub batch: usize,
}

/// One picture to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// What to draw; the empty prompt is one too.
    pub prompt: String,
    /// Seed of the initial noise, which is what PyTorch's CPU generator gives for `manual_seed(seed)`.
    pub seed: u64,
}

impl Default for Request {
    /// 25 steps, and diffusers' guidance of 7.5.
    fn default() -> Self {
        let (pictures, negative) = (Vec::new(), String::new());
        Self { pictures, negative, steps: 25, guidance: 7.5, sampler: None, size: None, batch: 1 }
    }
}

impl Request {
    /// Whether `bundle` can draw it, before anything is opened.
    pub fn check(&self, bundle: &Bundle) -> Result<()> {
        Job::new(bundle, self).map(drop)
    }
}

/// A picture, and which one of the request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its index in [`Request::pictures`].
    pub index: usize,
    /// The picture.
    pub image: Image,
}

/// A network of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// Token ids to embeddings.
    TextEncoder,
    /// Noisy latents to the prediction of the noise.
    Unet,
    /// Latents to a picture.
    VaeDecoder,
    /// Token ids of a prompt to the expert that draws it.
    Router,
}

impl Component {
    /// Those that draw, in the order of their work.
    pub const DRAWING: [Self; 3] = [Self::TextEncoder, Self::Unet, Self::VaeDecoder];

    /// Name of its folder in an ONNX pipeline.
    pub fn folder(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::Unet => "unet",
            Self::VaeDecoder => "vae_decoder",
            Self::Router => "router",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TextEncoder => "text encoder",
            Self::Unet => "UNet",
            Self::VaeDecoder => "VAE decoder",
            Self::Router => "router",
        })
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A network is about to be opened.
    Opening {
        /// Which.
        component: Component,
        /// Name of the expert, for a UNet of several.
        expert: Option<&'a str>,
    },
    /// A prompt (or the negative prompt) was too long for the text encoder.
    Truncated {
        /// The text.
        prompt: &'a str,
        /// Tokens that it lost.
        dropped: usize,
        /// Tokens that were kept, without the beginning and the end token.
        kept: usize,
    },
    /// Denoising goes on: `call` calls of the sampler are done for a batch.
    Step {
        /// Calls done; 0 when the batch begins.
        call: usize,
        /// Calls altogether; PNDM makes one more than it has steps.
        calls: usize,
        /// Index of the batch's first picture in the request.
        first: usize,
        /// Pictures that were denoised before this batch.
        before: usize,
        /// Pictures of the batch.
        batch: usize,
        /// Pictures of the request.
        pictures: usize,
    },
    /// Decoding goes on: `tile` tiles of a picture are done.
    Tile {
        /// Tiles done.
        tile: usize,
        /// Tiles of the picture.
        tiles: usize,
        /// Index of the picture in the request.
        picture: usize,
        /// Pictures of the request.
        pictures: usize,
    },
}

/// Hears what happens, and may stop it.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);

    /// Whether to stop; asked between the calls of the networks.
    fn cancelled(&mut self) -> bool {
        false
    }
}

/// Nobody listens.
impl Observer for () {
    fn event(&mut self, _: Event<'_>) {}
}
