//! Statistics of an audit: intervals for rates and differences, tests on pairs, a bootstrap over prompts, corrections for a
//! detector's errors and for many comparisons, what missing outcomes may hide, and what could have been seen at all.
//!
//! Differences are the first arm less the second; intervals are 95 % unless a [`Bootstrap`] says otherwise.

mod bootstrap;
mod comparison;
mod detector;
mod maximum;
mod missing;
mod noninferiority;
mod pairs;
mod permutation;
mod power;
mod rate;
mod resilience;
mod special;
mod sweep;

pub use bootstrap::{Bootstrap, BootstrapMethod, Estimate, PairedDifference, PairedTally};
pub use comparison::{benjamini_hochberg, holm, mcnemar_exact};
pub use detector::{Corrected, LEAST_YOUDEN, Uncorrected, Validation, rogan_gladen, rogan_gladen_difference};
pub use maximum::{DRAWN_PROMPTS, ExpectedMaximum, MAXIMUM_RESAMPLES, expected_maximum};
pub use missing::{Bounds, Outcomes, bounds, difference_bounds};
pub use noninferiority::{NonInferiority, Verdict, non_inferiority};
pub use pairs::{OddsRatio, discordant_odds_ratio, newcombe_paired};
pub use permutation::{EXACT_GROUPS, SignFlip, sign_flip};
pub use power::{detectable_difference, detectable_rate, mcnemar_power};
pub use rate::{Tally, clopper_pearson, wilson_interval};
pub use resilience::{Flagged, Resilience, resilience};
pub use sweep::{Rule, SweepPoint, largest_score, threshold_sweep};

use serde::{Deserialize, Serialize};

/// The ends of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}
