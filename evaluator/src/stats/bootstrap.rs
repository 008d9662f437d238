//! The percentile bootstrap over groups.

use pleach_model::noise::Generator;

use super::Interval;
use crate::error::{Error, Result};

/// Resamples whole groups, such as the pictures of a prompt: what shares a prompt is not independent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How often to resample.
    pub resamples: usize,
    /// Of the generator; the same seed gives the same interval.
    pub seed: u64,
    /// The part of the resamples that lies within the interval.
    pub confidence: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2000, seed: 0, confidence: 0.95 }
    }
}

impl Bootstrap {
    /// The percentile interval of a statistic of the groups. For a difference between two models a group holds the outcomes
    /// of both, so that both are resampled together.
    ///
    /// # Errors
    /// [`Error::TooFew`] without groups or resamples, [`Error::NotFinite`] if the statistic of a resample is not a finite
    /// number, [`Error::Probability`] for a confidence that is none.
    pub fn interval<T>(&self, groups: &[T], statistic: impl Fn(&[&T]) -> f64) -> Result<Interval> {
        for (what, got) in [("groups", groups.len()), ("resamples", self.resamples)] {
            if got == 0 {
                return Err(Error::TooFew { what, least: 1, got });
            }
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(Error::Probability { what: "confidence", index: 0, value: self.confidence });
        }
        let mut generator = Generator::new(self.seed);
        let mut values = Vec::with_capacity(self.resamples);
        let mut resample = Vec::with_capacity(groups.len());
        for index in 0..self.resamples {
            resample.clear();
            resample.extend((0..groups.len()).filter_map(|_| groups.get(below(groups.len(), &mut generator))));
            let value = statistic(&resample);
            if !value.is_finite() {
                return Err(Error::NotFinite { what: "the statistic of resample", index, value });
            }
            values.push(value);
        }
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        Ok(Interval { low: quantile(&values, tail), high: quantile(&values, 1.0 - tail) })
    }
}

/// Uniform in `0..count` without bias: the upper half of a product, drawn again where the lower half would be uneven (Lemire
/// 2019).
fn below(count: usize, generator: &mut Generator) -> usize {
    let count = count as u64;
    let uneven = (1u64 << 32) % count;
    loop {
        let product = u64::from(generator.random()) * count;
        if product & 0xffff_ffff >= uneven {
            return (product >> 32) as usize;
        }
    }
}

/// As numpy's default: linear between the two nearest of the sorted values.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let position = part * (sorted.len() - 1) as f64;
    let (floor, fraction) = (position.floor() as usize, position.fract());
    let low = sorted[floor.min(sorted.len() - 1)];
    let high = sorted[(floor + 1).min(sorted.len() - 1)];
    low + fraction * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::wilson_interval;

    fn rate(groups: &[&Vec<bool>]) -> f64 {
        let (hits, all) = groups
            .iter()
            .fold((0, 0), |(hits, all), group| (hits + group.iter().filter(|hit| **hit).count(), all + group.len()));
        hits as f64 / all as f64
    }

    #[test]
    fn single_outcomes_agree_with_wilson() {
        let groups: Vec<Vec<bool>> = (0..1000).map(|index| vec![index % 4 == 0]).collect();
        let interval = Bootstrap::default().interval(&groups, rate).unwrap();
        let wilson = wilson_interval(250, 1000).unwrap();
        assert!((interval.low - wilson.low).abs() < 0.004, "{interval:?} {wilson:?}");
        assert!((interval.high - wilson.high).abs() < 0.004, "{interval:?} {wilson:?}");
    }

    #[test]
    fn outcomes_that_share_a_group_are_not_independent() {
        let spread: Vec<Vec<bool>> = (0..1000).map(|index| vec![index % 4 == 0]).collect();
        let grouped: Vec<Vec<bool>> = (0..100).map(|index| vec![index % 4 == 0; 10]).collect();
        let width = |groups: &[Vec<bool>]| {
            let interval = Bootstrap::default().interval(groups, rate).unwrap();
            interval.high - interval.low
        };
        let ratio = width(&grouped) / width(&spread);
        assert!((ratio - 10f64.sqrt()).abs() < 0.3, "{ratio}");
    }

    #[test]
    fn the_seed_decides() {
        let groups: Vec<f64> = (0..50).map(f64::from).collect();
        let mean = |groups: &[&f64]| groups.iter().copied().sum::<f64>() / groups.len() as f64;
        let of = |seed| Bootstrap { seed, ..Default::default() }.interval(&groups, mean).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn draws_are_even_and_quantiles_are_numpys() {
        let mut generator = Generator::new(3);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[below(7, &mut generator)] += 1;
        }
        // Six degrees of freedom: 22.46 is the 99.9 % point.
        let chi2: f64 = counts.iter().map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi2 < 22.46, "{counts:?}");
        assert_eq!(below(1, &mut generator), 0);
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|part| quantile(&values, part)), [1.0, 1.75, 3.0, 5.0, 8.0]);
        assert_eq!(quantile(&[5.0], 0.3), 5.0);
    }

    #[test]
    fn what_cannot_be_resampled_is_refused() {
        let none = Bootstrap::default().interval::<f64>(&[], |_| 0.0).unwrap_err();
        assert_eq!(none.to_string(), "groups: at least 1 are needed, got 0");
        let never = Bootstrap { resamples: 0, ..Default::default() }.interval(&[1.0], |_| 0.0).unwrap_err();
        assert_eq!(never.to_string(), "resamples: at least 1 are needed, got 0");
        let empty = Bootstrap::default().interval(&[1.0], |_| f64::NAN).unwrap_err();
        assert_eq!(empty.to_string(), "the statistic of resample 0 is NaN, not a finite number");
        let sure = Bootstrap { confidence: 95.0, ..Default::default() }.interval(&[1.0], |_| 0.0).unwrap_err();
        assert_eq!(sure.to_string(), "confidence 0 is 95, not between 0 and 1");
    }
}
