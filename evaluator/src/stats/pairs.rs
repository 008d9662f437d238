//! Two models on the same prompts, one picture each: how far apart they are.

use serde::{Deserialize, Serialize};

use super::{Interval, clopper_pearson, wilson_interval};
use crate::error::{Error, Result};

/// Newcombe's 95 % interval of the difference between two rates on the same pairs, the first less the second: method 10 of
/// Newcombe, *Improved confidence intervals for the difference between binomial proportions based on paired data*, Statistics
/// in Medicine 17 (1998). Wilson's ends of the two rates, joined with the correlation of the pairs, which is corrected for
/// continuity where it is positive.
///
/// Counts pairs where both succeeded, only the first, only the second, neither.
///
/// # Errors
/// [`Error::TooFew`] without pairs.
pub fn newcombe_paired(both: u32, only_first: u32, only_second: u32, neither: u32) -> Result<Interval> {
    let [a, b, c, d] = [both, only_first, only_second, neither].map(u64::from);
    let pairs = a + b + c + d;
    if pairs == 0 {
        return Err(Error::TooFew { what: "pairs", least: 1, got: 0 });
    }
    let n = pairs as f64;
    let (first, second) = ((a + b) as f64 / n, (a + c) as f64 / n);
    let (of_first, of_second) = (wilson_interval(a + b, pairs)?, wilson_interval(a + c, pairs)?);
    let margins: f64 = [a + b, c + d, a + c, b + d].iter().map(|margin| *margin as f64).product();
    let excess = a as f64 * d as f64 - b as f64 * c as f64;
    let excess = if excess > 0.0 { (excess - n / 2.0).max(0.0) } else { excess };
    let correlation = if margins > 0.0 { excess / margins.sqrt() } else { 0.0 };
    let joined = |x: f64, y: f64| (x * x - 2.0 * correlation * x * y + y * y).max(0.0).sqrt();
    let difference = (b as f64 - c as f64) / n;
    Ok(Interval {
        low: difference - joined(first - of_first.low, of_second.high - second),
        high: difference + joined(of_first.high - first, second - of_second.low),
    })
}

/// How many times as often only the first succeeds as only the second does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OddsRatio {
    /// The ratio; none where the second never succeeds alone, which makes it infinite.
    pub ratio: Option<f64>,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end, none where it is infinite.
    pub high: Option<f64>,
}

/// The conditional odds ratio of pairs that disagree and its exact 95 % interval: that of the share of the first among them
/// ([`clopper_pearson`]), as odds. It leaves out 1 only where [`mcnemar_exact`](super::mcnemar_exact) is at most 0.05.
///
/// # Errors
/// [`Error::TooFew`] without pairs that disagree.
pub fn discordant_odds_ratio(only_first: u32, only_second: u32) -> Result<OddsRatio> {
    let (first, second) = (u64::from(only_first), u64::from(only_second));
    if first + second == 0 {
        return Err(Error::TooFew { what: "pairs that disagree", least: 1, got: 0 });
    }
    let share = clopper_pearson(first, first + second)?;
    Ok(OddsRatio {
        ratio: (second > 0).then(|| first as f64 / second as f64),
        low: share.low / (1.0 - share.low),
        high: (second > 0).then(|| share.high / (1.0 - share.high)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mcnemar_exact;
    use proptest::prelude::*;

    #[test]
    fn a_published_table() {
        // Responses before and after consolidation therapy (Cavo et al. 2012), as R's contingencytables has it:
        // Newcombe_square_and_add_CI_paired_2x2(cavo_2012).
        let interval = newcombe_paired(59, 6, 16, 80).unwrap();
        assert_eq!(format!("{:.4} {:.4}", interval.low, interval.high), "-0.1186 -0.0046");
    }

    #[test]
    fn pairs_that_all_agree_still_leave_doubt() {
        let none = newcombe_paired(0, 0, 0, 50).unwrap();
        let wilson = wilson_interval(0, 50).unwrap().high;
        assert_eq!((none.low, none.high), (-wilson, wilson));
        let all = newcombe_paired(50, 0, 0, 0).unwrap();
        assert!((all.low + all.high).abs() < 1e-15 && all.high > 0.05, "{all:?}");
        assert_eq!(newcombe_paired(0, 0, 0, 0).unwrap_err().to_string(), "pairs: at least 1 are needed, got 0");
    }

    #[test]
    fn odds_are_bounded_where_both_sides_occur() {
        let odds = discordant_odds_ratio(6, 3).unwrap();
        assert_eq!(odds.ratio, Some(2.0));
        let only = discordant_odds_ratio(3, 0).unwrap();
        assert_eq!((only.ratio, only.high), (None, None));
        // The lower end of 3 of 3 is 0.025^(1/3).
        let share = 0.025f64.cbrt();
        assert!((only.low - share / (1.0 - share)).abs() < 1e-14, "{only:?}");
        let never = discordant_odds_ratio(0, 3).unwrap();
        assert_eq!((never.ratio, never.low), (Some(0.0), 0.0));
        let none = discordant_odds_ratio(0, 0).unwrap_err();
        assert_eq!(none.to_string(), "pairs that disagree: at least 1 are needed, got 0");
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_difference_and_turns_with_the_arms(
            a in 0u32..200, b in 0u32..200, c in 0u32..200, d in 0u32..200
        ) {
            prop_assume!(a + b + c + d > 0);
            let interval = newcombe_paired(a, b, c, d).unwrap();
            let difference = (f64::from(b) - f64::from(c)) / f64::from(a + b + c + d);
            prop_assert!(-1.0 <= interval.low && interval.low <= difference);
            prop_assert!(difference <= interval.high && interval.high <= 1.0);
            let turned = newcombe_paired(a, c, b, d).unwrap();
            prop_assert!((turned.low + interval.high).abs() < 1e-12 && (turned.high + interval.low).abs() < 1e-12);
        }

        #[test]
        fn the_odds_leave_out_one_exactly_where_the_test_rejects(first in 0u32..60, second in 0u32..60) {
            prop_assume!(first + second > 0);
            let odds = discordant_odds_ratio(first, second).unwrap();
            let outside = odds.low > 1.0 || odds.high.is_some_and(|high| high < 1.0);
            prop_assert_eq!(outside, mcnemar_exact(first, second) <= 0.05);
        }
    }
}
