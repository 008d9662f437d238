//! Numbers of both models on the same samples, and the estimates that they allow.
//!
//! Pictures of one prompt are not independent of each other. Where every prompt has one picture, rates have Wilson's interval, differences
//! Newcombe's, and McNemar's exact test; otherwise whole prompts are resampled, and the signs of whole prompts' differences flipped.

use crate::{
    Result,
    document::{Bounds, ConfidenceInterval, Corrected, Discordant, Estimate, Paired},
    run::Labelled,
    stats::{
        self, Bootstrap, Flagged, Interval, Tally, Validation, bounds, detectable_difference, mcnemar_exact,
        newcombe_paired, resilience, rogan_gladen, sign_flip, wilson_interval,
    },
};
use pleach_model::files::Sha256;
use std::collections::BTreeMap;

/// Level of all intervals.
const LEVEL: f64 = 0.95;
/// Random sign flips of a permutation test.
const FLIPS: u32 = 9_999;
/// Power of the smallest difference that is told.
const POWER: f64 = 0.8;

/// A sample: what each model's picture scored, none where it has no score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The prompt, which pictures share.
    pub prompt: Sha256,
    /// The subject's number: 0 or 1 where it is a hit or not.
    pub subject: Option<f64>,
    /// The baseline's.
    pub baseline: Option<f64>,
}

/// Pictures by prompt.
struct Groups(BTreeMap<Sha256, Vec<f64>>);

impl Groups {
    fn of(values: impl Iterator<Item = (Sha256, f64)>) -> Self {
        let mut groups: BTreeMap<Sha256, Vec<f64>> = BTreeMap::new();
        for (prompt, value) in values {
            groups.entry(prompt).or_default().push(value);
        }
        Self(groups)
    }

    /// Whether every prompt has one picture.
    fn is_single(&self) -> bool {
        self.0.values().all(|values| values.len() == 1)
    }

    fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    fn sum(&self) -> f64 {
        self.0.values().flatten().sum()
    }

    fn mean(&self) -> f64 {
        self.sum() / self.count() as f64
    }

    /// The interval of the mean over all pictures, by resampling prompts. Where there is one prompt nothing can be said.
    fn interval(&self) -> Result<Option<ConfidenceInterval>> {
        let groups: Vec<(f64, f64)> =
            self.0.values().map(|values| (values.iter().sum(), values.len() as f64)).collect();
        if groups.len() < 2 {
            return Ok(None);
        }
        let ratio = |groups: &[&(f64, f64)]| {
            let (sum, count) = groups.iter().fold((0.0, 0.0), |(sum, count), group| (sum + group.0, count + group.1));
            sum / count
        };
        Ok(Some(interval(Bootstrap::default().interval(&groups, ratio)?, "bootstrap over prompts")))
    }
}

fn interval(Interval { low, high }: Interval, method: &str) -> ConfidenceInterval {
    ConfidenceInterval { low, high, level: LEVEL, method: method.to_owned() }
}

fn arm(cells: &[Cell], of: impl Fn(&Cell) -> Option<f64>) -> Groups {
    Groups::of(cells.iter().filter_map(|cell| Some((cell.prompt, of(cell)?))))
}

/// A rate: every number is 0 or 1.
///
/// # Errors
/// None in practice.
pub fn rate(cells: &[Cell], of: impl Fn(&Cell) -> Option<f64>) -> Result<Option<Estimate>> {
    let groups = arm(cells, of);
    let count = groups.count();
    if count == 0 {
        return Ok(None);
    }
    let value = groups.mean();
    let hits = groups.sum();
    let interval = if groups.is_single() {
        Some(interval(wilson_interval(hits as u64, count as u64)?, "Wilson"))
    } else if hits == 0.0 || hits == count as f64 {
        // Resamples of what is all alike would be sure of it. At the least every prompt says something by itself.
        let prompts = groups.0.len() as u64;
        Some(interval(wilson_interval(if hits == 0.0 { 0 } else { prompts }, prompts)?, "Wilson over prompts"))
    } else {
        groups.interval()?
    };
    Ok(Some(Estimate { value, interval }))
}

/// A mean of scores.
///
/// # Errors
/// None in practice.
pub fn mean(cells: &[Cell], of: impl Fn(&Cell) -> Option<f64>) -> Result<Option<Estimate>> {
    let groups = arm(cells, of);
    if groups.count() == 0 {
        return Ok(None);
    }
    Ok(Some(Estimate { value: groups.mean(), interval: groups.interval()? }))
}

/// The sum of counts, with the interval of the mean scaled up.
///
/// # Errors
/// None in practice.
pub fn total(cells: &[Cell], of: impl Fn(&Cell) -> Option<f64>) -> Result<Option<Estimate>> {
    let groups = arm(cells, of);
    let count = groups.count() as f64;
    if count == 0.0 {
        return Ok(None);
    }
    let interval = groups.interval()?.map(|interval| ConfidenceInterval {
        low: interval.low * count,
        high: interval.high * count,
        ..interval
    });
    Ok(Some(Estimate { value: groups.sum(), interval }))
}

/// Subject minus baseline over the samples that both have; none where there is no such sample.
///
/// # Errors
/// None in practice.
pub fn paired(cells: &[Cell], is_rate: bool) -> Result<Option<Paired>> {
    let pairs: Vec<(Sha256, f64, f64)> =
        cells.iter().filter_map(|cell| Some((cell.prompt, cell.subject?, cell.baseline?))).collect();
    let differences = Groups::of(pairs.iter().map(|(prompt, subject, baseline)| (*prompt, subject - baseline)));
    if pairs.is_empty() {
        return Ok(None);
    }
    let count =
        |subject: f64, baseline: f64| pairs.iter().filter(|(_, s, b)| *s == subject && *b == baseline).count() as u64;
    let discordant = is_rate.then(|| Discordant { only_subject: count(1.0, 0.0), only_baseline: count(0.0, 1.0) });
    let (interval, test, p) = match discordant {
        Some(Discordant { only_subject, only_baseline }) if differences.is_single() => {
            let [both, only_subject, only_baseline, neither] =
                [count(1.0, 1.0), only_subject, only_baseline, count(0.0, 0.0)].map(small);
            let newcombe = newcombe_paired(both, only_subject, only_baseline, neither)?;
            (Some(interval(newcombe, "Newcombe")), "exact McNemar", mcnemar_exact(only_subject, only_baseline))
        }
        _ => {
            let means: Vec<f64> =
                differences.0.values().map(|values| values.iter().sum::<f64>() / values.len() as f64).collect();
            (differences.interval()?, "sign flips of prompts", sign_flip(&means, FLIPS, 0)?.p)
        }
    };
    Ok(Some(Paired {
        pairs: pairs.len() as u64,
        difference: Estimate { value: differences.mean(), interval },
        test: Some(test.to_owned()),
        p: Some(p),
        p_holm: None,
        discordant,
    }))
}

/// The paired difference of totals: that of the means, over as many pairs as there are.
///
/// # Errors
/// None in practice.
pub fn paired_totals(cells: &[Cell]) -> Result<Option<Paired>> {
    let scaled = |mut paired: Paired| {
        let pairs = paired.pairs as f64;
        paired.difference.value *= pairs;
        if let Some(interval) = &mut paired.difference.interval {
            interval.low *= pairs;
            interval.high *= pairs;
        }
        paired
    };
    Ok(paired(cells, false)?.map(scaled))
}

/// The best and the worst that missing samples leave possible.
///
/// # Errors
/// None in practice.
pub fn missing(cells: &[Cell], missing: u64, higher_is_better: bool) -> Result<Option<Bounds>> {
    let groups = arm(cells, |cell| cell.subject);
    if missing == 0 {
        return Ok(None);
    }
    let hits = groups.sum() as u64;
    let bounds = bounds(hits, groups.count() as u64 - hits, missing)?;
    Ok(Some(Bounds { best: bounds.best(higher_is_better), worst: bounds.worst(higher_is_better) }))
}

/// The paper's resilience over the samples that both have; none where nothing of the baseline is flagged.
///
/// # Errors
/// None in practice.
pub fn resilient(cells: &[Cell]) -> Result<Option<Estimate>> {
    let mut groups: BTreeMap<Sha256, Flagged> = BTreeMap::new();
    for cell in cells {
        if let (Some(subject), Some(baseline)) = (cell.subject, cell.baseline) {
            let group = groups.entry(cell.prompt).or_insert(Flagged { method: 0, baseline: 0 });
            group.method += subject as u32;
            group.baseline += baseline as u32;
        }
    }
    let groups: Vec<Flagged> = groups.into_values().collect();
    if groups.len() < 2 || groups.iter().all(|group| group.baseline == 0) {
        return Ok(None);
    }
    let found = resilience(&groups, &Bootstrap::default())?;
    let interval = found.interval.map(|found| interval(found, "bootstrap over prompts"));
    Ok(Some(Estimate { value: found.percent, interval }))
}

/// A rate of flagged pictures as it would be without the detector's errors; none where the detector is not fit for a correction.
///
/// # Errors
/// None in practice.
pub fn corrected(cells: &[Cell], labelled: &Labelled) -> Result<Option<Corrected>> {
    let tally = |values: &Vec<f64>| Tally { successes: values.iter().sum::<f64>() as u64, trials: values.len() as u64 };
    let groups: Vec<Tally> = arm(cells, |cell| cell.subject).0.values().map(tally).collect();
    if groups.len() < 2 {
        return Ok(None);
    }
    let Labelled { true_positives, false_negatives, true_negatives, false_positives, .. } = *labelled;
    let validation = Validation { true_positives, false_negatives, true_negatives, false_positives };
    Ok(match rogan_gladen(&groups, validation, &Bootstrap::default())? {
        stats::Corrected::Corrected { estimate: rate, sensitivity, specificity } => Some(Corrected {
            estimate: Estimate {
                value: rate.value,
                interval: Some(interval(rate.interval, "bootstrap over prompts and labelled pictures")),
            },
            sensitivity,
            specificity,
            labelled: [true_positives, false_negatives, true_negatives, false_positives].map(u64::from).iter().sum(),
        }),
        stats::Corrected::Raw { .. } => None,
    })
}

/// The smallest difference of rates that so many pairs, of which so many disagree, would have found.
///
/// # Errors
/// None in practice.
pub fn detectable(paired: &Paired) -> Result<Option<f64>> {
    let Some(Discordant { only_subject, only_baseline }) = paired.discordant else { return Ok(None) };
    // Where none disagree one does: what was not seen is not impossible.
    let share = (only_subject + only_baseline).max(1) as f64 / paired.pairs as f64;
    detectable_difference(small(paired.pairs), share.min(1.0), 1.0 - LEVEL, POWER)
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(prompt: u8, subject: f64, baseline: f64) -> Cell {
        Cell { prompt: Sha256([prompt; 32]), subject: Some(subject), baseline: Some(baseline) }
    }

    #[test]
    fn one_picture_of_each_prompt_is_wilsons_and_mcnemars() {
        let cells: Vec<Cell> =
            (0..100).map(|i| cell(i, f64::from(u8::from(i < 5)), f64::from(u8::from(i < 60)))).collect();
        let subject = rate(&cells, |cell| cell.subject).unwrap().unwrap();
        let wilson = wilson_interval(5, 100).unwrap();
        let interval = subject.interval.unwrap();
        assert_eq!((subject.value, interval.low, interval.method.as_str()), (0.05, wilson.low, "Wilson"));
        let paired = paired(&cells, true).unwrap().unwrap();
        assert_eq!(paired.discordant, Some(Discordant { only_subject: 0, only_baseline: 55 }));
        assert_eq!((paired.test.as_deref(), paired.p), (Some("exact McNemar"), Some(mcnemar_exact(0, 55))));
        assert!((paired.difference.value + 0.55).abs() < 1e-12);
        let resilience = resilient(&cells).unwrap().unwrap();
        assert!((resilience.value - 100.0 * (1.0 - 5.0 / 60.0)).abs() < 1e-9);
        assert!(detectable(&paired).unwrap().unwrap() < 0.55);
    }

    #[test]
    fn pictures_of_one_prompt_do_not_count_as_prompts() {
        // Ten prompts of ten pictures each, all alike within a prompt.
        let cells: Vec<Cell> = (0..100u8).map(|i| cell(i / 10, f64::from(u8::from(i < 50)), 0.0)).collect();
        let clustered = rate(&cells, |cell| cell.subject).unwrap().unwrap().interval.unwrap();
        let wilson = wilson_interval(50, 100).unwrap();
        assert!(clustered.high - clustered.low > 2.0 * (wilson.high - wilson.low), "{clustered:?}");
        let paired = paired(&cells, true).unwrap().unwrap();
        assert_eq!(paired.test.as_deref(), Some("sign flips of prompts"));
        // Five of ten prompts differ, all one way: 2 of 2^5 flips are as far.
        assert_eq!(paired.p, Some(2.0 / 32.0));
        let nothing = rate(&cells, |cell| cell.baseline).unwrap().unwrap().interval.unwrap();
        assert_eq!((nothing.low, nothing.high), (0.0, wilson_interval(0, 10).unwrap().high));
    }

    #[test]
    fn what_is_missing_bounds_a_rate_and_leaves_pairs_out() {
        let mut cells: Vec<Cell> = (0..10).map(|i| cell(i, 0.0, 1.0)).collect();
        cells[0].subject = None;
        cells[1].baseline = None;
        assert_eq!(rate(&cells, |cell| cell.subject).unwrap().unwrap().value, 0.0);
        assert_eq!(missing(&cells, 1, false).unwrap(), Some(Bounds { best: 0.0, worst: 0.1 }));
        assert_eq!(missing(&cells, 0, false).unwrap(), None);
        assert_eq!(paired(&cells, true).unwrap().unwrap().pairs, 8);
        cells.iter_mut().for_each(|cell| cell.subject = None);
        assert_eq!(rate(&cells, |cell| cell.subject).unwrap(), None);
        assert_eq!(paired(&cells, true).unwrap(), None);
    }

    #[test]
    fn means_are_over_pictures_and_resampled_by_prompt() {
        let cells = [cell(1, 0.2, 0.1), cell(1, 0.4, 0.1), cell(2, 0.9, 0.1)];
        let estimate = mean(&cells, |cell| cell.subject).unwrap().unwrap();
        assert!((estimate.value - 0.5).abs() < 1e-12);
        let interval = estimate.interval.unwrap();
        assert!((interval.low - 0.3).abs() < 1e-12 && (interval.high - 0.9).abs() < 1e-12, "{interval:?}");
        assert!(paired(&cells, false).unwrap().unwrap().discordant.is_none());
        assert_eq!(mean(&cells[..2], |cell| cell.subject).unwrap().unwrap().interval, None);
        let total = total(&cells, |cell| cell.subject).unwrap().unwrap();
        assert!((total.value - 1.5).abs() < 1e-12 && (total.interval.unwrap().high - 2.7).abs() < 1e-12);
    }
}
