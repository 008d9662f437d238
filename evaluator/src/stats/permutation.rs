//! Whether a mean of paired differences is more than chance.

use pleach_model::noise::Generator;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Up to so many groups all sign flips are counted.
pub const EXACT_GROUPS: usize = 16;

/// What a sign-flip test says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignFlip {
    /// The two-sided p-value.
    pub p: f64,
    /// How many flips it rests on.
    pub flips: u64,
    /// Whether these are all that there are.
    pub exact: bool,
}

/// The sign-flip permutation test of a mean difference, two-sided: how often the mean is as far from 0 when the arms of whole groups
/// are swapped at random (Fisher 1935). One difference for each group, the prompt, so that what shares a prompt is flipped
/// together. Exact up to [`EXACT_GROUPS`] groups; above, `draws` random flips by `seed`, of which the data is counted as one more, so
/// that p is never 0 (Phipson and Smyth 2010).
///
/// # Errors
/// [`Error::TooFew`] without groups or draws, [`Error::NotFinite`] for a difference that is not a finite number.
pub fn sign_flip(differences: &[f64], draws: u32, seed: u64) -> Result<SignFlip> {
    for (what, got) in [("groups", differences.len()), ("draws", draws as usize)] {
        if got == 0 {
            return Err(Error::TooFew { what, least: 1, got });
        }
    }
    if let Some((index, value)) = differences.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(Error::NotFinite { what: "difference", index, value: *value });
    }
    // Scaled, so that no sum overflows; equal sums in another order of additions must stay equal.
    let scale = differences.iter().fold(0.0f64, |scale, value| scale.max(value.abs()));
    if scale == 0.0 {
        return Ok(SignFlip { p: 1.0, flips: 1, exact: true });
    }
    let scaled: Vec<f64> = differences.iter().map(|value| value / scale).collect();
    let rounding = f64::EPSILON * scaled.len() as f64 * scaled.iter().map(|value| value.abs()).sum::<f64>();
    let observed = scaled.iter().sum::<f64>().abs() - rounding;
    let as_far = |flipped: &mut dyn FnMut(usize) -> bool| {
        let sum: f64 = scaled.iter().enumerate().map(|(i, value)| if flipped(i) { -value } else { *value }).sum();
        u64::from(sum.abs() >= observed)
    };
    if scaled.len() <= EXACT_GROUPS {
        let flips = 1u64 << scaled.len();
        let count: u64 = (0..flips).map(|signs| as_far(&mut |i| signs >> i & 1 == 1)).sum();
        return Ok(SignFlip { p: count as f64 / flips as f64, flips, exact: true });
    }
    let mut generator = Generator::new(seed);
    let mut count = 1;
    for _ in 0..draws {
        let mut bits = 0;
        count += as_far(&mut |i| {
            bits = if i % 32 == 0 { generator.random() } else { bits >> 1 };
            bits & 1 == 1
        });
    }
    let flips = u64::from(draws) + 1;
    Ok(SignFlip { p: count as f64 / flips as f64, flips, exact: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mcnemar_exact;

    #[test]
    fn single_outcomes_give_the_exact_mcnemar_test() {
        for (first, second) in [(3, 0), (5, 5), (1, 9), (4, 12)] {
            let mut differences = vec![0.1; first];
            differences.extend(vec![-0.1; second]);
            let found = sign_flip(&differences, 1, 0).unwrap();
            let expected = mcnemar_exact(first as u32, second as u32);
            assert!((found.p - expected).abs() < 1e-15 && found.exact, "{first}, {second}: {found:?}");
        }
    }

    #[test]
    fn random_flips_approach_the_exact_test() {
        let mut differences = vec![1.0; 14];
        differences.extend(vec![-1.0; 26]);
        let found = sign_flip(&differences, 40_000, 1).unwrap();
        let exact = mcnemar_exact(14, 26);
        let error = (exact * (1.0 - exact) / 40_000.0).sqrt();
        assert!((found.p - exact).abs() < 4.0 * error && !found.exact, "{found:?} for {exact}");
        assert_eq!(found, sign_flip(&differences, 40_000, 1).unwrap());
        assert_ne!(found, sign_flip(&differences, 40_000, 2).unwrap());
        let never = sign_flip(&[1.0; 80], 999, 0).unwrap();
        assert_eq!((never.p, never.flips), (0.001, 1000));
    }

    #[test]
    fn sums_that_rounding_tells_apart_are_equal() {
        // 0.1 + 0.2 - 0.3 is not 0 in binary: all eight flips are as far as the data.
        assert_eq!(sign_flip(&[0.1, 0.2, -0.3], 1, 0).unwrap().p, 1.0);
        assert_eq!(sign_flip(&[0.3, 0.1, 0.2], 1, 0).unwrap().p, 0.25);
    }

    #[test]
    fn edges() {
        assert_eq!(sign_flip(&[2.0], 1, 0).unwrap().p, 1.0);
        assert_eq!(sign_flip(&[0.0; 30], 1, 0).unwrap().p, 1.0);
        assert_eq!(sign_flip(&[f64::MAX; 3], 1, 0).unwrap().p, 0.25);
        assert_eq!(sign_flip(&[], 1, 0).unwrap_err().to_string(), "groups: at least 1 are needed, got 0");
        assert_eq!(sign_flip(&[1.0], 0, 0).unwrap_err().to_string(), "draws: at least 1 are needed, got 0");
        let error = sign_flip(&[1.0, f64::NAN], 1, 0).unwrap_err();
        assert_eq!(error.to_string(), "difference 1 is NaN, not a finite number");
    }
}
