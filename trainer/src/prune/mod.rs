//! Pruning: what is left of a network, and which part of it draws which prompt.

mod aptp;
mod family;
mod import;
mod importance;
mod masks;
mod pruner;
pub mod report;
mod routes;
mod routing;

pub use aptp::{Aptp, AptpRecipe, AptpSetting, ArchitectureLosses, Chosen, LearntExpert};
pub use family::{ENCODER_FILES, NewExpert, NewFamily, NewRouter, NewRouting};
pub(crate) use family::{base_files, beside};
pub use import::{Published, inferred, published};
pub use importance::{Sample, TaylorRecipe, magnitude, taylor};
pub use masks::{Masks, Placement};
pub use pruner::{BkSdm, BkSdmSize, Pruner, Ranking};
pub use routes::{PromptRouter, Routed, part_of, read_routes, route, write_routes};
pub use routing::{Transport, contrastive_loss, sinkhorn_codes};

#[cfg(test)]
mod tests;
