//! Suppression: a network that is fine-tuned while it forgets what must not be generated, and the methods that make a network forget
//! which is finished.
//!
//! What is forgotten is a [`Concept`]. What the network should give for it instead is an [`Unlearning`]: negative guidance (ESD), another
//! prompt's prediction (concept ablation), the anchor's. [`Forgetting`] makes the batches that it is asked for. [`Bilevel`] is the paper's
//! training: lower steps as in fine-tuning, upper ones that forget. [`Erasing`] and [`ValueFunction`] are second stages that learn;
//! [`uce`] and [`neurons`] are second stages that do not.

mod bilevel;
mod concept;
mod erasing;
mod forgetting;
pub mod neurons;
mod parameters;
mod saliency;
pub mod uce;
mod unlearning;
mod value_function;
mod weighing;

pub use bilevel::{Bilevel, BilevelRecipe, CountTotal, Mode, SuppressRecipe, SuppressSetting};
pub use concept::{Concept, ConceptRecipe};
pub use erasing::{EraseRecipe, EraseSetting, Erasing, Retention};
pub use forgetting::{By, Forgetting, ForgettingRecipe, ForgettingSetting, Noisy, Origin, SampledRecipe};
pub use parameters::Parameters;
pub use saliency::{SaliencyRecipe, salient};
pub use unlearning::{Method, Predict, Prompts, Unlearning};
pub use value_function::{ValueFunction, ValueRecipe};
pub use weighing::Weighing;

#[cfg(test)]
mod tests;
