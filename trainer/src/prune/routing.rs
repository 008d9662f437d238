//! How prompts are assigned to codes: the space in which architectures are compared, optimal transport, and the contrastive loss.

use super::gates::hard;
use crate::torch::Result;
use pleach_model::vector::VectorLayout;
use tch::{Kind, Reduction, Tensor};

/// Entropic regularisation of the transport.
const EPSILON: f64 = 0.05;
/// Rounds of Sinkhorn and Knopp's scaling.
const ROUNDS: usize = 3;
/// Temperature of the contrastive loss.
const TEMPERATURE: f64 = 0.03;

/// Architecture vectors `[B, entries]` of soft gates in the space in which they are compared: hard widths (those of a module that can be
/// skipped are soft, times its depth gate), each unit scaled to norm 1 where it is open, depth as it is; then all of length 1.
///
/// # Errors
/// What libtorch says.
pub fn normalised(layout: &VectorLayout, gates: &Tensor) -> Result<Tensor> {
    let mut parts = Vec::with_capacity(layout.widths.len() + 1);
    for width in &layout.widths {
        let part = gates.f_narrow(1, width.entries.start as i64, width.entries.len() as i64)?;
        let part = match width.depth {
            Some(depth) => part.f_mul(&gates.f_narrow(1, (layout.width() + depth) as i64, 1)?)?,
            None => hard(&part)?,
        };
        parts.push(part.f_mul_scalar((width.entries.len() as f64).recip().sqrt())?);
    }
    parts.push(hard(&gates.f_narrow(1, layout.width() as i64, layout.depths.len() as i64)?)?);
    unit(&Tensor::f_cat(&parts, 1)?)
}

/// Rows of length 1.
fn unit(rows: &Tensor) -> Result<Tensor> {
    let lengths = rows.f_norm_scalaropt_dim(2.0, [1_i64].as_slice(), true)?.f_clamp_min(1e-12)?;
    Ok(rows.f_div(&lengths)?)
}

/// The code of each prompt, `[B]`, for similarities `[B, K]`: optimal transport under the condition that every code gets the same share of
/// the batch (Sinkhorn and Knopp's algorithm as SwAV has it). No gradients.
///
/// # Errors
/// What libtorch says.
pub fn sinkhorn_codes(similarities: &Tensor) -> Result<Tensor> {
    let (batch, codes) = similarities.size2()?;
    let mut plan = similarities.f_detach()?.f_div_scalar(EPSILON)?.f_exp()?.f_transpose(0, 1)?;
    plan = plan.f_div(&plan.f_sum(Kind::Float)?)?;
    for _ in 0..ROUNDS {
        let rows = plan.f_sum_dim_intlist([1_i64].as_slice(), true, Kind::Float)?;
        plan = plan.f_div(&rows)?.f_div_scalar(codes as f64)?;
        let columns = plan.f_sum_dim_intlist([0_i64].as_slice(), true, Kind::Float)?;
        plan = plan.f_div(&columns)?.f_div_scalar(batch as f64)?;
    }
    Ok(plan.f_argmax(0, false)?)
}

/// Prompts that are alike should get architectures that are alike: the mean binary cross-entropy between the row softmax of similarities of
/// architectures (`[B, entries]`, normalised) and that of prompts (`[B, D]`, as the sentence encoder gives them).
///
/// # Errors
/// What libtorch says.
pub fn contrastive_loss(architectures: &Tensor, prompts: &Tensor) -> Result<Tensor> {
    let alike = |rows: &Tensor| -> Result<Tensor> {
        Ok(rows.f_matmul(&rows.f_transpose(0, 1)?)?.f_div_scalar(TEMPERATURE)?.f_softmax(1, None)?)
    };
    let (found, wanted) = (alike(architectures)?, alike(&unit(prompts)?)?.f_detach()?);
    Ok(found.f_binary_cross_entropy(&wanted, None::<Tensor>, Reduction::Mean)?)
}
