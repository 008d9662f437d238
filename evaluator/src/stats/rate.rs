//! How sure a rate is.

use super::Interval;
use crate::error::{Error, Result};

/// The 97.5 % point of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % Wilson score interval of a rate (Wilson 1927): unlike the textbook's `p ± z s`, it neither leaves 0..1 nor
/// shrinks to nothing at 0 of n.
///
/// # Errors
/// [`Error::TooFew`] without trials, [`Error::Counts`] with more successes than trials.
pub fn wilson_interval(successes: u64, trials: u64) -> Result<Interval> {
    if trials == 0 {
        return Err(Error::TooFew { what: "trials", least: 1, got: 0 });
    }
    if successes > trials {
        return Err(Error::Counts { successes, trials });
    }
    let n = trials as f64;
    let p = successes as f64 / n;
    let z2 = Z * Z / n;
    let center = (p + z2 / 2.0) / (1.0 + z2);
    let half = (z2 * (p * (1.0 - p) + z2 / 4.0)).sqrt() / (1.0 + z2);
    // At the ends the formula gives exactly 0 and 1, which rounding misses.
    let low = if successes == 0 { 0.0 } else { center - half };
    let high = if successes == trials { 1.0 } else { center + half };
    Ok(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn worked_values() {
        let worked = [
            (68, 88, "67.5", "84.8"),
            (83, 88, "87.4", "97.5"),
            (86, 88, "92.1", "99.4"),
            (126, 150, "77.3", "89.0"),
            (137, 150, "85.7", "94.9"),
            (0, 108, "0.0", "3.4"),
            (0, 142, "0.0", "2.6"),
            (0, 1000, "0.0", "0.4"),
        ];
        for (successes, trials, low, high) in worked {
            let interval = wilson_interval(successes, trials).unwrap();
            let percent = |value: f64| format!("{:.1}", 100.0 * value);
            assert_eq!(
                (percent(interval.low).as_str(), percent(interval.high).as_str()),
                (low, high),
                "{successes}/{trials}"
            );
        }
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        assert_eq!(wilson_interval(0, 0).unwrap_err().to_string(), "trials: at least 1 are needed, got 0");
        assert_eq!(wilson_interval(3, 2).unwrap_err().to_string(), "3 of 2 is not a rate");
    }

    proptest! {
        #[test]
        fn the_ends_are_where_the_score_test_rejects(trials in 1u64..100_000, part in 0.0..=1.0) {
            let successes = (part * trials as f64) as u64;
            let Interval { low, high } = wilson_interval(successes, trials).unwrap();
            let p = successes as f64 / trials as f64;
            prop_assert!(0.0 <= low && low <= p && p <= high && high <= 1.0);
            for end in [low, high].into_iter().filter(|end| *end > 0.0 && *end < 1.0) {
                let score = (p - end).abs() / (end * (1.0 - end) / trials as f64).sqrt();
                prop_assert!((score - Z).abs() < 1e-6, "{score}");
            }
        }
    }
}
