//! What outcomes that are missing may hide.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Between which values a number lies whatever the missing outcomes were: certain, unlike an interval, and wider for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// The smallest value.
    pub low: f64,
    /// The largest value.
    pub high: f64,
}

impl Bounds {
    /// The value in the best case.
    pub fn best(self, higher_is_better: bool) -> f64 {
        if higher_is_better { self.high } else { self.low }
    }

    /// The value in the worst case.
    pub fn worst(self, higher_is_better: bool) -> f64 {
        self.best(!higher_is_better)
    }
}

/// The outcomes that one arm was planned to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// How often it was so.
    pub successes: u64,
    /// How often it was not.
    pub failures: u64,
    /// How often it is not known: failed, not scored, left out.
    pub missing: u64,
}

impl Outcomes {
    fn planned(self) -> u128 {
        [self.successes, self.failures, self.missing].into_iter().map(u128::from).sum()
    }
}

/// The rate of successes among all planned outcomes if none, or all, of the missing ones are successes (Manski 1989).
///
/// # Errors
/// [`Error::TooFew`] where nothing was planned.
pub fn bounds(successes: u64, failures: u64, missing: u64) -> Result<Bounds> {
    let planned = Outcomes { successes, failures, missing }.planned();
    if planned == 0 {
        return Err(Error::TooFew { what: "planned outcomes", least: 1, got: 0 });
    }
    let most = u128::from(successes) + u128::from(missing);
    Ok(Bounds { low: successes as f64 / planned as f64, high: most as f64 / planned as f64 })
}

/// The same for the difference between the rates of two arms on the same pairs, the first less the second. Both arms may be
/// missing in a pair, and each is then taken for the worse in its own way: how they were paired does not matter.
///
/// # Errors
/// [`Error::TooFew`] where nothing was planned, [`Error::Unpaired`] where the arms were not planned alike.
pub fn difference_bounds(first: Outcomes, second: Outcomes) -> Result<Bounds> {
    let planned = [first.planned(), second.planned()];
    if planned[0] != planned[1] {
        return Err(Error::Unpaired { first: planned[0], second: planned[1] });
    }
    let of = |arm: Outcomes| bounds(arm.successes, arm.failures, arm.missing);
    let (first, second) = (of(first)?, of(second)?);
    Ok(Bounds { low: first.low - second.high, high: first.high - second.low })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_outcomes_stay_in_the_denominator() {
        let found = bounds(2, 5, 3).unwrap();
        assert_eq!(found, Bounds { low: 0.2, high: 0.5 });
        assert_eq!((found.best(false), found.worst(false)), (0.2, 0.5));
        assert_eq!((found.best(true), found.worst(true)), (0.5, 0.2));
        assert_eq!(bounds(0, 4, 0).unwrap(), Bounds { low: 0.0, high: 0.0 });
        assert_eq!(bounds(0, 0, 4).unwrap(), Bounds { low: 0.0, high: 1.0 });
        assert_eq!(bounds(u64::MAX, u64::MAX, 0).unwrap(), Bounds { low: 0.5, high: 0.5 });
        assert_eq!(bounds(0, 0, 0).unwrap_err().to_string(), "planned outcomes: at least 1 are needed, got 0");
    }

    type Pair = (Option<bool>, Option<bool>);

    /// Every pairing of three outcomes each way, every way to fill in what is missing.
    #[test]
    fn differences_are_bounded_by_all_ways_to_fill_in() {
        let outcomes = [Some(true), Some(false), None];
        let filled = |outcome: Option<bool>| outcome.map_or(vec![0i32, 1], |success| vec![i32::from(success)]);
        for code in 0..9usize.pow(3) {
            let pairs: Vec<Pair> =
                (0..3).map(|i| code / 9usize.pow(i) % 9).map(|c| (outcomes[c / 3], outcomes[c % 3])).collect();
            let mut sums = vec![0];
            for (first, second) in &pairs {
                let ways = filled(*first).into_iter().flat_map(|a| filled(*second).into_iter().map(move |b| a - b));
                sums = ways.flat_map(|way| sums.iter().map(move |sum| sum + way)).collect();
            }
            let arm = |of: fn(&Pair) -> Option<bool>| {
                let count = |wanted| pairs.iter().filter(|pair| of(pair) == wanted).count() as u64;
                Outcomes { successes: count(Some(true)), failures: count(Some(false)), missing: count(None) }
            };
            let found = difference_bounds(arm(|pair| pair.0), arm(|pair| pair.1)).unwrap();
            let (low, high) = (*sums.iter().min().unwrap(), *sums.iter().max().unwrap());
            assert!((found.low - f64::from(low) / 3.0).abs() < 1e-15, "{pairs:?}: {found:?}");
            assert!((found.high - f64::from(high) / 3.0).abs() < 1e-15, "{pairs:?}: {found:?}");
        }
        let arm = |failures| Outcomes { successes: 1, failures, missing: 1 };
        assert_eq!(
            difference_bounds(arm(1), arm(2)).unwrap_err().to_string(),
            "3 outcomes of the first arm and 4 of the second are not pairs"
        );
    }
}
