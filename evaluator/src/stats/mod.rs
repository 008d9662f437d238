//! Statistics of an audit: intervals for rates, tests on pairs, a bootstrap over prompts, corrections for many comparisons.

mod bootstrap;
mod comparison;
mod rate;

pub use bootstrap::Bootstrap;
pub use comparison::{holm, mcnemar_exact};
pub use rate::wilson_interval;

use serde::Serialize;

/// The ends of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}
