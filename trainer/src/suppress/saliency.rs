//! Which weights matter most for a concept (SalUn, Fan et al. 2024).

use super::Forgetting;
use crate::{
    learn::Learner,
    run::{Error, Result},
    torch::Torch,
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

/// How they are found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaliencyRecipe {
    /// Scale of the guidance in the prediction whose gradients are looked at.
    pub guidance: f64,
    /// Share of all weights that are let through: one threshold for all.
    pub share: f64,
    /// Batches of the concept's pictures that gradients are summed over.
    pub batches: u64,
}

impl Default for SaliencyRecipe {
    fn default() -> Self {
        Self { guidance: 7.5, share: 0.5, batches: 100 }
    }
}

impl SaliencyRecipe {
    /// # Errors
    /// The first key with a value that no run can have.
    pub fn check(&self) -> Result<()> {
        let wrong = |key, value: String, expected| Err(Error::Setting { key, value, expected });
        if !(self.share > 0.0 && self.share <= 1.0) {
            return wrong("saliency.share", self.share.to_string(), "above 0, at most 1");
        }
        if self.batches == 0 {
            return wrong("saliency.batches", "0".into(), "at least 1");
        }
        Ok(())
    }
}

/// For each variable a mask, 1 where the sum of the gradients of `-MSE(guided prediction, noise)` is among the largest of all.
///
/// # Errors
/// Latents that were sampled: there is no noise to predict; what libtorch says.
pub fn salient(
    recipe: SaliencyRecipe,
    torch: &Torch,
    student: &Learner,
    forgetting: &mut Forgetting<'_>,
) -> Result<Vec<Tensor>> {
    for index in 0..recipe.batches {
        student.within(torch, |network| -> Result<()> {
            let noisy = forgetting.next(index, torch, network, None)?;
            let Some(noise) = &noisy.prompts.noise else {
                return Err(Error::Setting {
                    key: "forgetting.x_t",
                    value: "esd_sampled".into(),
                    expected: "concept_images, for saliency looks at how noise is predicted",
                });
            };
            let with = noisy.predict(torch, network, &noisy.prompts.concept)?;
            let without = noisy.predict(torch, network, &noisy.prompts.null)?;
            let w = recipe.guidance;
            let guided = with.f_mul_scalar(1.0 + w)?.f_sub(&without.f_mul_scalar(w)?)?;
            let error = guided.f_to_kind(Kind::Float)?.f_sub(noise)?.f_square()?.f_mean(Kind::Float)?;
            // Gradients are summed where they are: of all batches.
            Ok(error.f_neg()?.f_backward()?)
        })?;
    }
    forgetting.go_on(vec![Default::default(); forgetting.positions().len()])?;
    no_grad(|| {
        let mut sums = Vec::new();
        for (_, value) in student.variables() {
            let gradient = value.tensor().f_grad()?;
            sums.push(if gradient.defined() { gradient.f_abs()? } else { value.tensor().f_zeros_like()? });
        }
        crate::native::forget_gradients(&student.variables().iter().map(|(_, v)| v.tensor()).collect::<Vec<_>>())?;
        masks(&sums, recipe.share)
    })
}

/// 1 for this share of all elements, the largest ones, and for those that are as large as the last of them.
fn masks(sums: &[Tensor], share: f64) -> Result<Vec<Tensor>> {
    let flat = sums.iter().map(|sum| sum.f_flatten(0, -1)).collect::<Result<Vec<_>, _>>()?;
    let all = Tensor::f_cat(&flat, 0)?;
    let kept = ((all.numel() as f64 * share).round() as i64).clamp(1, all.numel() as i64);
    let (largest, _) = all.f_topk(kept, 0, true, true)?;
    let threshold = largest.f_select(0, kept - 1)?;
    let mask = |sum: &Tensor| Ok(sum.f_ge_tensor(&threshold)?.f_to_kind(Kind::Float)?);
    sums.iter().map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_threshold_for_all_weights() {
        let sums = [Tensor::from_slice(&[5.0f32, 1.0, 2.0]), Tensor::from_slice(&[[4.0f32], [3.0], [0.0]].concat())];
        let found = |share| -> Vec<Vec<f32>> {
            masks(&sums, share).unwrap().iter().map(|mask| Vec::try_from(mask).unwrap()).collect()
        };
        assert_eq!(found(0.5), [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]);
        assert_eq!(found(1.0 / 6.0), [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]);
        assert_eq!(found(1.0), [[1.0; 3]; 2]);
    }
}
