use super::{Predict, Prompts, Unlearning, squared_error};
use crate::run::Result;
use tch::{Tensor, no_grad};

/// The concept becomes what the student itself sees for the anchor, as it is now (concept ablation, Kumari et al. 2023). There is no
/// teacher in it.
#[derive(Clone, Copy, Debug)]
pub struct Ablation;

impl Unlearning for Ablation {
    fn loss(&self, prompts: &Prompts, _: Predict<'_>, student: Predict<'_>) -> Result<Tensor> {
        let anchor = no_grad(|| student(&prompts.anchor))?;
        squared_error(&student(&prompts.concept)?, &anchor)
    }
}
