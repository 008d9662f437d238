//! How much the lower loss weighs in upper steps, where that is not fixed.

use crate::run::{Result, number};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Where the weight of the lower loss in upper steps comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighing {
    /// Lambda, as published.
    #[default]
    Fixed,
    /// Lambda times how far the lower loss, averaged over lower steps, is above the least that the average has been, as a share of it: nothing
    /// is held back while forgetting does no harm.
    Gap,
    /// As much as takes out of the step what points against the gradient of the lower loss (Yu et al. 2020, one-sided): the step keeps that
    /// loss to first order. Lambda plays no part. Gradients are those of the unscaled losses.
    Projection,
}

/// How the lower loss goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Moving average and its least value, once there is one.
    seen: Option<[f64; 2]>,
    /// Values that went in.
    count: u64,
}

/// What is left of an average after another value.
const DECAY: f64 = 0.9;
/// Values that an average is of before its least one counts: single batches differ by their timesteps.
const FIRST: u64 = 10;

impl Course {
    /// Takes in the loss of another lower step.
    pub fn add(&mut self, loss: f64) {
        self.count += 1;
        let [mean, best] = self.seen.unwrap_or([loss, f64::INFINITY]);
        let share = (1.0 - DECAY).max(1.0 / self.count as f64);
        let mean = mean + share * (loss - mean);
        self.seen = Some([mean, if self.count < FIRST { best } else { best.min(mean) }]);
    }

    /// How far the average is above its least value, as a share of it.
    pub fn gap(&self) -> f64 {
        match self.seen {
            Some([mean, best]) if best > 0.0 && best.is_finite() => (mean - best) / best,
            _ => 0.0,
        }
    }
}

/// Scalar products of two gradients, over all tensors.
pub(super) struct Products {
    pub between: f64,
    /// Of each with itself.
    pub own: [f64; 2],
}

impl Products {
    /// Of the gradients of two losses by these variables; the losses can be differentiated again.
    pub fn of(losses: [&Tensor; 2], variables: &[&Tensor]) -> Result<Self> {
        let gradients = |loss: &Tensor| Tensor::f_run_backward(&[loss], variables, true, false);
        let (first, second) = (gradients(losses[0])?, gradients(losses[1])?);
        let mut products = Self { between: 0.0, own: [0.0; 2] };
        for (a, b) in first.iter().zip(&second) {
            let sum = |tensor: Tensor| number(&tensor.f_sum(Kind::Float)?);
            products.own[0] += sum(a.f_square()?)?;
            products.own[1] += sum(b.f_square()?)?;
            products.between += sum(a.f_mul(b)?)?;
        }
        Ok(products)
    }

    /// Cosine of the angle between them.
    pub fn cosine(&self) -> f64 {
        self.between / (self.own[0] * self.own[1]).sqrt().max(1e-20)
    }

    /// How much of the second, added to the first, makes the sum point no longer against the second.
    pub fn correction(&self) -> f64 {
        (-self.between / self.own[1].max(f64::MIN_POSITIVE)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_how_far_the_average_rose_from_its_least_value() {
        let mut course = Course::default();
        assert_eq!(course.gap(), 0.0);
        for _ in 0..FIRST {
            course.add(2.0);
        }
        assert_eq!(course.gap(), 0.0);
        course.add(3.0);
        assert!((course.gap() - 0.05).abs() < 1e-12, "{course:?}");
        for _ in 0..200 {
            course.add(1.0);
        }
        assert!(course.gap() < 1e-6, "{course:?}");
    }

    #[test]
    fn a_correction_takes_out_what_points_against_the_other_gradient() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0]).set_requires_grad(true);
        // Gradients (1, 0) and (-3, 4).
        let (first, second) = (x.get(0) * 1.0, x.get(0) * -3.0 + x.get(1) * 4.0);
        let products = Products::of([&first, &second], &[&x]).unwrap();
        assert!((products.cosine() + 0.6).abs() < 1e-6);
        assert!((products.correction() - 0.12).abs() < 1e-6);
        // (1, 0) + 0.12 (-3, 4) is at right angles to (-3, 4).
        assert_eq!(Products::of([&(-first), &second], &[&x]).unwrap().correction(), 0.0);
    }
}
