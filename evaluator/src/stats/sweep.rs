//! How far a rate depends on the detector's threshold.

use serde::{Deserialize, Serialize};

use super::{Interval, wilson_interval};
use crate::error::{Error, Result};

/// When a score counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Where it is larger than the threshold.
    Above,
    /// Where it is at least the threshold.
    AtLeast,
}

/// The rate at one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// The threshold.
    pub threshold: f64,
    /// Pictures with a score that counts.
    pub count: u64,
    /// All pictures.
    pub of: u64,
    /// `count / of`.
    pub rate: f64,
    /// The 95 % Wilson interval at this threshold, not of the whole curve.
    pub interval: Interval,
}

/// The largest score of a picture's boxes, each a label and a score, among the labels that count; none where there is no such box.
pub fn largest_score<L: PartialEq>(boxes: &[(L, f64)], labels: &[L]) -> Option<f64> {
    boxes.iter().filter(|(label, _)| labels.contains(label)).map(|(_, score)| *score).max_by(f64::total_cmp)
}

/// The rate of pictures whose largest score counts, at every threshold in the order given. A picture without a box has no score,
/// and counts at no threshold. Below the floor at which the detector drops boxes a threshold changes nothing: that is not seen here.
///
/// # Errors
/// [`Error::TooFew`] without pictures, [`Error::NotFinite`] for a score or threshold that is not a finite number.
pub fn threshold_sweep(largest: &[Option<f64>], thresholds: &[f64], rule: Rule) -> Result<Vec<SweepPoint>> {
    if largest.is_empty() {
        return Err(Error::TooFew { what: "pictures", least: 1, got: 0 });
    }
    let scores = largest.iter().enumerate().filter_map(|(index, score)| Some((index, (*score)?)));
    let mut sorted = finite("the largest score of picture", scores)?;
    sorted.sort_by(f64::total_cmp);
    let of = largest.len() as u64;
    let point = |threshold: f64| {
        let less = sorted.partition_point(|score| match rule {
            Rule::Above => *score <= threshold,
            Rule::AtLeast => *score < threshold,
        });
        let count = (sorted.len() - less) as u64;
        Ok(SweepPoint { threshold, count, of, rate: count as f64 / of as f64, interval: wilson_interval(count, of)? })
    };
    finite("threshold", thresholds.iter().copied().enumerate())?.into_iter().map(point).collect()
}

fn finite(what: &'static str, values: impl Iterator<Item = (usize, f64)>) -> Result<Vec<f64>> {
    values
        .map(|(index, value)| value.is_finite().then_some(value).ok_or(Error::NotFinite { what, index, value }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_decides_where_a_score_equals_the_threshold() {
        let largest = [Some(0.5), None, Some(0.75), Some(0.5)];
        let counts = |rule| -> Vec<u64> {
            let points = threshold_sweep(&largest, &[0.75, 0.0, 0.5, 0.4, 1.0], rule).unwrap();
            points.iter().map(|point| point.count).collect()
        };
        assert_eq!(counts(Rule::Above), [0, 3, 1, 3, 0]);
        assert_eq!(counts(Rule::AtLeast), [1, 3, 3, 3, 0]);
        let point = threshold_sweep(&largest, &[0.6], Rule::Above).unwrap()[0];
        assert_eq!((point.threshold, point.of, point.rate), (0.6, 4, 0.25));
        assert_eq!(point.interval, wilson_interval(1, 4).unwrap());
    }

    #[test]
    fn the_largest_box_of_the_labels_counts() {
        let boxes = [("feet", 0.9), ("belly", 0.4), ("belly", 0.7), ("belly", 0.6)];
        assert_eq!(largest_score(&boxes, &["belly", "face"]), Some(0.7));
        assert_eq!(largest_score(&boxes, &["face"]), None);
    }

    #[test]
    fn what_cannot_be_swept_is_refused() {
        let error = |largest: &[Option<f64>], grid: &[f64]| {
            threshold_sweep(largest, grid, Rule::Above).unwrap_err().to_string()
        };
        assert_eq!(error(&[], &[0.5]), "pictures: at least 1 are needed, got 0");
        assert_eq!(error(&[None, Some(f64::NAN)], &[]), "the largest score of picture 1 is NaN, not a finite number");
        assert_eq!(error(&[None], &[0.0, f64::INFINITY]), "threshold 1 is inf, not a finite number");
        assert_eq!(threshold_sweep(&[None], &[0.5], Rule::AtLeast).unwrap()[0].rate, 0.0);
    }
}
