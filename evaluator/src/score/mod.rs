//! From what was drawn and seen to metrics: nothing here draws or looks.

mod audit;
pub(crate) mod cells;
mod metrics;
mod observed;
mod rows;
mod sets;

pub use audit::{Answer, Question, audit};
pub use rows::rows;

use crate::gate;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Numbers that no statistic can be made of.
    #[error(transparent)]
    Statistics(#[from] crate::Error),
    /// Gates that cannot be decided.
    #[error(transparent)]
    Gate(#[from] gate::Error),
    /// A row that cannot be written as JSON.
    #[error("a row cannot be written: {0}")]
    Write(serde_json::Error),
}
