//! Whether two models differ, and what is left of it when many are compared.

use crate::error::{Error, Result};

/// The exact McNemar test, two-sided: how probable so uneven a split of the pairs that disagree is if neither side is
/// better. Pairs that agree say nothing.
///
/// `first` and `second` count the pairs where only the first, or only the second, succeeded.
pub fn mcnemar_exact(first: u32, second: u32) -> f64 {
    let (first, second) = (u64::from(first), u64::from(second));
    let pairs = first + second;
    let fewer = first.min(second);
    // Twice the lower tail of Binomial(pairs, 1/2). Its largest term first, C(pairs, fewer) / 2^pairs: neither factor may
    // overflow, so the halvings, which are exact, are spread over the product.
    let mut largest = 1.0;
    let mut halvings = pairs;
    for k in 1..=fewer {
        largest *= (pairs - fewer + k) as f64 / k as f64;
        while largest > 1.0 && halvings > 0 {
            largest /= 2.0;
            halvings -= 1;
        }
    }
    largest *= 0.5f64.powf(halvings as f64);
    let mut term = 1.0;
    let mut tail = 0.0;
    for k in (0..=fewer).rev() {
        tail += term;
        // C(n, k - 1) / C(n, k)
        term *= k as f64 / (pairs - k + 1) as f64;
        if term < tail * f64::EPSILON {
            break;
        }
    }
    (2.0 * tail * largest).min(1.0)
}

/// Holm's step-down correction: p-values that may each be compared with the level as if they were the only one, in the order
/// of the input (Holm 1979).
///
/// # Errors
/// [`Error::Probability`] for what is not between 0 and 1.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>> {
    let ranked = rank(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, (index, value)) in ranked.into_iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * value).min(1.0);
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

/// Benjamini and Hochberg's step-up correction (1995), in the order of the input: rejecting what is at most the level keeps the
/// expected share of false rejections there. For looking around among many comparisons; a gate wants [`holm`].
///
/// # Errors
/// [`Error::Probability`] for what is not between 0 and 1.
pub fn benjamini_hochberg(p_values: &[f64]) -> Result<Vec<f64>> {
    let ranked = rank(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut smallest: f64 = 1.0;
    for (rank, (index, value)) in ranked.into_iter().enumerate().rev() {
        smallest = smallest.min(p_values.len() as f64 / (rank + 1) as f64 * value);
        adjusted[index] = smallest;
    }
    Ok(adjusted)
}

/// The p-values and where they stood, the smallest first.
fn rank(p_values: &[f64]) -> Result<Vec<(usize, f64)>> {
    if let Some((index, value)) = p_values.iter().enumerate().find(|(_, value)| !(0.0..=1.0).contains(*value)) {
        return Err(Error::Probability { what: "p-value", index, value: *value });
    }
    let mut ranked: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    Ok(ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: all splits that are no more even, in exact integers.
    fn by_definition(first: u32, second: u32) -> f64 {
        let pairs = u128::from(first) + u128::from(second);
        let choose = |k: u128| (0..k).fold(1u128, |product, i| product * (pairs - i) / (i + 1));
        let fewer = u128::from(first.min(second));
        let tail: u128 = (0..=pairs).filter(|k| *k.min(&(pairs - k)) <= fewer).map(choose).sum();
        tail as f64 / (1u128 << pairs) as f64
    }

    #[test]
    fn worked_values() {
        assert_eq!(mcnemar_exact(3, 0), 0.25);
        assert_eq!(mcnemar_exact(0, 0), 1.0);
        assert_eq!(mcnemar_exact(5, 5), 1.0);
        assert_eq!(mcnemar_exact(1, 5), mcnemar_exact(5, 1));
        assert!((mcnemar_exact(1, 5) - 0.21875).abs() < 1e-15);
    }

    #[test]
    fn small_counts_agree_with_the_definition() {
        for first in 0..30 {
            for second in 0..30 {
                let (got, expected) = (mcnemar_exact(first, second), by_definition(first, second));
                assert!((got - expected).abs() <= 1e-13 * expected, "{first}, {second}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn large_counts_agree_with_scipy() {
        // scipy.stats.binomtest(first, first + second).pvalue
        let scipy = [
            (40, 70, 0.005_447_429_511_444_476),
            (900, 1_100, 8.457_089_535_503_81e-6),
            (1_000, 1_500, 1.332_587_164_837_667_7e-23),
            (49_000, 51_000, 2.588_716_038_346_894_3e-10),
            (499_000, 501_000, 0.045_608_299_865_389_6),
        ];
        for (first, second, expected) in scipy {
            let got = mcnemar_exact(first, second);
            assert!((got - expected).abs() <= 1e-10 * expected, "{first}, {second}: {got}");
        }
    }

    #[test]
    fn holm_corrects_step_by_step() {
        // The example of R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]).unwrap();
        for (got, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - expected).abs() < 1e-15, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.6, 0.9]).unwrap(), [1.0, 1.0]);
        assert_eq!(holm(&[0.2]).unwrap(), [0.2]);
        assert_eq!(holm(&[]).unwrap(), [0.0; 0]);
        assert_eq!(holm(&[0.5, f64::NAN]).unwrap_err().to_string(), "p-value 1 is NaN, not between 0 and 1");
        assert_eq!(holm(&[-0.5]).unwrap_err().to_string(), "p-value 0 is -0.5, not between 0 and 1");
    }

    #[test]
    fn benjamini_and_hochberg_correct_step_by_step() {
        // The example of R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "BH").
        let adjusted = benjamini_hochberg(&[0.01, 0.04, 0.03, 0.005]).unwrap();
        for (got, expected) in adjusted.iter().zip([0.02, 0.04, 0.04, 0.02]) {
            assert!((got - expected).abs() < 1e-15, "{adjusted:?}");
        }
        assert_eq!(benjamini_hochberg(&[1.0, 1.0]).unwrap(), [1.0, 1.0]);
        assert_eq!(benjamini_hochberg(&[]).unwrap(), [0.0; 0]);
        assert_eq!(benjamini_hochberg(&[1.5]).unwrap_err().to_string(), "p-value 0 is 1.5, not between 0 and 1");
    }
}
