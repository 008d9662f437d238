//! Pruning as APTP does it (Ganjdanesh et al. 2024), piece by piece: from logits to gates, gates in the forward pass, and how prompts
//! are assigned to codes.

mod gates;
mod masks;
mod routing;

pub use gates::{Gates, Relaxation, gumbel, hard};
pub use masks::{Masks, Placement};
pub use routing::{contrastive_loss, normalised, sinkhorn_codes};

#[cfg(test)]
mod tests;
