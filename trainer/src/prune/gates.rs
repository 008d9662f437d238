//! From logits to gates: Gumbel-sigmoid for widths, an ordered one for depth.

use crate::torch::Result;
use pleach_model::vector::VectorLayout;
use tch::{Kind, Tensor};

/// How logits become gates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relaxation {
    /// Temperature of the sigmoid.
    pub temperature: f64,
    /// Added to logits and noise.
    pub offset: f64,
}

/// The released configuration.
impl Default for Relaxation {
    fn default() -> Self {
        Self { temperature: 0.4, offset: 3.0 }
    }
}

/// Keeps the logarithms of the depth gates finite.
const EPS: f64 = 1e-6;
/// The same for the noise.
const TINY: f64 = 1e-20;

/// `-log(-log(u))` for uniform numbers: one Gumbel variable each, not the difference of two, so its mean is 0.577.
///
/// # Errors
/// What libtorch says.
pub fn gumbel(uniform: &Tensor) -> Result<Tensor> {
    let inner = uniform.f_add_scalar(TINY)?.f_log()?.f_neg()?;
    Ok(inner.f_add_scalar(TINY)?.f_log()?.f_neg()?)
}

/// 1 where a gate is at least one half, 0 elsewhere; gradients pass as if nothing had been done (straight through).
///
/// # Errors
/// What libtorch says.
pub fn hard(gates: &Tensor) -> Result<Tensor> {
    let closed = gates.f_ge(0.5)?.f_to_kind(gates.f_kind()?)?;
    Ok(closed.f_sub(&gates.f_detach()?)?.f_add(gates)?)
}

/// Soft gates of a batch, in the order of the architecture vector.
#[derive(Debug)]
pub struct Gates {
    /// `[B, widths]`.
    pub widths: Tensor,
    /// `[B, depths]`.
    pub depths: Tensor,
}

impl Gates {
    /// Gates of `logits [B, entries]` with Gumbel noise of the same shape.
    ///
    /// Of each width unit at least the first group is open: where all are closed, one half is added to its gate. The depth logits share
    /// one budget: gate k of the order is open with the probability that is left after the last k of their softmax.
    ///
    /// # Errors
    /// What libtorch says, such as of shapes that do not fit.
    pub fn sample(layout: &VectorLayout, logits: &Tensor, noise: &Tensor, relaxation: Relaxation) -> Result<Self> {
        let (width, depth) = (layout.width() as i64, layout.depths.len() as i64);
        let part = |tensor: &Tensor, start, length| tensor.f_narrow(1, start, length);
        let relax = |logits: &Tensor, noise: &Tensor| {
            let shifted = logits.f_add(noise)?.f_add_scalar(relaxation.offset)?;
            shifted.f_div_scalar(relaxation.temperature)?.f_sigmoid()
        };
        let open = relax(&part(logits, 0, width)?, &part(noise, 0, width)?)?;
        let mut units = Vec::with_capacity(layout.widths.len());
        for unit in &layout.widths {
            let gates = part(&open, unit.entries.start as i64, unit.entries.len() as i64)?;
            let none = gates.f_detach()?.f_lt(0.5)?.f_all_dim(1, true)?.f_to_kind(Kind::Float)?;
            let first = part(&gates, 0, 1)?.f_add(&none.f_mul_scalar(0.5)?)?;
            units.push(Tensor::f_cat(&[first, part(&gates, 1, gates.size2()?.1 - 1)?], 1)?);
        }
        let widths = Tensor::f_cat(&units, 1)?;
        let left = part(logits, width, depth)?.f_softmax(1, None)?.f_cumsum(1, None)?.f_flip([1])?;
        // The inverse of the sigmoid.
        let odds = left.f_add_scalar(EPS)?.f_log()?.f_sub(&left.f_sub_scalar(EPS)?.f_neg()?.f_log1p()?)?;
        let ordered = relax(&odds, &part(noise, width, depth)?)?;
        let places = layout.depth_order.iter().map(|&entry| entry as i64).collect::<Vec<_>>();
        let mut back = vec![0_i64; places.len()];
        for (k, &entry) in (0..).zip(&places) {
            back[entry as usize] = k;
        }
        let back = Tensor::f_from_slice(&back)?.f_to_device(logits.device())?;
        Ok(Self { widths, depths: ordered.f_index_select(1, &back)? })
    }

    /// All of them, `[B, entries]`.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn vector(&self) -> Result<Tensor> {
        Ok(Tensor::f_cat(&[&self.widths, &self.depths], 1)?)
    }
}
