//! The statistics against SciPy, statsmodels and definitions in numpy.

use std::path::Path;

use pleach_evaluator::stats::*;
use serde_json::Value;

fn fixtures() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/statistics.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn count(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

fn counts(value: &Value) -> Vec<u32> {
    list(value).iter().map(count).collect()
}

#[track_caller]
fn assert_close(got: f64, expected: &Value, relative: f64, of: &Value) {
    let expected = number(expected);
    assert!((got - expected).abs() <= relative * expected.abs().max(1e-2), "{got} for {expected}, {of}");
}

#[track_caller]
fn assert_ends(got: Interval, expected: &Value, relative: f64, of: &Value) {
    assert_close(got.low, &expected[0], relative, of);
    assert_close(got.high, &expected[1], relative, of);
}

/// The fixtures' resamples.
fn bootstrap(fixtures: &Value, method: BootstrapMethod) -> Bootstrap {
    let resamples = count(&fixtures["resamples"]) as usize;
    Bootstrap { resamples, seed: fixtures["seed"].as_u64().unwrap(), method, ..Default::default() }
}

#[test]
fn intervals_of_rates() {
    for case in list(&fixtures()["rates"]) {
        let (k, n) = (case["successes"].as_u64().unwrap(), case["trials"].as_u64().unwrap());
        assert_ends(wilson_interval(k, n).unwrap(), &case["wilson"], 1e-12, case);
        assert_ends(clopper_pearson(k, n).unwrap(), &case["clopper_pearson"], 1e-11, case);
    }
}

#[test]
fn tables_of_pairs() {
    for case in list(&fixtures()["tables"]) {
        let [a, b, c, d] = counts(&case["table"])[..] else { panic!("{case}") };
        assert_ends(newcombe_paired(a, b, c, d).unwrap(), &case["newcombe"], 1e-12, case);
        let Some(p) = case.get("mcnemar") else { continue };
        assert_close(mcnemar_exact(b, c), p, 1e-12, case);
        let odds = discordant_odds_ratio(b, c).unwrap();
        assert_close(odds.low, &case["odds"][0], 1e-11, case);
        assert_eq!(odds.high.is_none(), case["odds"][1].is_null(), "{case}");
        if let Some(high) = odds.high {
            assert_close(high, &case["odds"][1], 1e-11, case);
        }
    }
}

#[test]
fn corrections_for_many_comparisons() {
    let fixtures = fixtures();
    let case = &fixtures["corrections"];
    let p = numbers(&case["p"]);
    for (name, got) in [("holm", holm(&p).unwrap()), ("benjamini_hochberg", benjamini_hochberg(&p).unwrap())] {
        assert_eq!(got.len(), p.len());
        got.iter().zip(list(&case[name])).for_each(|(got, expected)| assert_close(*got, expected, 1e-14, case));
    }
}

#[test]
fn bootstraps_of_means() {
    let fixtures = fixtures();
    for case in list(&fixtures["means"]) {
        let values = numbers(&case["values"]);
        for (name, method) in [("percentile", BootstrapMethod::Percentile), ("bca", BootstrapMethod::Bca)] {
            let found = bootstrap(&fixtures, method).mean(&values).unwrap();
            assert_close(found.value, &case["mean"], 1e-13, case);
            assert_ends(found.interval, &case[name], 1e-10, case);
        }
    }
}

#[test]
fn sign_flips() {
    const DRAWS: u32 = 20_000;
    for case in list(&fixtures()["sign_flips"]) {
        let differences = numbers(&case["differences"]);
        let found = sign_flip(&differences, DRAWS, 0).unwrap();
        let expected = number(&case["p"]);
        assert_eq!(found.exact, differences.len() <= EXACT_GROUPS);
        let error = (expected * (1.0 - expected) / f64::from(DRAWS)).sqrt();
        let tolerance = if found.exact { 1e-13 } else { 4.0 * error };
        assert!((found.p - expected).abs() <= tolerance, "{found:?} for {case}");
    }
}

#[test]
fn rates_corrected_for_the_detector() {
    let fixtures = fixtures();
    for case in list(&fixtures["corrected"]) {
        let [tp, fn_, tn, fp] = counts(&case["validation"])[..] else { panic!("{case}") };
        let validation =
            Validation { true_positives: tp, false_negatives: fn_, true_negatives: tn, false_positives: fp };
        let groups: Vec<Tally> =
            counts(&case["quarters"]).iter().map(|hits| Tally { successes: u64::from(*hits), trials: 4 }).collect();
        let found = rogan_gladen(&groups, validation, &bootstrap(&fixtures, BootstrapMethod::Percentile)).unwrap();
        let Corrected::Corrected { estimate, .. } = found else { panic!("{found:?}") };
        assert_close(estimate.value, &case["value"], 1e-12, case);
        assert_ends(estimate.interval, &case["interval"], 1e-12, case);
    }
}

#[test]
fn resiliences() {
    let fixtures = fixtures();
    for case in list(&fixtures["resiliences"]) {
        let (method, baseline) = (counts(&case["method"]), counts(&case["baseline"]));
        let groups: Vec<Flagged> =
            method.into_iter().zip(baseline).map(|(method, baseline)| Flagged { method, baseline }).collect();
        let found = resilience(&groups, &bootstrap(&fixtures, BootstrapMethod::Percentile)).unwrap();
        assert_close(found.percent, &case["percent"], 1e-12, case);
        assert_ends(found.interval.unwrap(), &case["interval"], 1e-12, case);
    }
}

#[test]
fn the_expected_maximum() {
    let fixtures = fixtures();
    let case = &fixtures["maximum"];
    let groups: Vec<Tally> =
        counts(&case["fortieths"]).iter().map(|hits| Tally { successes: u64::from(*hits), trials: 40 }).collect();
    let found = expected_maximum(&groups, 0).unwrap();
    let (mean, spread) = (number(&case["mean"]), number(&case["spread"]));
    let draws = MAXIMUM_RESAMPLES as f64;
    assert!((found.mean - mean).abs() < 4.0 * spread / draws.sqrt(), "{found:?} for {case}");
    assert!((found.spread - spread).abs() < 0.05 * spread, "{found:?} for {case}");
}

#[test]
fn sweeps() {
    let fixtures = fixtures();
    let case = &fixtures["sweep"];
    let mut largest: Vec<Option<f64>> = numbers(&case["scores"]).into_iter().map(Some).collect();
    largest.extend(vec![None; count(&case["without"]) as usize]);
    for (name, rule) in [("above", Rule::Above), ("at_least", Rule::AtLeast)] {
        let points = threshold_sweep(&largest, &numbers(&case["grid"]), rule).unwrap();
        let expected = list(&case[name]);
        assert_eq!(points.len(), expected.len());
        for (point, expected) in points.into_iter().zip(expected) {
            assert_eq!(point.count, u64::from(count(&expected[0])), "{point:?}");
            assert_close(point.interval.low, &expected[1], 1e-12, case);
            assert_close(point.interval.high, &expected[2], 1e-12, case);
        }
    }
}

#[test]
fn powers() {
    let fixtures = fixtures();
    for case in list(&fixtures["powers"]["paired"]) {
        let (pairs, psi, level) = (count(&case["pairs"]), number(&case["discordance"]), number(&case["level"]));
        assert_close(mcnemar_power(pairs, psi, psi / 2.0, level).unwrap(), &case["at_half"], 1e-10, case);
        let least = detectable_difference(pairs, psi, level, 0.8).unwrap().unwrap();
        assert_close(least, &case["least"], 1e-9, case);
    }
    for case in list(&fixtures["powers"]["single"]) {
        let (trials, limit, level) = (count(&case["trials"]), number(&case["limit"]), number(&case["level"]));
        let least = detectable_rate(trials, limit, level, 0.8).unwrap().unwrap();
        assert_close(least, &case["least"], 1e-10, case);
    }
}

/// What the fixtures hold is what an audit stores.
#[test]
fn results_survive_json() {
    let bootstrap = Bootstrap::default();
    let groups = [Tally { successes: 1, trials: 3 }, Tally { successes: 2, trials: 3 }];
    let validation = Validation { true_positives: 0, false_negatives: 0, true_negatives: 9, false_positives: 1 };
    let raw = rogan_gladen(&groups, validation, &bootstrap).unwrap();
    let json = serde_json::to_value(raw).unwrap();
    assert_eq!((&json["status"], &json["why"]["reason"]), (&"raw".into(), &"no_positives".into()));
    assert_eq!(serde_json::from_value::<Corrected>(json).unwrap(), raw);
    let odds = discordant_odds_ratio(3, 0).unwrap();
    assert_eq!(serde_json::from_value::<OddsRatio>(serde_json::to_value(odds).unwrap()).unwrap(), odds);
    let json = serde_json::to_value(bootstrap).unwrap();
    assert_eq!(
        (&json["method"], serde_json::from_value::<Bootstrap>(json.clone()).unwrap()),
        (&"percentile".into(), bootstrap)
    );
}
