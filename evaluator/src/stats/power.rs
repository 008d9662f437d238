//! What an audit of a given size could have seen.

use super::mcnemar_exact;
use super::special::{beta_cdf, beta_quantile, bisect};
use crate::error::{Error, Result};

/// How often the exact McNemar test at `level` rejects, if a share `discordance` of the pairs disagrees and the rates differ by
/// `difference`: the power for every number of pairs that may disagree, weighted with how probable it is (Duffy 1984).
///
/// The time grows with `pairs^1.5`.
///
/// # Errors
/// [`Error::TooFew`] without pairs; [`Error::Range`] for a level that is not between 0 and 1, a discordance that is not a
/// probability, or a difference beyond it.
pub fn mcnemar_power(pairs: u32, discordance: f64, difference: f64, level: f64) -> Result<f64> {
    let design = Design::new(pairs, discordance, level)?;
    if !(-discordance..=discordance).contains(&difference) {
        let range = "at most the discordance, either way";
        return Err(Error::Range { what: "difference", value: difference, range });
    }
    Ok(design.power(difference))
}

/// The smallest difference between two rates on the same pairs that the exact McNemar test finds with the given power, 0.8 by custom;
/// none where not even disagreement all one way is found so often.
///
/// # Errors
/// As [`mcnemar_power`], and [`Error::Range`] for a power that is not between the level and 1.
pub fn detectable_difference(pairs: u32, discordance: f64, level: f64, power: f64) -> Result<Option<f64>> {
    let design = Design::new(pairs, discordance, level)?;
    check_power(power, level)?;
    if design.power(discordance) < power {
        return Ok(None);
    }
    Ok(Some(bisect(0.0, discordance, |difference| design.power(difference) < power)))
}

/// The smallest rate that the exact one-sided binomial test at `level` finds to be above `limit` with the given power; none where
/// not even a rate of 1 is. With a limit of 0, the smallest rate of which something is seen at all.
///
/// # Errors
/// [`Error::TooFew`] without trials; [`Error::Range`] for a level that is not between 0 and 1, a power that is not between the
/// level and 1, or a limit that is not a rate below 1.
pub fn detectable_rate(trials: u32, limit: f64, level: f64, power: f64) -> Result<Option<f64>> {
    if trials == 0 {
        return Err(Error::TooFew { what: "trials", least: 1, got: 0 });
    }
    check_level(level)?;
    check_power(power, level)?;
    if !(0.0..1.0).contains(&limit) {
        return Err(Error::Range { what: "limit", value: limit, range: "a rate below 1" });
    }
    let n = f64::from(trials);
    // The fewest successes that reject; more of them are rarer.
    let rejects = |k: u32| beta_cdf(limit, f64::from(k), n - f64::from(k) + 1.0) <= level;
    let (mut low, mut high) = (1, trials);
    while low < high {
        let middle = low + (high - low) / 2;
        if rejects(middle) { high = middle } else { low = middle + 1 }
    }
    Ok(rejects(low).then(|| beta_quantile(power, f64::from(low), n - f64::from(low) + 1.0)))
}

fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::Range { what: "level", value: level, range: "between 0 and 1" })
}

fn check_power(power: f64, level: f64) -> Result<()> {
    if power > level && power < 1.0 {
        return Ok(());
    }
    Err(Error::Range { what: "power", value: power, range: "between the level and 1" })
}

/// The numbers of pairs that may disagree.
struct Design {
    discordance: f64,
    cases: Vec<Case>,
}

/// One of them.
struct Case {
    probability: f64,
    disagreeing: u32,
    /// The test rejects where at most so many are of the rarer kind.
    critical: u32,
}

impl Design {
    fn new(pairs: u32, discordance: f64, level: f64) -> Result<Self> {
        if pairs == 0 {
            return Err(Error::TooFew { what: "pairs", least: 1, got: 0 });
        }
        check_level(level)?;
        if !(0.0..=1.0).contains(&discordance) {
            return Err(Error::Range { what: "discordance", value: discordance, range: "between 0 and 1" });
        }
        let rejects = |critical: u32, disagreeing: u32| {
            2 * u64::from(critical) < u64::from(disagreeing) && mcnemar_exact(critical, disagreeing - critical) <= level
        };
        let mut cases: Vec<Case> = Vec::new();
        for disagreeing in 0..=pairs {
            let probability = binomial(disagreeing, pairs, discordance);
            // Together they would not show in the power.
            if probability < 1e-20 {
                continue;
            }
            let critical = match cases.last() {
                // One pair more moves the critical number up by one or not at all.
                Some(last) if rejects(last.critical + 1, disagreeing) => Some(last.critical + 1),
                Some(last) => Some(last.critical),
                None => largest(disagreeing / 2, |critical| rejects(critical, disagreeing)),
            };
            if let Some(critical) = critical {
                cases.push(Case { probability, disagreeing, critical });
            }
        }
        Ok(Self { discordance, cases })
    }

    /// Grows with the difference either way, since the critical number is below half the pairs that disagree.
    fn power(&self, difference: f64) -> f64 {
        // The share of the more frequent kind.
        let share = if self.discordance > 0.0 { (1.0 + difference.abs() / self.discordance) / 2.0 } else { 0.5 };
        let power = self.cases.iter().map(|case| {
            let (many, few) = (f64::from(case.disagreeing - case.critical), f64::from(case.critical + 1));
            case.probability * (beta_cdf(share, many, few) + beta_cdf(1.0 - share, many, few))
        });
        power.sum::<f64>().min(1.0)
    }
}

/// The largest number up to `most` that a condition holds for, which holds for all smaller ones.
fn largest(most: u32, holds: impl Fn(u32) -> bool) -> Option<u32> {
    if !holds(0) {
        return None;
    }
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = high - (high - low) / 2;
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    Some(low)
}

/// The probability of `k` successes in `n` trials.
fn binomial(k: u32, n: u32, p: f64) -> f64 {
    let times = |count: u32, log: f64| if count == 0 { 0.0 } else { f64::from(count) * log };
    let factorial = |count: u32| libm::lgamma(f64::from(count) + 1.0);
    let choose = factorial(n) - factorial(k) - factorial(n - k);
    (choose + times(k, p.ln()) + times(n - k, (-p).ln_1p())).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All outcomes of all pairs, the test applied to each.
    fn by_definition(pairs: u32, discordance: f64, difference: f64, level: f64) -> f64 {
        let (first, second) = ((discordance + difference) / 2.0, (discordance - difference) / 2.0);
        let factorial = |k: u32| (1..=k).map(f64::from).product::<f64>();
        let mut power = 0.0;
        for b in 0..=pairs {
            for c in (0..=pairs - b).filter(|c| mcnemar_exact(b, *c) <= level) {
                let ways = factorial(pairs) / (factorial(b) * factorial(c) * factorial(pairs - b - c));
                power += ways
                    * first.powi(b as i32)
                    * second.powi(c as i32)
                    * (1.0 - discordance).powi((pairs - b - c) as i32);
            }
        }
        power
    }

    #[test]
    fn power_agrees_with_the_definition() {
        for pairs in [1, 5, 6, 20, 45] {
            for discordance in [0.0, 0.1, 0.5, 1.0] {
                for part in [-1.0, 0.0, 0.3, 0.8, 1.0] {
                    for level in [0.01, 0.05, 0.25, 0.9] {
                        let difference = part * discordance;
                        let got = mcnemar_power(pairs, discordance, difference, level).unwrap();
                        let expected = by_definition(pairs, discordance, difference, level);
                        let case = format!("{pairs}, {discordance}, {difference}, {level}");
                        assert!((got - expected).abs() < 1e-12, "{case}: {got} for {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_detectable_difference_has_the_power_and_less_has_not() {
        let found = detectable_difference(500, 0.1, 0.05, 0.8).unwrap().unwrap();
        assert!((mcnemar_power(500, 0.1, found, 0.05).unwrap() - 0.8).abs() < 1e-9);
        assert!(mcnemar_power(500, 0.1, 0.99 * found, 0.05).unwrap() < 0.8);
        assert!(detectable_difference(2000, 0.1, 0.05, 0.8).unwrap().unwrap() < found);
        // Five pairs that disagree cannot reject at 0.05, even all one way: p = 2 / 32.
        assert_eq!(detectable_difference(5, 1.0, 0.05, 0.8).unwrap(), None);
        assert!(detectable_difference(6, 1.0, 0.05, 0.8).unwrap().is_some());
        assert_eq!(detectable_difference(100, 0.0, 0.05, 0.8).unwrap(), None);
    }

    #[test]
    fn the_detectable_rate_has_closed_forms() {
        for n in [1, 30, 4703] {
            // With a limit of 0 one success rejects: 1 - (1 - rate)^n = 0.8.
            let expected = 1.0 - 0.2f64.powf(1.0 / f64::from(n));
            let got = detectable_rate(n, 0.0, 0.05, 0.8).unwrap().unwrap();
            assert!((got - expected).abs() < 1e-12, "{n}: {got} for {expected}");
        }
        // Five of five at a limit of one half: p = 1/32, and rate^5 = 0.8. Four of four do not reject.
        let got = detectable_rate(5, 0.5, 0.05, 0.8).unwrap().unwrap();
        assert!((got - 0.8f64.powf(0.2)).abs() < 1e-14, "{got}");
        assert_eq!(detectable_rate(4, 0.5, 0.05, 0.8).unwrap(), None);
    }

    #[test]
    fn designs_that_are_none_are_refused() {
        let message = |result: Result<Option<f64>>| result.unwrap_err().to_string();
        assert_eq!(message(detectable_difference(0, 0.1, 0.05, 0.8)), "pairs: at least 1 are needed, got 0");
        assert_eq!(message(detectable_rate(0, 0.1, 0.05, 0.8)), "trials: at least 1 are needed, got 0");
        assert_eq!(
            message(detectable_difference(9, 1.1, 0.05, 0.8)),
            "discordance is 1.1, which is not between 0 and 1"
        );
        assert_eq!(message(detectable_rate(9, 0.1, 1.0, 0.8)), "level is 1, which is not between 0 and 1");
        assert_eq!(message(detectable_rate(9, 0.1, 0.05, 0.05)), "power is 0.05, which is not between the level and 1");
        assert_eq!(message(detectable_rate(9, 1.0, 0.05, 0.8)), "limit is 1, which is not a rate below 1");
        assert_eq!(
            mcnemar_power(9, 0.1, 0.2, 0.05).unwrap_err().to_string(),
            "difference is 0.2, which is not at most the discordance, either way"
        );
        assert!(mcnemar_power(9, 0.1, f64::NAN, 0.05).is_err());
    }
}
