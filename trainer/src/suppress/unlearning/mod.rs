//! What a network should predict for a concept. A method is a file: it gives a loss on a batch, out of what teacher and student make of
//! the same noised latents with different prompts.

mod ablation;
mod anchor;
mod denoising;
mod negative_guidance;

pub use ablation::Ablation;
pub use anchor::Anchor;
pub use denoising::Denoising;
pub use negative_guidance::NegativeGuidance;

use crate::run::Result;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Embeddings of the prompts of a batch, `[B, N, D]` each.
#[derive(Debug)]
pub struct Prompts {
    /// They ask for the concept.
    pub concept: Tensor,
    /// What should be drawn instead.
    pub anchor: Tensor,
    /// The empty prompt.
    pub null: Tensor,
    /// What a network that draws the pictures would predict, `[B, C, h, w]`; none where latents were sampled.
    pub noise: Option<Tensor>,
}

/// What a network predicts for the batch's latents with other prompts, `[B, N, D]` to `[B, C, h, w]`.
pub type Predict<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// A loss by which a student forgets.
pub trait Unlearning {
    /// The loss on a batch. The teacher's predictions carry no gradients.
    ///
    /// # Errors
    /// What the networks say.
    fn loss(&self, prompts: &Prompts, teacher: Predict<'_>, student: Predict<'_>) -> Result<Tensor>;
}

/// The methods, as a recipe names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Away from what the teacher draws for the concept.
    #[default]
    NegativeGuidance,
    /// What the teacher draws for the anchor.
    Anchor,
    /// What the student itself draws for the anchor.
    Ablation,
    /// The pictures of the anchor.
    Denoising,
}

impl Method {
    /// The method; `eta` is the scale of negative guidance.
    pub fn with(self, eta: f64) -> Box<dyn Unlearning> {
        match self {
            Self::NegativeGuidance => Box::new(NegativeGuidance { eta }),
            Self::Anchor => Box::new(Anchor),
            Self::Ablation => Box::new(Ablation),
            Self::Denoising => Box::new(Denoising),
        }
    }

    /// Whether it asks a teacher.
    pub fn has_teacher(self) -> bool {
        matches!(self, Self::NegativeGuidance | Self::Anchor)
    }
}

/// Mean squared error over all elements, in f32.
fn squared_error(prediction: &Tensor, target: &Tensor) -> Result<Tensor> {
    let target = target.f_detach()?.f_to_kind(Kind::Float)?;
    Ok(prediction.f_to_kind(Kind::Float)?.f_sub(&target)?.f_square()?.f_mean(Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts() -> Prompts {
        let prompt = |value: f64| Tensor::full([1, 1, 1], value, (Kind::Float, tch::Device::Cpu));
        Prompts { concept: prompt(3.0), anchor: prompt(2.0), null: prompt(0.0), noise: Some(prompt(0.5)) }
    }

    fn value(tensor: Result<Tensor>) -> f64 {
        tensor.unwrap().double_value(&[])
    }

    #[test]
    fn losses_are_those_that_one_computes_by_hand() {
        let prompts = prompts();
        // The teacher doubles its prompt, the student adds one to it.
        let teacher = |prompt: &Tensor| Ok(prompt * 2.0);
        let student = |prompt: &Tensor| Ok(prompt + 1.0);
        let negative = |eta| NegativeGuidance { eta }.loss(&prompts, &teacher, &student);
        // Target: 4 - eta (6 - 0); student: 4.
        assert_eq!(value(negative(1.0)), (4.0f64 - (4.0 - 6.0)).powi(2));
        assert_eq!(value(negative(2.0)), (4.0f64 - (4.0 - 12.0)).powi(2));
        assert_eq!(value(Anchor.loss(&prompts, &teacher, &student)), 0.0);
        // Student: 4 for the concept, 3 for the anchor.
        assert_eq!(value(Ablation.loss(&prompts, &teacher, &student)), 1.0);
        assert_eq!(value(Denoising.loss(&prompts, &teacher, &student)), 3.5 * 3.5);
        let sampled = Prompts { noise: None, ..prompts };
        assert!(Denoising.loss(&sampled, &teacher, &student).unwrap_err().to_string().contains("esd_sampled"));
    }

    #[test]
    fn with_a_null_anchor_it_is_esds_target() {
        let null = Tensor::zeros([1, 1, 1], (Kind::Float, tch::Device::Cpu));
        let prompts = Prompts { anchor: null.shallow_clone(), null, ..prompts() };
        let teacher = |prompt: &Tensor| Ok(prompt * 2.0 + 1.0);
        // T(null) - eta (T(c) - T(null)) = 1 - 6 = -5, and the student gives 3.
        let loss = NegativeGuidance { eta: 1.0 }.loss(&prompts, &teacher, &|prompt| Ok(prompt.shallow_clone()));
        assert_eq!(value(loss), 64.0);
    }

    #[test]
    fn nothing_is_left_to_forget_where_the_concept_is_nothing() {
        let prompts = prompts();
        let same = |_: &Tensor| Ok(Tensor::from_slice(&[1.5f32, -2.0]));
        assert_eq!(value(NegativeGuidance { eta: 1.0 }.loss(&prompts, &same, &same)), 0.0);
    }

    #[test]
    fn only_the_prediction_for_the_concept_has_gradients() {
        let prompts = prompts();
        let weight = Tensor::from(2.0f32).set_requires_grad(true);
        let network = |prompt: &Tensor| Ok(prompt * &weight);
        for method in [&Ablation as &dyn Unlearning, &Anchor, &Denoising, &NegativeGuidance { eta: 1.0 }] {
            let teacher = |prompt: &Tensor| tch::no_grad(|| network(prompt));
            let loss = method.loss(&prompts, &teacher, &network).unwrap();
            let target = tch::no_grad(|| {
                let c = network(&prompts.concept)?;
                let loss: f64 = loss.double_value(&[]);
                Ok::<_, crate::run::Error>((c.double_value(&[]), loss))
            });
            let (prediction, loss_value) = target.unwrap();
            loss.backward();
            // d/dw (3 w - target)^2 = 6 (3 w - target) wherever the target is a constant.
            let distance = loss_value.sqrt();
            assert_eq!(weight.grad().double_value(&[]).abs(), 6.0 * distance, "{prediction}");
            let mut gradient = weight.grad();
            let _ = gradient.zero_();
        }
    }
}
