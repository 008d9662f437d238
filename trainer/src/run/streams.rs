//! Randomness without a state: each use in each step has a generator of its own.

use crate::random::Random;
use pleach_model::noise::Generator;

/// What random numbers are for; different uses in one step are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Use {
    /// Noise that is added to latents.
    Noise = 1,
    /// Timesteps.
    Timestep,
    /// A sample of the autoencoder's posterior.
    Posterior,
    /// Captions that are left out.
    Dropout,
    /// Which examples are in a batch.
    Data,
    /// Noise that samples start from.
    Sample,
    /// Which part of a picture is seen.
    Crop,
    /// Gumbel noise on the logits of prompts.
    PromptGates,
    /// Gumbel noise on the logits of experts.
    ExpertGates,
}

/// Whole numbers for a use in step (or for the thing) number `index`, for a run's `seed`.
pub fn choices(seed: u64, purpose: Use, index: u64) -> Random {
    Random::new(&[seed, purpose as u64, index])
}

/// The same as a source of normal numbers.
pub fn noise(seed: u64, purpose: Use, index: u64) -> Generator {
    Generator::new(choices(seed, purpose, index).bits())
}
