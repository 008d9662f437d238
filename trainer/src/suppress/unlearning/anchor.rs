use super::{Predict, Prompts, Unlearning, squared_error};
use crate::run::Result;
use tch::Tensor;

/// The concept becomes what the teacher sees for the anchor: `T(anchor)` (the paper's equation 6).
#[derive(Clone, Copy, Debug)]
pub struct Anchor;

impl Unlearning for Anchor {
    fn loss(&self, prompts: &Prompts, teacher: Predict<'_>, student: Predict<'_>) -> Result<Tensor> {
        squared_error(&student(&prompts.concept)?, &teacher(&prompts.anchor)?)
    }
}
