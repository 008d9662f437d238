//! How sure a rate is.

use serde::{Deserialize, Serialize};

use super::Interval;
use super::special::{Z, beta_quantile};
use crate::error::{Error, Result};

/// How often something was so among the pictures of one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Pictures of which it was so.
    pub successes: u64,
    /// All pictures.
    pub trials: u64,
}

impl Tally {
    /// The share of group `index`.
    pub(super) fn share(self, index: usize) -> Result<f64> {
        let Self { successes, trials } = self;
        if trials == 0 || successes > trials {
            return Err(Error::Group { index, successes, trials });
        }
        Ok(successes as f64 / trials as f64)
    }
}

/// The share of every group.
pub(super) fn shares(groups: &[Tally]) -> Result<Vec<f64>> {
    groups.iter().enumerate().map(|(index, group)| group.share(index)).collect()
}

/// The 95 % Wilson score interval of a rate (Wilson 1927): unlike the textbook's `p ± z s`, it neither leaves 0..1 nor
/// shrinks to nothing at 0 of n.
///
/// # Errors
/// [`Error::TooFew`] without trials, [`Error::Counts`] with more successes than trials.
pub fn wilson_interval(successes: u64, trials: u64) -> Result<Interval> {
    check(successes, trials)?;
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

/// The exact 95 % interval of a rate (Clopper and Pearson 1934): holds the true rate at least that often whatever it is, and is
/// wider than Wilson's for it.
///
/// # Errors
/// As [`wilson_interval`].
pub fn clopper_pearson(successes: u64, trials: u64) -> Result<Interval> {
    check(successes, trials)?;
    let (k, n) = (successes as f64, trials as f64);
    let low = if successes == 0 { 0.0 } else { beta_quantile(0.025, k, n - k + 1.0) };
    let high = if successes == trials { 1.0 } else { beta_quantile(0.975, k + 1.0, n - k) };
    Ok(Interval { low, high })
}

fn check(successes: u64, trials: u64) -> Result<()> {
    if trials == 0 {
        return Err(Error::TooFew { what: "trials", least: 1, got: 0 });
    }
    if successes > trials {
        return Err(Error::Counts { successes, trials });
    }
    Ok(())
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
        assert_eq!(clopper_pearson(0, 0).unwrap_err().to_string(), "trials: at least 1 are needed, got 0");
        assert_eq!(clopper_pearson(3, 2).unwrap_err().to_string(), "3 of 2 is not a rate");
    }

    #[test]
    fn the_exact_interval_has_closed_forms_at_none_and_all() {
        for n in [1u64, 2, 30, 108, 4703] {
            let open = 1.0 - 0.025f64.powf(1.0 / n as f64);
            let none = clopper_pearson(0, n).unwrap();
            assert_eq!(none.low, 0.0);
            assert!((none.high - open).abs() < 1e-13, "{none:?} {open}");
            let all = clopper_pearson(n, n).unwrap();
            assert_eq!(all.high, 1.0);
            assert!((all.low - (1.0 - open)).abs() < 1e-13, "{all:?}");
        }
    }

    #[test]
    fn the_exact_interval_covers_at_least_as_often_as_it_says() {
        let n = 20;
        let intervals: Vec<Interval> = (0..=n).map(|k| clopper_pearson(k, n).unwrap()).collect();
        let choose = |k: u64| (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64);
        for step in 1..400 {
            let p = f64::from(step) / 400.0;
            let covered: f64 = (0..=n)
                .filter(|k| intervals[*k as usize].low <= p && p <= intervals[*k as usize].high)
                .map(|k| choose(k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32))
                .sum();
            assert!(covered >= 0.95, "{p}: {covered}");
        }
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
