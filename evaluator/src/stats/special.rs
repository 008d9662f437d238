//! The distribution functions that intervals and tests are read from.

/// The 97.5 % point of the standard normal distribution.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// The standard normal distribution function.
pub(super) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// The inverse of [`normal_cdf`]; infinite at 0 and 1.
pub(super) fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    if p <= 0.0 { f64::NEG_INFINITY } else { bisect(-40.0, 0.0, |z| normal_cdf(z) < p) }
}

/// The distribution function of Beta(`a`, `b`), the regularised incomplete beta function, by its continued fraction
/// (DLMF 8.17.22) with Lentz's method. The probability of at least `k` successes in `n` trials is `beta_cdf(p, k, n - k + 1)`.
pub(super) fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast below the mean; above it the mirror image does.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_cdf_below_mean(1.0 - x, b, a);
    }
    beta_cdf_below_mean(x, a, b)
}

fn beta_cdf_below_mean(x: f64, a: f64, b: f64) -> f64 {
    let log_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = (a * x.ln() + b * (-x).ln_1p() - log_beta).exp() / a;
    let away = |value: f64| if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value };
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    // Terms grow as the root of the larger parameter.
    for m in 1..1_000_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            change = d * c;
            fraction *= change;
        }
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    (front * fraction).min(1.0)
}

/// The inverse of [`beta_cdf`] in its first argument.
pub(super) fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| beta_cdf(x, a, b) < p)
}

/// Where `below` turns from true to false, to the last bit.
pub(super) fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    // Numbers that are not within 2^-100 of 0 are found long before.
    for _ in 0..160 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-13 * expected.abs().max(1e-2), "{got} for {expected}");
    }

    #[test]
    fn quantiles_undo_distributions() {
        assert_close(normal_quantile(0.975), Z);
        assert_close(normal_quantile(0.025), -Z);
        assert_close(normal_quantile(0.5), 0.0);
        assert_eq!((normal_quantile(0.0), normal_quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        for (p, a, b) in [(0.025, 3.0, 8.0), (0.975, 3.0, 8.0), (0.5, 0.5, 0.5), (0.1, 700.0, 4000.0)] {
            assert_close(beta_cdf(beta_quantile(p, a, b), a, b), p);
        }
    }

    #[test]
    fn beta_has_closed_forms() {
        for x in [1e-9, 0.01, 0.3, 0.5, 0.77, 0.999] {
            assert_close(beta_cdf(x, 1.0, 1.0), x);
            assert_close(beta_cdf(x, 5.0, 1.0), x.powi(5));
            assert_close(beta_cdf(x, 1.0, 5.0), 1.0 - (1.0 - x).powi(5));
            assert_close(beta_cdf(x, 0.5, 0.5), 2.0 / std::f64::consts::PI * x.sqrt().asin());
        }
        assert_eq!((beta_cdf(0.0, 2.0, 3.0), beta_cdf(1.0, 2.0, 3.0)), (0.0, 1.0));
    }

    #[test]
    fn beta_is_the_tail_of_the_binomial() {
        let (n, p) = (12, 0.3f64);
        let choose = |k: i32| (0..k).fold(1.0, |product, i| product * f64::from(n - i) / f64::from(i + 1));
        for k in 1..=n {
            let tail: f64 = (k..=n).map(|k| choose(k) * p.powi(k) * (1.0 - p).powi(n - k)).sum();
            assert_close(beta_cdf(p, f64::from(k), f64::from(n - k + 1)), tail);
        }
    }

    /// The fixtures' numbers are [p, quantile] and [x, a, b, distribution function].
    #[test]
    fn distributions_agree_with_scipy() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/statistics.json");
        let fixtures: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let rows =
            |name: &str| -> Vec<Vec<f64>> { serde_json::from_value(fixtures["distributions"][name].clone()).unwrap() };
        for row in rows("normal") {
            let [p, expected] = row[..] else { panic!("{row:?}") };
            let got = normal_quantile(p);
            assert!((got - expected).abs() <= 1e-14 * expected.abs().max(1.0), "{p}: {got} for {expected}");
        }
        for row in rows("beta") {
            let [x, a, b, expected] = row[..] else { panic!("{row:?}") };
            let got = beta_cdf(x, a, b);
            assert!((got - expected).abs() <= 1e-9 * expected, "{x}, {a}, {b}: {got} for {expected}");
        }
    }
}
