//! What can keep a picture from being drawn.

use super::{Component, Size, SizeError, memory::MemoryError};
use crate::{bundle, engine};
use pleach_model::{samplers::SamplerError, schedule::ScheduleError, tokenizer};

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can keep a picture from being drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle is not one that can be drawn with.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// A network cannot be opened or run.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The tokenizer cannot be opened or failed.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// The sampler cannot do what was asked.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// The bundle's noise schedule cannot be used.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The size cannot be drawn.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The networks' sizes cannot be told from their configurations.
    #[error(transparent)]
    Count(#[from] pleach_model::error::Error),
    /// The memory allowed is too little.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A graph that is made for one size, asked for another.
    #[error("{graph} is made for pictures of {made} and no others: {asked} needs a bundle whose sizes are open")]
    FixedSize {
        /// The graph's file.
        graph: String,
        /// The size that it draws.
        made: Size,
        /// The size asked for.
        asked: Size,
    },
    /// A request without pictures.
    #[error("there is no prompt to draw")]
    NoPrompt,
    /// A batch of nothing.
    #[error("a batch of 0 pictures draws none: it must be at least 1")]
    EmptyBatch,
    /// Guidance that is no number.
    #[error("guidance {0} is not a finite number")]
    Guidance(f64),
    /// A network gave something else than it is made for.
    #[error("{graph} gives {found} where {expected} is expected")]
    Output {
        /// The graph's file.
        graph: String,
        /// What came out.
        found: String,
        /// What should have.
        expected: String,
    },
    /// A network gave infinities or not-a-number.
    #[error(
        "the {component} gave values that are not finite for seed {seed}: its weights are damaged or its precision is too low"
    )]
    NotFinite {
        /// The network.
        component: Component,
        /// Seed of the picture.
        seed: u64,
    },
    /// Stopped by the observer.
    #[error("stopped before all pictures were drawn")]
    Cancelled,
}

impl Error {
    /// Whether a file is not what its manifest says: a question of integrity, not of usage.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Bundle(error) => error.is_integrity(),
            Self::Engine(error) => error.is_integrity(),
            _ => false,
        }
    }
}
