//! What is asked of a pipeline, and what it says while it works.

use super::Size;
use crate::image::Image;
use pleach_model::samplers::SamplerKind;
use std::fmt;

/// Pictures to draw. Every prompt is drawn once with every seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What to draw; the empty prompt is one too.
    pub prompts: Vec<String>,
    /// What to keep away from, for all prompts; used with guidance above 1.
    pub negative: String,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale; at 1 and below the networks run without guidance, as in diffusers.
    pub guidance: f64,
    /// Seeds of the initial noise, which is what PyTorch's CPU generator gives for `manual_seed(seed)`.
    pub seeds: Vec<u64>,
    /// The sampler; the bundle's own by default.
    pub sampler: Option<SamplerKind>,
    /// The size; what the UNet was trained for by default.
    pub size: Option<Size>,
    /// Pictures denoised at once. A picture is the same in every batch.
    pub batch: usize,
}

impl Default for Request {
    /// diffusers' defaults: 50 steps, guidance 7.5.
    fn default() -> Self {
        Self {
            prompts: Vec::new(),
            negative: String::new(),
            steps: 50,
            guidance: 7.5,
            seeds: vec![0],
            sampler: None,
            size: None,
            batch: 1,
        }
    }
}

/// A picture, and which one of the request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Index of its prompt in [`Request::prompts`].
    pub prompt: usize,
    /// Its seed.
    pub seed: u64,
    /// Rows and columns of the tiles it was decoded in, in pixels, where it was not decoded as a whole.
    pub tile: Option<Size>,
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
}

impl Component {
    /// All of them, in the order of their work.
    pub const ALL: [Self; 3] = [Self::TextEncoder, Self::Unet, Self::VaeDecoder];

    /// Name of its folder in an ONNX pipeline.
    pub fn folder(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::Unet => "unet",
            Self::VaeDecoder => "vae_decoder",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TextEncoder => "text encoder",
            Self::Unet => "UNet",
            Self::VaeDecoder => "VAE decoder",
        })
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A network is about to be opened.
    Opening(Component),
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
        /// Calls done.
        call: usize,
        /// Calls altogether; PNDM makes one more than it has steps.
        calls: usize,
        /// Index of the batch's first picture in the request.
        first: usize,
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
