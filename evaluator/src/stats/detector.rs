//! Rates as they would be if the detector made no errors.

use pleach_model::noise::Generator;
use serde::{Deserialize, Serialize};

use super::bootstrap::{below, mean, quantile, share_differences};
use super::rate::shares;
use super::{Bootstrap, Estimate, Interval, PairedTally, Tally};
use crate::error::Result;

/// The least sensitivity + specificity - 1 (Youden's index) at which a rate is corrected: below it every error of the raw rate
/// is magnified tenfold.
pub const LEAST_YOUDEN: f64 = 0.1;

/// How a detector did on labelled pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Positive pictures that it found.
    pub true_positives: u32,
    /// Positive pictures that it missed.
    pub false_negatives: u32,
    /// Negative pictures that it left alone.
    pub true_negatives: u32,
    /// Negative pictures that it flagged.
    pub false_positives: u32,
}

impl Validation {
    /// The share of positive pictures that it found, if there were any.
    pub fn sensitivity(self) -> Option<f64> {
        share(self.true_positives, self.false_negatives)
    }

    /// The share of negative pictures that it left alone, if there were any.
    pub fn specificity(self) -> Option<f64> {
        share(self.true_negatives, self.false_positives)
    }
}

fn share(hits: u32, misses: u32) -> Option<f64> {
    let all = u64::from(hits) + u64::from(misses);
    (all > 0).then(|| f64::from(hits) / all as f64)
}

/// The share in as many pictures, drawn from these, of which there is at least one.
fn resampled_share(hits: u32, misses: u32, generator: &mut Generator) -> f64 {
    let all = hits as usize + misses as usize;
    (0..all).filter(|_| below(all, generator) < hits as usize).count() as f64 / all as f64
}

/// Why a rate is left uncorrected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Uncorrected {
    /// No positive picture was labelled: the sensitivity is not known.
    NoPositives,
    /// No negative picture was labelled: the specificity is not known.
    NoNegatives,
    /// The detector hardly tells positive from negative pictures.
    Uninformative {
        /// Sensitivity + specificity - 1, below [`LEAST_YOUDEN`].
        youden: f64,
    },
}

/// A rate or a difference of rates, corrected if it could be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Corrected {
    /// The corrected value.
    Corrected {
        /// A rate in 0..1 or a difference in -1..1, and so is its interval.
        estimate: Estimate,
        /// Of the detector.
        sensitivity: f64,
        /// Of the detector.
        specificity: f64,
    },
    /// The raw value.
    Raw {
        /// With its own interval, as the bootstrap makes it.
        estimate: Estimate,
        /// Why it is not corrected.
        why: Uncorrected,
    },
}

/// The rate of pictures that are so, from the mean over the prompts of the rate of those that a detector flags:
/// `(rate + specificity - 1) / (sensitivity + specificity - 1)`, clipped to 0..1 (Rogan and Gladen 1978).
///
/// The interval, percentile whatever the bootstrap's method, resamples the prompts and the labelled pictures, of each label as many
/// as there are. A resample in which the detector is too weak to correct says nothing of the rate: it counts as the least possible
/// value for the lower end, and as the largest for the upper.
///
/// # Errors
/// As [`Bootstrap::rate`]. A detector that is not fit for a correction is no error but [`Corrected::Raw`].
pub fn rogan_gladen(groups: &[Tally], validation: Validation, bootstrap: &Bootstrap) -> Result<Corrected> {
    corrected(&shares(groups)?, Quantity::Rate, validation, bootstrap)
}

/// The same for the difference between two arms on the same prompts, the first less the second, that one detector judged: the difference
/// of the raw rates over `sensitivity + specificity - 1`, clipped to -1..1.
///
/// # Errors
/// As [`Bootstrap::rate_difference`].
pub fn rogan_gladen_difference(
    groups: &[PairedTally],
    validation: Validation,
    bootstrap: &Bootstrap,
) -> Result<Corrected> {
    corrected(&share_differences(groups)?, Quantity::Difference, validation, bootstrap)
}

#[derive(Clone, Copy)]
enum Quantity {
    Rate,
    Difference,
}

impl Quantity {
    fn least(self) -> f64 {
        match self {
            Self::Rate => 0.0,
            Self::Difference => -1.0,
        }
    }

    fn correct(self, raw: f64, sensitivity: f64, specificity: f64) -> Option<f64> {
        let youden = sensitivity + specificity - 1.0;
        let false_alarms = match self {
            Self::Rate => 1.0 - specificity,
            Self::Difference => 0.0,
        };
        (youden >= LEAST_YOUDEN).then(|| ((raw - false_alarms) / youden).clamp(self.least(), 1.0))
    }
}

/// Corrects the mean of one value for each prompt.
fn corrected(values: &[f64], quantity: Quantity, validation: Validation, bootstrap: &Bootstrap) -> Result<Corrected> {
    let raw = |why| Ok(Corrected::Raw { estimate: bootstrap.mean(values)?, why });
    let Some(sensitivity) = validation.sensitivity() else { return raw(Uncorrected::NoPositives) };
    let Some(specificity) = validation.specificity() else { return raw(Uncorrected::NoNegatives) };
    let Some(value) = quantity.correct(mean(values), sensitivity, specificity) else {
        return raw(Uncorrected::Uninformative { youden: sensitivity + specificity - 1.0 });
    };
    let (mut low, mut high) = (Vec::new(), Vec::new());
    bootstrap.each(values.len(), |indices, generator| {
        let raw = mean(indices.iter().filter_map(|index| values.get(*index)));
        let sensitivity = resampled_share(validation.true_positives, validation.false_negatives, generator);
        let specificity = resampled_share(validation.true_negatives, validation.false_positives, generator);
        let value = quantity.correct(raw, sensitivity, specificity);
        low.push(value.unwrap_or(quantity.least()));
        high.push(value.unwrap_or(1.0));
        Ok(())
    })?;
    low.sort_by(f64::total_cmp);
    high.sort_by(f64::total_cmp);
    let [lower, upper] = bootstrap.tails();
    let interval = Interval { low: quantile(&low, lower), high: quantile(&high, upper) };
    Ok(Corrected::Corrected { estimate: Estimate { value, interval }, sensitivity, specificity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validation([tp, fn_, tn, fp]: [u32; 4]) -> Validation {
        Validation { true_positives: tp, false_negatives: fn_, true_negatives: tn, false_positives: fp }
    }

    fn groups(hits: usize, all: usize) -> Vec<Tally> {
        (0..all).map(|index| Tally { successes: u64::from(index < hits), trials: 1 }).collect()
    }

    fn corrected(hits: usize, all: usize, counts: [u32; 4]) -> Estimate {
        match rogan_gladen(&groups(hits, all), validation(counts), &Bootstrap::default()).unwrap() {
            Corrected::Corrected { estimate, .. } => estimate,
            raw => panic!("{raw:?}"),
        }
    }

    #[test]
    fn the_correction_undoes_the_detector() {
        // A true rate of 0.4, seen with sensitivity 0.6 and specificity 0.9: 0.4 * 0.6 + 0.6 * 0.1 = 0.3.
        let found = corrected(30, 100, [60, 40, 90, 10]);
        assert!((found.value - 0.4).abs() < 1e-15, "{found:?}");
        assert!(found.interval.low < 0.3 && found.interval.high > 0.5);
        // A detector without errors, on many pictures: the raw rate and its own interval.
        let perfect = corrected(30, 100, [100, 0, 100, 0]);
        assert!((perfect.value - 0.3).abs() < 1e-15, "{perfect:?}");
        let raw = Bootstrap::default().rate(&groups(30, 100)).unwrap();
        let difference = (perfect.interval.high - raw.interval.high).abs();
        assert!(difference <= 0.01, "{perfect:?} {raw:?}");
    }

    #[test]
    fn the_validation_set_adds_to_the_doubt() {
        let width = |scale: u32| {
            let Interval { low, high } = corrected(300, 1000, [6, 4, 9, 1].map(|count| count * scale)).interval;
            high - low
        };
        assert!(width(2) > 1.5 * width(20) && width(20) > 1.05 * width(1000));
    }

    #[test]
    fn values_stay_rates() {
        assert_eq!(corrected(0, 50, [60, 40, 90, 10]).value, 0.0);
        assert_eq!(corrected(50, 50, [60, 40, 90, 10]).value, 1.0);
    }

    #[test]
    fn resamples_without_a_correction_widen_the_interval_to_all() {
        // In a quarter of the resamples neither of the two positive pictures is found. Where nothing is flagged all other
        // resamples say 0, where everything is they say 1.
        for (hits, value) in [(0, 0.0), (50, 1.0)] {
            let found = corrected(hits, 50, [1, 1, 2, 0]);
            assert_eq!(found, Estimate { value, interval: Interval { low: 0.0, high: 1.0 } });
        }
    }

    #[test]
    fn a_detector_that_is_not_fit_leaves_the_rate_raw() {
        let cases = [
            ([0, 0, 5, 5], Uncorrected::NoPositives),
            ([5, 5, 0, 0], Uncorrected::NoNegatives),
            ([1, 1, 1, 1], Uncorrected::Uninformative { youden: 0.0 }),
            ([1, 3, 1, 3], Uncorrected::Uninformative { youden: -0.5 }),
        ];
        let raw = Bootstrap::default().rate(&groups(3, 10)).unwrap();
        for (counts, why) in cases {
            let found = rogan_gladen(&groups(3, 10), validation(counts), &Bootstrap::default()).unwrap();
            assert_eq!(found, Corrected::Raw { estimate: raw, why });
        }
        assert!(rogan_gladen(&[], validation([1, 0, 1, 0]), &Bootstrap::default()).is_err());
    }

    #[test]
    fn arms_share_the_correction() {
        let tally = |successes| Tally { successes, trials: 10 };
        let paired: Vec<PairedTally> =
            (0..40).map(|i| PairedTally { first: tally(6 + i % 2), second: tally(3 + i % 3 / 2) }).collect();
        let first: Vec<Tally> = paired.iter().map(|group| group.first).collect();
        let second: Vec<Tally> = paired.iter().map(|group| group.second).collect();
        let validation = validation([60, 20, 90, 10]);
        let estimate = |found: Result<Corrected>| match found.unwrap() {
            Corrected::Corrected { estimate, .. } => estimate,
            raw => panic!("{raw:?}"),
        };
        let bootstrap = Bootstrap::default();
        let difference = estimate(rogan_gladen_difference(&paired, validation, &bootstrap));
        let [first, second] = [first, second].map(|arm| estimate(rogan_gladen(&arm, validation, &bootstrap)));
        assert!((difference.value - (first.value - second.value)).abs() < 1e-14, "{difference:?}");
        assert!(difference.interval.low < difference.value && difference.value < difference.interval.high);
        // What is unsure of the detector moves both arms alike.
        let width = |estimate: Estimate| estimate.interval.high - estimate.interval.low;
        assert!(width(difference) < width(first), "{difference:?} {first:?}");
    }
}
