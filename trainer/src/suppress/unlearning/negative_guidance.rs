use super::{Predict, Prompts, Unlearning, squared_error};
use crate::run::Result;
use tch::Tensor;

/// Towards the anchor and away from the concept, both as the teacher sees them: `T(anchor) - eta (T(concept) - T(null))`. With the empty
/// prompt as anchor this is ESD's loss (Gandikota et al. 2023) and the paper's upper level; with another one it is ESD's `erase_from`.
#[derive(Clone, Copy, Debug)]
pub struct NegativeGuidance {
    /// Scale of the negative guidance.
    pub eta: f64,
}

impl Unlearning for NegativeGuidance {
    fn loss(&self, prompts: &Prompts, teacher: Predict<'_>, student: Predict<'_>) -> Result<Tensor> {
        let (concept, null) = (teacher(&prompts.concept)?, teacher(&prompts.null)?);
        let away = concept.f_sub(&null)?.f_mul_scalar(self.eta)?;
        // A third pass only where the anchor is another prompt.
        let same = prompts.anchor.f_equal(&prompts.null)?;
        let anchor = if same { null } else { teacher(&prompts.anchor)? };
        squared_error(&student(&prompts.concept)?, &anchor.f_sub(&away)?)
    }
}
