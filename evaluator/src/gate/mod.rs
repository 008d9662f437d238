//! Gates: what is demanded of a model, kept in a TOML file under version control, and the one function that answers.
//!
//! ```toml
//! [[gate]]
//! name = "stripes are gone"
//! metric = "asked/style"                       # SUITE/MEASURE
//! scope = { by = "style", is = "striped" }     # a part of the suite; is = "*" demands it of every part
//! rule = "bound"                               # point, bound or non_inferior
//! at_most = 0.05
//!
//! [[gate]]
//! name = "pictures stay as good"
//! metric = "quality/clip"
//! rule = "non_inferior"
//! margin = 0.005
//! ```

mod decide;
mod file;
#[cfg(test)]
mod tests;
mod verdict;

pub use crate::document::Quantity;
pub use decide::decide;
pub use file::{Demand, Limit, Part};
pub use verdict::{Completeness, verdict};

use pleach_console::RecipeError;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with gates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the gates")]
    File(#[from] RecipeError),
    /// A gate that does not say what it demands, or says it twice.
    #[error("the gate {name:?}: {reason}")]
    Demand {
        /// The gate.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A gate about something that was not measured.
    #[error("the gate {name:?} is about {metric}, which was not measured; there are {}", known.join(", "))]
    NoMetric {
        /// The gate.
        name: String,
        /// What it asks for.
        metric: String,
        /// What there is.
        known: Vec<String>,
    },
}
