//! Whether a model is not worse than another by more than is acceptable.

use serde::{Deserialize, Serialize};

use super::Interval;
use crate::error::{Error, Result};

/// What a difference says against a margin. That no difference was found is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Even the worst end is better than the margin.
    NonInferior,
    /// Even the best end is worse than the margin.
    Inferior,
    /// The margin lies between the ends: there is too little data to say.
    Undecided,
}

/// A verdict and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NonInferiority {
    /// The worst end of the interval: the one-sided bound of the difference.
    pub bound: f64,
    /// What the bound is held against: the margin, with the sign of the worse side.
    pub limit: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// Holds the interval of a difference of means or rates, the model less its baseline, against the margin by which the model may
/// be worse. Of a two-sided interval of confidence `1 - 2 a` one end is a one-sided bound at level `a`: 95 % tests at 2.5 %, as
/// is usual for non-inferiority (ICH E9 3.3.2).
///
/// # Errors
/// [`Error::Range`] for a margin that is negative or not finite, [`Error::NotFinite`] for ends that are not finite.
pub fn non_inferiority(difference: Interval, margin: f64, higher_is_better: bool) -> Result<NonInferiority> {
    if !(margin.is_finite() && margin >= 0.0) {
        return Err(Error::Range { what: "margin", value: margin, range: "a number of at least 0" });
    }
    for (index, value) in [difference.low, difference.high].into_iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::NotFinite { what: "end of the interval", index, value });
        }
    }
    // As if higher were better.
    let sign = if higher_is_better { 1.0 } else { -1.0 };
    let (bound, best) =
        if higher_is_better { (difference.low, difference.high) } else { (difference.high, difference.low) };
    let verdict = if sign * bound > -margin {
        Verdict::NonInferior
    } else if sign * best < -margin {
        Verdict::Inferior
    } else {
        Verdict::Undecided
    };
    Ok(NonInferiority { bound, limit: if higher_is_better { 0.0 - margin } else { margin }, verdict })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_is_worse_decides() {
        let of = |low, high, better| non_inferiority(Interval { low, high }, 0.5, better).unwrap();
        let cases = [
            (-0.4, 9.0, Verdict::NonInferior),
            (-0.5, 9.0, Verdict::Undecided),
            (-9.0, -0.5, Verdict::Undecided),
            (-9.0, -0.6, Verdict::Inferior),
        ];
        for (low, high, verdict) in cases {
            assert_eq!(of(low, high, true), NonInferiority { bound: low, limit: -0.5, verdict });
            assert_eq!(of(-high, -low, false), NonInferiority { bound: -low, limit: 0.5, verdict });
        }
    }

    #[test]
    fn margins_and_ends_are_numbers() {
        let none = Interval { low: 0.0, high: 0.0 };
        let negative = non_inferiority(none, -0.1, true).unwrap_err();
        assert_eq!(negative.to_string(), "margin is -0.1, which is not a number of at least 0");
        let open = Interval { low: 0.0, high: f64::INFINITY };
        let error = non_inferiority(open, 0.1, true).unwrap_err();
        assert_eq!(error.to_string(), "end of the interval 1 is inf, not a finite number");
    }
}
