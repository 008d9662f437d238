//! How much memory a picture takes, and how to draw it with less.
//!
//! There are two ways: all networks stay open, or one at a time is open and the picture is decoded in tiles that fit beside the
//! decoder's weights. What either takes is estimated from the configurations, and made to be above what was measured. Weights count
//! in full, though those that the host cache keeps on disk could be dropped by the system: a plan, and with it every bit of a
//! picture, must not depend on what a cache holds.

use super::{
    Component, Error, Size,
    tiles::{SHORTEST, Tiling},
};
use crate::bundle::Bundle;
use pleach_model::{
    architecture::Architecture,
    counter::{self, At, Report},
    files::HumanSize,
};

/// Memory of the process beside weights and intermediate results: ONNX Runtime, the tokenizer, sessions; 60 to 80 MB were measured.
const PROCESS: u64 = 100_000_000;

/// Halves of the largest intermediate result that exist at one time. Stable Diffusion's decoder was measured to hold 3.9 to 4.0 times
/// its largest, from 128x128 to 512x512 pixels, its UNet 1.1 to 3.0 times.
const LIVE_HALVES: u64 = 9;

/// Bytes of a pixel while a picture is put together from tiles: three channels in f32, and in 8 bits.
const CANVAS: u64 = 15;

/// The memory allowed is too little for any way to draw the picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a picture of {size} takes at least {} of memory, and {} are allowed: most is taken by the {component}; \
     allow more, or draw a smaller picture",
    HumanSize(*least),
    HumanSize(*allowed)
)]
pub struct MemoryError {
    /// Size of the picture.
    pub size: Size,
    /// The least that would do, in bytes.
    pub least: u64,
    /// What was allowed, in bytes.
    pub allowed: u64,
    /// What takes most.
    pub component: Component,
}

/// How a picture is drawn within a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether only one network is open at a time.
    pub turns: bool,
    /// The tiles it is decoded in.
    pub tiling: Tiling,
}

/// What is known of a network without opening it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Footprint {
    /// Bytes of its weights once it is open.
    pub weights: u64,
    /// Whether attention is one operator, which never holds all scores.
    pub fused_attention: bool,
}

/// What the estimates are made from.
pub(super) struct Needs<'a> {
    pub bundle: &'a Bundle,
    /// In the order of [`Component::ALL`].
    pub networks: [Footprint; 3],
}

impl Needs<'_> {
    /// The way to draw a picture of `size`, with `latents` of this height and width, in `allowed` bytes.
    pub fn plan(&self, size: Size, [height, width]: [usize; 2], allowed: Option<u64>) -> Result<Plan, Error> {
        let Some(allowed) = allowed else {
            return Ok(Plan { turns: false, tiling: Tiling::whole(height, width) });
        };
        let [text_weights, unet_weights, vae_weights] = self.networks.map(|network| network.weights);
        let (text, unet) = (self.text_encoder()?, self.unet(height, width)?);
        let at_once = text_weights + unet_weights + vae_weights + text.max(unet).max(self.decoder(height, width)?);
        if PROCESS + at_once <= allowed {
            return Ok(Plan { turns: false, tiling: Tiling::whole(height, width) });
        }
        let canvas = u64::from(size.width) * u64::from(size.height) * CANVAS;
        let decoding = |height, width| Ok::<_, Error>(vae_weights + self.decoder(height, width)? + canvas);
        let tiling =
            Tiling::largest(height, width, |h, w| decoding(h, w).is_ok_and(|bytes| PROCESS + bytes <= allowed));
        let smallest = decoding(height.min(SHORTEST), width.min(SHORTEST))?;
        let needs = [text_weights + text, unet_weights + unet, smallest].into_iter().zip(Component::ALL);
        let (least, component) = needs.max_by_key(|(bytes, _)| *bytes).unwrap_or((0, Component::Unet));
        match tiling {
            Some(tiling) if PROCESS + least <= allowed => Ok(Plan { turns: true, tiling }),
            _ => Err(MemoryError { size, least: PROCESS + least, allowed, component }.into()),
        }
    }

    fn text_encoder(&self) -> Result<u64, Error> {
        let config = self.bundle.text_encoder();
        let tokens = config.max_position_embeddings;
        let scores = config.num_attention_heads * tokens * tokens;
        Ok(self.live(Component::TextEncoder, &counter::clip_text(config, tokens)?, scores))
    }

    fn unet(&self, height: usize, width: usize) -> Result<u64, Error> {
        let config = self.bundle.unet();
        let at = At { height, width, tokens: self.bundle.text_encoder().max_position_embeddings };
        let heads = config.heads.first().copied().unwrap_or(0);
        let report = counter::unet(config, &Architecture::full(), at)?;
        Ok(self.live(Component::Unet, &report, heads * (height * width).pow(2)))
    }

    fn decoder(&self, height: usize, width: usize) -> Result<u64, Error> {
        let report = counter::vae_decoder(self.bundle.vae(), At { height, width, tokens: 0 })?;
        Ok(self.live(Component::VaeDecoder, &report, (height * width).pow(2)))
    }

    /// Intermediate results at the worst moment; `scores` is the number of scores of the largest attention.
    fn live(&self, component: Component, report: &Report, scores: usize) -> u64 {
        let fused = self.networks[component as usize].fused_attention;
        let scores = if fused { 0 } else { 4 * scores as u64 };
        report.largest_activation() * LIVE_HALVES / 2 + scores
    }
}
