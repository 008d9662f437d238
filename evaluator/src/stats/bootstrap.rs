//! The bootstrap over groups: percentile and BCa intervals.

use pleach_model::noise::Generator;
use serde::{Deserialize, Serialize};

use super::Interval;
use super::rate::{Tally, shares};
use super::special::{normal_cdf, normal_quantile};
use crate::error::{Error, Result};

/// How the ends of an interval are read off the resamples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapMethod {
    /// At equal tails.
    #[default]
    Percentile,
    /// Bias-corrected and accelerated (Efron 1987), for means of skewed values: tails moved by how one-sided the resamples are, and
    /// by the skewness of the statistic without each group in turn. Takes one more evaluation for each group.
    Bca,
}

/// Resamples whole groups, such as the pictures of a prompt: what shares a prompt is not independent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// How often to resample.
    pub resamples: usize,
    /// Of the generator; the same seed gives the same interval. Only the lower 32 bits count.
    pub seed: u64,
    /// The part of the resamples that lies within the interval.
    pub confidence: f64,
    /// How the ends are read off.
    pub method: BootstrapMethod,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2000, seed: 0, confidence: 0.95, method: BootstrapMethod::Percentile }
    }
}

/// A number and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
}

/// What two arms made of one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedTally {
    /// Of the first arm.
    pub first: Tally,
    /// Of the second arm.
    pub second: Tally,
}

/// Two rates on the same prompts and their difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Mean over the prompts of the first arm's rates.
    pub first: f64,
    /// Of the second arm's.
    pub second: f64,
    /// The first less the second.
    pub difference: Estimate,
}

impl Bootstrap {
    /// The interval of a statistic of the groups. For a difference between two models a group holds the outcomes of both, so that
    /// both are resampled together. Where all groups are alike the interval has no width.
    ///
    /// # Errors
    /// [`Error::TooFew`] with fewer than two groups, which show no spread, or without resamples; [`Error::NotFinite`] if the
    /// statistic of a resample is not a finite number; [`Error::Probability`] for a confidence that is none. With
    /// [`BootstrapMethod::Bca`] also [`Error::NotFinite`] if the statistic without a group is not finite, and
    /// [`Error::OneSided`] if no resample lies on one side of the estimate.
    pub fn interval<T>(&self, groups: &[T], statistic: impl Fn(&[&T]) -> f64) -> Result<Interval> {
        let mut values = Vec::new();
        let mut resample = Vec::with_capacity(groups.len());
        self.each(groups.len(), |indices, _| {
            resample.clear();
            resample.extend(indices.iter().filter_map(|index| groups.get(*index)));
            values.push(finite("the statistic of resample", values.len(), statistic(&resample))?);
            Ok(())
        })?;
        values.sort_by(f64::total_cmp);
        let tails = match self.method {
            BootstrapMethod::Percentile => self.tails(),
            BootstrapMethod::Bca => self.bca_tails(&values, groups, statistic)?,
        };
        Ok(Interval { low: quantile(&values, tails[0]), high: quantile(&values, tails[1]) })
    }

    /// The mean of one value for each group, such as a prompt's mean score or its paired difference of means.
    ///
    /// # Errors
    /// As [`Bootstrap::interval`].
    pub fn mean(&self, groups: &[f64]) -> Result<Estimate> {
        let interval = self.interval(groups, |groups| mean(groups.iter().copied()))?;
        Ok(Estimate { value: mean(groups), interval })
    }

    /// The mean over the prompts of their rates, each prompt counting the same however many pictures it has.
    ///
    /// # Errors
    /// As [`Bootstrap::interval`], and [`Error::Group`] for a prompt without a rate.
    pub fn rate(&self, groups: &[Tally]) -> Result<Estimate> {
        self.mean(&shares(groups)?)
    }

    /// The mean over the prompts of the difference of their rates, prompts resampled with both arms together (Miller 2024,
    /// arXiv 2411.00640).
    ///
    /// # Errors
    /// As [`Bootstrap::rate`].
    pub fn rate_difference(&self, groups: &[PairedTally]) -> Result<PairedDifference> {
        let difference = self.mean(&share_differences(groups)?)?;
        let arm = |of: fn(&PairedTally) -> Tally| Ok(mean(&arm_shares(groups, of)?));
        Ok(PairedDifference { first: arm(|group| group.first)?, second: arm(|group| group.second)?, difference })
    }

    /// Hands out the indices of each resample of `groups` groups, and the generator for what else is drawn with it.
    pub(super) fn each(
        &self,
        groups: usize,
        mut take: impl FnMut(&[usize], &mut Generator) -> Result<()>,
    ) -> Result<()> {
        for (what, least, got) in [("groups", 2, groups), ("resamples", 1, self.resamples)] {
            if got < least {
                return Err(Error::TooFew { what, least, got });
            }
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(Error::Probability { what: "confidence", index: 0, value: self.confidence });
        }
        let mut generator = Generator::new(self.seed);
        let mut indices = vec![0; groups];
        for _ in 0..self.resamples {
            indices.fill_with(|| below(groups, &mut generator));
            take(&indices, &mut generator)?;
        }
        Ok(())
    }

    /// Where equal tails end.
    pub(super) fn tails(&self) -> [f64; 2] {
        let tail = (1.0 - self.confidence) / 2.0;
        [tail, 1.0 - tail]
    }

    /// Where BCa's tails end in the sorted values (Efron and Tibshirani 1993, 14.3). Values equal to the estimate count half to either
    /// side, as SciPy's.
    fn bca_tails<T>(&self, sorted: &[f64], groups: &[T], statistic: impl Fn(&[&T]) -> f64) -> Result<[f64; 2]> {
        let mut rest: Vec<&T> = groups.iter().collect();
        let estimate = finite("the statistic of sample", 0, statistic(&rest))?;
        let (less, at_most) = (sorted.partition_point(|v| *v < estimate), sorted.partition_point(|v| *v <= estimate));
        let bias = normal_quantile((less + at_most) as f64 / (2 * sorted.len()) as f64);
        let mut without = Vec::with_capacity(groups.len());
        for (index, group) in groups.iter().enumerate() {
            rest.remove(index);
            without.push(finite("the statistic without group", index, statistic(&rest))?);
            rest.insert(index, group);
        }
        let acceleration = skewness(&without) / 6.0;
        let mut tails = self.tails();
        for tail in tails.iter_mut().filter(|tail| **tail > 0.0 && **tail < 1.0) {
            let z = bias + normal_quantile(*tail);
            let stretch = 1.0 - acceleration * z;
            if !bias.is_finite() || stretch <= 0.0 {
                return Err(Error::OneSided);
            }
            *tail = normal_cdf(bias + z / stretch);
        }
        Ok(tails)
    }
}

fn arm_shares(groups: &[PairedTally], of: fn(&PairedTally) -> Tally) -> Result<Vec<f64>> {
    shares(&groups.iter().map(of).collect::<Vec<_>>())
}

/// The first arm's share less the second's, of every group.
pub(super) fn share_differences(groups: &[PairedTally]) -> Result<Vec<f64>> {
    let (first, second) = (arm_shares(groups, |group| group.first)?, arm_shares(groups, |group| group.second)?);
    Ok(first.iter().zip(&second).map(|(first, second)| first - second).collect())
}

/// The mean of values of which there is at least one.
pub(super) fn mean<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (count, sum) = values.into_iter().fold((0u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    sum / count as f64
}

/// Of the deviations from the mean, their cubes over the power 3/2 of their squares; 0 where all values are the same.
fn skewness(values: &[f64]) -> f64 {
    let center = mean(values);
    let largest = values.iter().fold(0.0f64, |largest, value| largest.max((center - value).abs()));
    // Scaled, so that no power leaves the range of numbers.
    let power = |exponent| values.iter().map(|value| ((center - value) / largest).powi(exponent)).sum::<f64>();
    if largest > 0.0 { power(3) / power(2).powf(1.5) } else { 0.0 }
}

fn finite(what: &'static str, index: usize, value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::NotFinite { what, index, value }) }
}

/// Uniform in `0..count` without bias: the upper half of a product, drawn again where the lower half would be uneven (Lemire
/// 2019).
pub(super) fn below(count: usize, generator: &mut Generator) -> usize {
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
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
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
        assert_eq!(none.to_string(), "groups: at least 2 are needed, got 0");
        let one = Bootstrap::default().interval(&[1.0], |_| 0.0).unwrap_err();
        assert_eq!(one.to_string(), "groups: at least 2 are needed, got 1");
        let never = Bootstrap { resamples: 0, ..Default::default() }.interval(&[1.0, 2.0], |_| 0.0).unwrap_err();
        assert_eq!(never.to_string(), "resamples: at least 1 are needed, got 0");
        let empty = Bootstrap::default().interval(&[1.0, 2.0], |_| f64::NAN).unwrap_err();
        assert_eq!(empty.to_string(), "the statistic of resample 0 is NaN, not a finite number");
        let sure = Bootstrap { confidence: 95.0, ..Default::default() }.interval(&[1.0, 2.0], |_| 0.0).unwrap_err();
        assert_eq!(sure.to_string(), "confidence 0 is 95, not between 0 and 1");
    }

    #[test]
    fn accelerated_ends_lean_to_the_long_tail() {
        let bca = Bootstrap { method: BootstrapMethod::Bca, ..Default::default() };
        let skewed: Vec<f64> = (0..40).map(|index| f64::from(index).powi(4)).collect();
        let (plain, leaning) = (Bootstrap::default().mean(&skewed).unwrap(), bca.mean(&skewed).unwrap());
        assert_eq!(plain.value, leaning.value);
        assert!(leaning.interval.low > plain.interval.low && leaning.interval.high > plain.interval.high);
        let tiny: Vec<f64> = skewed.iter().map(|value| value * 2f64.powi(-1000)).collect();
        let scaled = bca.mean(&tiny).unwrap().interval;
        let expected = leaning.interval;
        assert!((scaled.low * 2f64.powi(1000) - expected.low).abs() < 1e-9 * expected.low, "{scaled:?}");
    }

    #[test]
    fn constant_groups_have_an_interval_without_width() {
        for method in [BootstrapMethod::Percentile, BootstrapMethod::Bca] {
            let found = Bootstrap { method, ..Default::default() }.mean(&[0.1; 7]).unwrap();
            assert_eq!((found.interval.low, found.interval.high), (found.value, found.value));
        }
    }

    #[test]
    fn bca_is_refused_where_all_resamples_lie_on_one_side() {
        let bca = Bootstrap { method: BootstrapMethod::Bca, ..Default::default() };
        let values: Vec<f64> = (0..9).map(f64::from).collect();
        // Only the whole sample in its own order has this statistic.
        let ordered = |groups: &[&f64]| f64::from(u8::from(groups.iter().zip(&values).all(|(a, b)| *a == b)));
        let error = bca.interval(&values, ordered).unwrap_err();
        assert_eq!(error.to_string(), "the resamples are too one-sided for a BCa interval; take a percentile interval");
        let certain = Bootstrap { confidence: 1.0, ..bca }.mean(&values).unwrap().interval;
        assert_eq!(certain, Bootstrap { confidence: 1.0, ..Default::default() }.mean(&values).unwrap().interval);
    }

    #[test]
    fn arms_of_a_prompt_are_resampled_together() {
        let tally = |successes| Tally { successes, trials: 4 };
        // Every prompt differs by one picture of four, whatever its own rate: nothing is unsure about the difference.
        let groups: Vec<PairedTally> =
            (0..20).map(|i| PairedTally { first: tally(i % 4 + 1), second: tally(i % 4) }).collect();
        let found = Bootstrap::default().rate_difference(&groups).unwrap();
        assert_eq!((found.first, found.second), (0.625, 0.375));
        assert_eq!(found.difference, Estimate { value: 0.25, interval: Interval { low: 0.25, high: 0.25 } });
    }

    #[test]
    fn prompts_count_the_same_and_need_pictures() {
        let groups = [Tally { successes: 1, trials: 1 }, Tally { successes: 0, trials: 9 }];
        assert_eq!(Bootstrap::default().rate(&groups).unwrap().value, 0.5);
        let none = Bootstrap::default().rate(&[groups[0], Tally { successes: 0, trials: 0 }]).unwrap_err();
        assert_eq!(none.to_string(), "group 1: 0 of 0 is not a rate");
    }
}
