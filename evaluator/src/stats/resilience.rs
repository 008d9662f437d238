//! Resilience against attacks, relative to a baseline.

use serde::{Deserialize, Serialize};

use super::bootstrap::quantile;
use super::{Bootstrap, Interval};
use crate::error::{Error, Result};

/// What was flagged for one prompt: pictures, or detections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flagged {
    /// Of the method's.
    pub method: u32,
    /// Of the baseline's.
    pub baseline: u32,
}

/// Which part of what is flagged of the baseline is not flagged of the method.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resilience {
    /// How many are flagged.
    pub method: u64,
    /// How many of the baseline are.
    pub baseline: u64,
    /// `100 (1 - method / baseline)`: 100 at most, negative where the method is worse.
    pub percent: f64,
    /// Percentile interval over the prompts, none where `undefined` alone exceeds a tail of it.
    pub interval: Option<Interval>,
    /// Resamples in which nothing of the baseline is flagged: there is no such number, and they are left out of the interval.
    pub undefined: u64,
}

/// The relative resilience that suppression papers print, with the interval that they lack: distinct prompts are resampled with
/// both arms together. It rests on how many the baseline has flagged: beside it belong both rates.
///
/// # Errors
/// [`Error::TooFew`] if nothing of the baseline is flagged, else as [`Bootstrap::interval`].
pub fn resilience(groups: &[Flagged], bootstrap: &Bootstrap) -> Result<Resilience> {
    let sum = |sum: [u64; 2], group: &Flagged| [sum[0] + u64::from(group.method), sum[1] + u64::from(group.baseline)];
    let percent = |[method, baseline]: [u64; 2]| 100.0 * (1.0 - method as f64 / baseline as f64);
    let all = groups.iter().fold([0, 0], sum);
    if all[1] == 0 {
        return Err(Error::TooFew { what: "flagged of the baseline", least: 1, got: 0 });
    }
    let mut values = Vec::new();
    bootstrap.each(groups.len(), |indices, _| {
        let drawn = indices.iter().filter_map(|index| groups.get(*index)).fold([0, 0], sum);
        if drawn[1] > 0 {
            values.push(percent(drawn));
        }
        Ok(())
    })?;
    values.sort_by(f64::total_cmp);
    let undefined = bootstrap.resamples - values.len();
    let [lower, upper] = bootstrap.tails();
    let known = undefined as f64 <= lower * bootstrap.resamples as f64;
    let interval = known.then(|| Interval { low: quantile(&values, lower), high: quantile(&values, upper) });
    Ok(Resilience { method: all[0], baseline: all[1], percent: percent(all), interval, undefined: undefined as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flagged(method: usize, baseline: usize, all: usize) -> Vec<Flagged> {
        let count = |index: usize, count: usize| u32::from(index < count);
        (0..all).map(|index| Flagged { method: count(index, method), baseline: count(index, baseline) }).collect()
    }

    #[test]
    fn the_published_figures() {
        // Ring-A-Bell, 88 of 108 flagged of the baseline: ESD, UCE, ConceptPrune, bilevel.
        for (method, percent) in [(20, "77.27"), (21, "76.14"), (2, "97.73"), (5, "94.32")] {
            let found = resilience(&flagged(method, 88, 108), &Bootstrap::default()).unwrap();
            assert_eq!(format!("{:.2}", found.percent), percent);
            let interval = found.interval.unwrap();
            assert!(interval.low < found.percent && found.percent < interval.high, "{found:?}");
            assert_eq!((found.method, found.baseline, found.undefined), (method as u64, 88, 0));
        }
    }

    #[test]
    fn nothing_and_all() {
        let none = resilience(&flagged(0, 10, 20), &Bootstrap::default()).unwrap();
        assert_eq!((none.percent, none.interval), (100.0, Some(Interval { low: 100.0, high: 100.0 })));
        let same = resilience(&flagged(10, 10, 20), &Bootstrap::default()).unwrap();
        assert_eq!((same.percent, same.interval), (0.0, Some(Interval { low: 0.0, high: 0.0 })));
        assert_eq!(resilience(&flagged(10, 5, 20), &Bootstrap::default()).unwrap().percent, -100.0);
        let without = resilience(&flagged(3, 0, 20), &Bootstrap::default()).unwrap_err();
        assert_eq!(without.to_string(), "flagged of the baseline: at least 1 are needed, got 0");
    }

    #[test]
    fn a_baseline_that_resamples_lose_has_no_interval() {
        // One flagged prompt of 20 is left out of (1 - 1/20)^20 = 36 % of the resamples.
        let rare = resilience(&flagged(0, 1, 20), &Bootstrap::default()).unwrap();
        assert_eq!((rare.percent, rare.interval), (100.0, None));
        assert!((rare.undefined as f64 / 2000.0 - 0.358).abs() < 0.04, "{rare:?}");
        // Five of 20: (3/4)^20 = 0.3 %, fewer than a tail holds.
        let few = resilience(&flagged(1, 5, 20), &Bootstrap::default()).unwrap();
        assert!(few.interval.is_some() && few.undefined > 0, "{few:?}");
    }
}
