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
    /// The most experts that are open at one time.
    pub resident: usize,
    /// The tiles it is decoded in.
    pub tiling: Tiling,
}

/// What is known of a network without opening it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Footprint {
    /// Bytes of its weights once it is open.
    pub weights: u64,
    /// Whether attention is one operator, which never holds all scores.
    pub fused_attention: bool,
}

/// What the estimates are made from.
pub(super) struct Needs<'a> {
    pub bundle: &'a Bundle,
    pub text_encoder: Footprint,
    pub vae_decoder: Footprint,
    pub router: Footprint,
    pub experts: Vec<Footprint>,
}

impl Needs<'_> {
    /// The way to draw a picture of `size`, with `latents` of this height and width, in `allowed` bytes, with at most `resident` experts
    /// open at one time.
    pub fn plan(
        &self,
        size: Size,
        [height, width]: [usize; 2],
        allowed: Option<u64>,
        resident: usize,
    ) -> Result<Plan, Error> {
        let whole = |resident| Plan { turns: false, resident, tiling: Tiling::whole(height, width) };
        let resident = resident.clamp(1, self.experts.len().max(1));
        let Some(allowed) = allowed else { return Ok(whole(resident)) };
        let (text_weights, vae_weights) = (self.text_encoder.weights, self.vae_decoder.weights);
        let mut experts: Vec<u64> = self.experts.iter().map(|expert| expert.weights).collect();
        experts.sort_unstable_by_key(|weights| std::cmp::Reverse(*weights));
        let unet_weights = experts.first().copied().unwrap_or(0);
        let (text, unet) = (self.text()?, self.unet(height, width)?);
        let beside = text_weights + vae_weights + self.router.weights;
        let live = text.max(unet).max(self.decoder(height, width)?);
        let fits = |resident: &usize| PROCESS + beside + experts.iter().take(*resident).sum::<u64>() + live <= allowed;
        if let Some(resident) = (1..=resident).rev().find(fits) {
            return Ok(whole(resident));
        }
        let canvas = u64::from(size.width) * u64::from(size.height) * CANVAS;
        let decoding = |height, width| Ok::<_, Error>(vae_weights + self.decoder(height, width)? + canvas);
        let tiling =
            Tiling::largest(height, width, |h, w| decoding(h, w).is_ok_and(|bytes| PROCESS + bytes <= allowed));
        let smallest = decoding(height.min(SHORTEST), width.min(SHORTEST))?;
        let needs = [text_weights + text, unet_weights + unet, smallest].into_iter().zip(Component::DRAWING);
        // What the router computes is small beside its weights.
        let needs = needs.chain([(self.router.weights, Component::Router)]);
        let (least, component) = needs.max_by_key(|(bytes, _)| *bytes).unwrap_or((0, Component::Unet));
        match tiling {
            Some(tiling) if PROCESS + least <= allowed => Ok(Plan { turns: true, resident: 1, tiling }),
            _ => Err(MemoryError { size, least: PROCESS + least, allowed, component }.into()),
        }
    }

    fn text(&self) -> Result<u64, Error> {
        let config = self.bundle.text_encoder();
        let tokens = config.max_position_embeddings;
        let scores = config.num_attention_heads * tokens * tokens;
        Ok(live(self.text_encoder, &counter::clip_text(config, tokens)?, scores))
    }

    fn unet(&self, height: usize, width: usize) -> Result<u64, Error> {
        let config = self.bundle.unet();
        let at = At { height, width, tokens: self.bundle.text_encoder().max_position_embeddings };
        let heads = config.heads.first().copied().unwrap_or(0);
        let report = counter::unet(config, &Architecture::full(), at)?;
        let unet = self.experts.first().copied().unwrap_or_default();
        Ok(live(unet, &report, heads * (height * width).pow(2)))
    }

    fn decoder(&self, height: usize, width: usize) -> Result<u64, Error> {
        let report = counter::vae_decoder(self.bundle.vae(), At { height, width, tokens: 0 })?;
        Ok(live(self.vae_decoder, &report, (height * width).pow(2)))
    }
}

/// Intermediate results at the worst moment; `scores` is the number of scores of the largest attention.
fn live(network: Footprint, report: &Report, scores: usize) -> u64 {
    let scores = if network.fused_attention { 0 } else { 4 * scores as u64 };
    report.largest_activation() * LIVE_HALVES / 2 + scores
}
