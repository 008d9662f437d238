use super::{Predict, Prompts, Unlearning, squared_error};
use crate::run::{Error, Result};
use tch::Tensor;

/// Prompts that ask for the concept draw the anchor's pictures: the denoising loss of those (concept ablation's noise-based variant). There is
/// no teacher in it.
#[derive(Clone, Copy, Debug)]
pub struct Denoising;

impl Unlearning for Denoising {
    fn loss(&self, prompts: &Prompts, _: Predict<'_>, student: Predict<'_>) -> Result<Tensor> {
        let Some(noise) = &prompts.noise else {
            return Err(Error::Setting {
                key: "x_t",
                value: "esd_sampled".into(),
                expected: "anchor_images, for the denoising loss is that of pictures",
            });
        };
        squared_error(&student(&prompts.concept)?, noise)
    }
}
