//! `UNet2DConditionModel` of Stable Diffusion 1.x and 2.x, their distillations, and every expert cut from them.

mod blocks;
mod config;
mod transformer;

pub use config::UNetConfig;

use crate::{
    architecture::{Architecture, Cutter, PrunableSite},
    backend::{Backend, Constant},
    error::{Error, Result},
    layers::{Conv2d, GroupNorm, Mlp},
    op::{Extent, Unary},
    params::Params,
    sites::Pass,
};
use blocks::{MidBlock, Stage, Time};

/// The denoiser: latents, a timestep and a text embedding to a prediction (epsilon or v).
pub struct UNet<B: Backend> {
    config: UNetConfig,
    time_embedding: Mlp<B>,
    conv_in: Conv2d<B>,
    down_blocks: Vec<Stage<B>>,
    mid_block: Option<MidBlock<B>>,
    up_blocks: Vec<Stage<B>>,
    conv_norm_out: GroupNorm<B>,
    conv_out: Conv2d<B>,
    sites: Vec<PrunableSite>,
}

/// How many levels there are: all but the coarsest, where that was removed. Its down and its up block can only go together, and only
/// where the next one has as many channels.
fn levels<B: Backend>(p: &Params<B>, config: &UNetConfig, cutter: &Cutter) -> Result<usize> {
    let channels = &config.block_out_channels;
    let [.., finer, coarsest] = channels[..] else { return Ok(channels.len()) };
    let (down, up) = (p.at(format_args!("down_blocks.{}", channels.len() - 1)), p.at("up_blocks.0"));
    let removable = finer == coarsest;
    let present = [cutter.present(down.path(), removable)?, cutter.present(up.path(), removable)?];
    match present {
        [true, true] => Ok(channels.len()),
        [false, false] => Ok(channels.len() - 1),
        [here, _] => {
            let [gone, left] = if here { [up, down] } else { [down, up] };
            let reason = format!("cannot be removed without {}: they are one level", left.path());
            Err(Error::Architecture { site: gone.path().to_string(), reason })
        }
    }
}

impl<B: Backend> UNet<B> {
    /// The network that `architecture` leaves of `config`'s, with parameters named as in diffusers.
    ///
    /// # Errors
    /// A parameter that the source does not have in the expected shape; an architecture that does not fit the network.
    pub fn new(config: &UNetConfig, architecture: &Architecture, p: &Params<B>) -> Result<Self> {
        let cutter = Cutter::new(architecture);
        let first = config.block_out_channels[0];
        let time = 4 * first;
        let time_embedding =
            Mlp::new(&p.at("time_embedding"), ["linear_1", "linear_2"], [first, time, time], Unary::Silu)?;
        let conv_in = Conv2d::same(&p.at("conv_in"), config.in_channels, first, 3)?;
        let levels = levels(p, config, &cutter)?;
        let skipped = config.block_out_channels.len() - levels;
        let down = |level| Stage::down(&p.at(format_args!("down_blocks.{level}")), config, [level, levels], &cutter);
        let up = |i| Stage::up(&p.at(format_args!("up_blocks.{i}")), config, i, &cutter);
        Ok(Self {
            time_embedding,
            conv_in,
            down_blocks: (0..levels).map(down).collect::<Result<_>>()?,
            mid_block: MidBlock::new(&p.at("mid_block"), config, &cutter)?,
            up_blocks: (skipped..config.block_out_channels.len()).map(up).collect::<Result<_>>()?,
            conv_norm_out: GroupNorm::new(&p.at("conv_norm_out"), config.norm_num_groups, first, config.norm_eps)?,
            conv_out: Conv2d::same(&p.at("conv_out"), first, config.out_channels, 3)?,
            sites: cutter.finish()?,
            config: config.clone(),
        })
    }

    /// Every site that can be pruned, in the order of construction.
    pub fn sites(&self) -> &[PrunableSite] {
        &self.sites
    }

    /// The prediction `[B, out_channels, H, W]` for latents `sample [B, in_channels, H, W]`, `timestep` (f32, `[B]` or `[1]`) and
    /// text embedding `context [B, M, cross_attention_dim]`. Any height and width.
    pub fn forward(
        &self,
        pass: &Pass<B>,
        sample: &B::Value,
        timestep: &B::Value,
        context: &B::Value,
    ) -> Result<B::Value> {
        let time = self.time(pass, timestep)?;
        let time = Time { activated: pass.silu(&time)? };
        let mut h = self.conv_in.forward(pass, sample)?;
        let mut skips = vec![h.clone()];
        for block in &self.down_blocks {
            h = block.forward_down(pass, h, &time, context, &mut skips)?;
        }
        if let Some(block) = &self.mid_block {
            h = block.forward(pass, h, &time, context)?;
        }
        for block in &self.up_blocks {
            h = block.forward_up(pass, h, &time, context, &mut skips)?;
        }
        h = pass.silu(&self.conv_norm_out.forward(pass, &h)?)?;
        self.conv_out.forward(pass, &h)
    }

    /// Sinusoids of the timestep in f32, then two linear layers, to `[B or 1, 4 C]`.
    fn time(&self, b: &B, timestep: &B::Value) -> Result<B::Value> {
        let half = self.config.block_out_channels[0] / 2;
        // In f32 step by step, as diffusers computes them.
        let step = half as f32 - self.config.freq_shift as f32;
        let frequency = |i: usize| (-(10_000f64.ln() as f32) * i as f32 / step).exp();
        let frequencies = b.constant(Constant::F32((0..half).map(frequency).collect()), &[1, half])?;
        let column = b.reshape(timestep, &[Extent::Keep(0), Extent::Is(1)])?;
        let angles = b.mul(&column, &frequencies)?;
        let (sin, cos) = (b.unary(&angles, Unary::Sin)?, b.unary(&angles, Unary::Cos)?);
        let parts = if self.config.flip_sin_to_cos { [&cos, &sin] } else { [&sin, &cos] };
        let sinusoids = b.cast(&b.concat(&parts, 1)?, self.time_embedding.dtype(b))?;
        self.time_embedding.forward(b, &sinusoids)
    }
}
