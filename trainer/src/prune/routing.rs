//! How prompts are assigned to codes while both are learnt: optimal transport, and the contrastive loss.

use crate::torch::Result;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// Optimal transport by Sinkhorn and Knopp's scaling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transport {
    /// Entropic regularisation.
    pub epsilon: f64,
    /// Rounds of scaling rows, then columns.
    pub rounds: usize,
}

/// The released configuration.
impl Default for Transport {
    fn default() -> Self {
        Self { epsilon: 0.05, rounds: 3 }
    }
}

/// The code of each prompt, `[B]`, for similarities `[B, K]`: optimal transport under the condition that every code gets the same share of
/// the batch (Sinkhorn and Knopp's algorithm as SwAV has it). No gradients.
///
/// # Errors
/// What libtorch says.
pub fn sinkhorn_codes(similarities: &Tensor, transport: Transport) -> Result<Tensor> {
    let (batch, codes) = similarities.size2()?;
    let mut plan = similarities.f_detach()?.f_div_scalar(transport.epsilon)?.f_exp()?.f_transpose(0, 1)?;
    plan = plan.f_div(&plan.f_sum(Kind::Float)?)?;
    for _ in 0..transport.rounds {
        let rows = plan.f_sum_dim_intlist([1_i64].as_slice(), true, Kind::Float)?;
        plan = plan.f_div(&rows)?.f_div_scalar(codes as f64)?;
        let columns = plan.f_sum_dim_intlist([0_i64].as_slice(), true, Kind::Float)?;
        plan = plan.f_div(&columns)?.f_div_scalar(batch as f64)?;
    }
    Ok(plan.f_argmax(0, false)?)
}

/// Prompts that are alike should get architectures that are alike: the mean binary cross-entropy between the row softmax of similarities of
/// architectures and that of prompts, both `[B, D]` with rows of length 1. No gradients reach the prompts.
///
/// # Errors
/// What libtorch says.
pub fn contrastive_loss(architectures: &Tensor, prompts: &Tensor, temperature: f64) -> Result<Tensor> {
    let alike = |rows: &Tensor| -> Result<Tensor> {
        Ok(rows.f_matmul(&rows.f_transpose(0, 1)?)?.f_div_scalar(temperature)?.f_softmax(1, None)?)
    };
    let (found, wanted) = (alike(architectures)?, alike(prompts)?.f_detach()?);
    Ok(found.f_binary_cross_entropy(&wanted, None::<Tensor>, Reduction::Mean)?)
}
