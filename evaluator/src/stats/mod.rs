//! Statistics of an audit: intervals for rates and differences, tests on pairs, a bootstrap over prompts, corrections for a
//! detector's errors and for many comparisons, what missing outcomes may hide, and what could have been seen at all.
//!
//! Differences are the first arm less the second; intervals are 95 % unless a [`Bootstrap`] says otherwise.

mod bootstrap;
mod comparison;
mod missing;
mod noninferiority;
mod pairs;
mod permutation;
mod rate;
mod special;

pub use bootstrap::{Bootstrap, BootstrapMethod, Estimate, PairedDifference, PairedTally};
pub use comparison::{benjamini_hochberg, holm, mcnemar_exact};
pub use missing::{Bounds, Outcomes, bounds, difference_bounds};
pub use noninferiority::{NonInferiority, Verdict, non_inferiority};
pub use pairs::{OddsRatio, discordant_odds_ratio, newcombe_paired};
pub use permutation::{EXACT_GROUPS, SignFlip, sign_flip};
pub use rate::{Tally, clopper_pearson, wilson_interval};

use serde::{Deserialize, Serialize};

/// The ends of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}
