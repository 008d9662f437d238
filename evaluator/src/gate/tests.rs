use super::*;
use crate::document::{
    Better, Bounds, ConfidenceInterval, Counts, Estimate, Gate, GateStatus, Metric, MetricKind, Paired, Scope, Unit,
    VerdictStatus,
};
use std::fs;

fn estimate(value: f64, low: f64, high: f64) -> Estimate {
    Estimate { value, interval: Some(ConfidenceInterval { low, high, level: 0.95, method: "wilson".into() }) }
}

fn metric(scored: u64, part: Option<&str>, value: f64, low: f64, high: f64) -> Metric {
    Metric {
        id: format!("asked/style{}", part.map_or_else(String::new, |part| format!("/style={part}"))),
        suite: "asked".into(),
        measure: "style".into(),
        protocol: "small-world".into(),
        kind: MetricKind::Asked,
        unit: Unit::Share,
        better: Better::Higher,
        scope: Scope { by: part.map(|_| "style".into()), is: part.map(Into::into) },
        n: Counts { planned: scored, scored, ..Counts::default() },
        subject: Some(estimate(value, low, high)),
        baseline: None,
        bounds: None,
        corrected: None,
        paired: Some(Paired {
            pairs: scored,
            difference: estimate(-0.01, -0.03, 0.01),
            test: None,
            p: None,
            p_holm: None,
            discordant: None,
        }),
        resilience: None,
        detectable: None,
    }
}

fn demands(text: &str) -> Result<Vec<Demand>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gates.toml");
    fs::write(&file, text).unwrap();
    Demand::read(&file)
}

fn decided(gate: &str, metrics: &[Metric]) -> Vec<Gate> {
    let text = format!("[[gate]]\nname = \"g\"\nmetric = \"asked/style\"\n{gate}");
    decide(&demands(&text).unwrap(), metrics).unwrap()
}

fn status(gate: &str, metric: Metric) -> GateStatus {
    decided(gate, &[metric])[0].status
}

#[test]
fn few_samples_do_not_pass_by_luck() {
    let (point, bound) = ("rule = \"point\"\nat_most = 0.1", "rule = \"bound\"\nat_most = 0.1");
    assert_eq!(status(point, metric(300, None, 0.05, 0.03, 0.09)), GateStatus::Pass);
    assert_eq!(status(bound, metric(300, None, 0.05, 0.03, 0.09)), GateStatus::Pass);
    assert_eq!(status(bound, metric(300, None, 0.05, 0.03, 0.11)), GateStatus::Fail);
    assert_eq!(status(point, metric(20, None, 0.05, 0.01, 0.24)), GateStatus::Undecided);
    assert_eq!(status(point, metric(20, None, 0.15, 0.05, 0.36)), GateStatus::Fail);
    let least = "rule = \"bound\"\nat_least = 0.9";
    assert_eq!(status(least, metric(300, None, 0.95, 0.92, 0.97)), GateStatus::Pass);
    assert_eq!(status(least, metric(300, None, 0.95, 0.89, 0.97)), GateStatus::Fail);
}

#[test]
fn a_difference_is_held_against_a_margin() {
    let worse = metric(300, None, 0.9, 0.8, 0.95);
    assert_eq!(status("rule = \"non_inferior\"\nmargin = 0.05", worse.clone()), GateStatus::Pass);
    assert_eq!(status("rule = \"non_inferior\"\nmargin = 0.02", worse.clone()), GateStatus::Fail);
    // Where less is better the other end counts: 0.01.
    let lower = Metric { better: Better::Lower, ..worse.clone() };
    assert_eq!(status("rule = \"non_inferior\"\nmargin = 0.01", lower.clone()), GateStatus::Pass);
    assert_eq!(status("rule = \"non_inferior\"\nmargin = 0.005", lower), GateStatus::Fail);
    assert_eq!(status("rule = \"point\"\nof = \"difference\"\nat_least = -0.02", worse), GateStatus::Pass);
}

#[test]
fn what_is_missing_can_undo_a_pass_and_no_failure() {
    let gate = "rule = \"bound\"\nat_most = 0.1";
    let with =
        |high, worst| Metric { bounds: Some(Bounds { best: 0.04, worst }), ..metric(300, None, 0.05, 0.03, high) };
    assert_eq!(status(gate, with(0.09, 0.08)), GateStatus::Pass);
    assert_eq!(status(gate, with(0.09, 0.2)), GateStatus::Undecided);
    assert_eq!(status(gate, with(0.11, 0.2)), GateStatus::Fail);
    let nothing = Metric { subject: None, ..metric(0, None, 0.0, 0.0, 0.0) };
    assert_eq!(status(gate, nothing), GateStatus::Undecided);
}

#[test]
fn a_star_is_each_part() {
    let metrics = [
        metric(300, None, 0.5, 0.4, 0.6),
        metric(100, Some("flat"), 0.99, 0.97, 1.0),
        metric(100, Some("striped"), 0.02, 0.0, 0.07),
    ];
    let gates = decided("scope = { by = \"style\", is = \"*\" }\nrule = \"bound\"\nat_least = 0.9", &metrics);
    assert_eq!(gates.iter().map(|gate| gate.status).collect::<Vec<_>>(), [GateStatus::Pass, GateStatus::Fail]);
    let gates = decided("scope = { by = \"style\", is = \"striped\" }\nrule = \"bound\"\nat_most = 0.08", &metrics);
    assert_eq!((gates.len(), gates[0].status), (1, GateStatus::Pass));
    assert_eq!(gates[0].reason, "the upper end of its interval, 0.07, is not above 0.08");
}

#[test]
fn gates_that_cannot_be_meant_are_refused() {
    let said = |gate: &str| {
        let text = format!("[[gate]]\nname = \"g\"\nmetric = \"asked/style\"\n{gate}");
        demands(&text).unwrap_err().to_string()
    };
    assert!(said("rule = \"point\"").contains("needs one of at_most, at_least and margin"));
    assert!(said("rule = \"point\"\nmargin = 0.1").contains("goes with the rule non_inferior"));
    assert!(said("rule = \"non_inferior\"\nat_most = 0.1").contains("needs a margin"));
    assert!(said("rule = \"point\"\nat_most = nan").contains("not a finite number"));
    let demand = demands("[[gate]]\nname = \"g\"\nmetric = \"asked/shape\"\nrule = \"point\"\nat_most = 0.1").unwrap();
    let error = decide(&demand, &[metric(300, None, 0.5, 0.4, 0.6)]).unwrap_err();
    assert_eq!(error.to_string(), "the gate \"g\" is about asked/shape, which was not measured; there are asked/style");
}

#[test]
fn one_function_answers() {
    let gate = |status| Gate {
        status,
        ..decided("rule = \"point\"\nat_most = 1", &[metric(300, None, 0.5, 0.4, 0.6)])[0].clone()
    };
    let done = Completeness { planned: 100, open: 0, errored: 2, unfinished: false };
    let answer = |gates: &[GateStatus], completeness| {
        let gates: Vec<Gate> = gates.iter().map(|status| gate(*status)).collect();
        let verdict = verdict(&gates, completeness, 0.02);
        (verdict.status, verdict.exit_code)
    };
    use GateStatus::{Fail, Pass, Undecided};
    assert_eq!(answer(&[Pass, Pass], done), (VerdictStatus::Pass, 0));
    assert_eq!(answer(&[], done), (VerdictStatus::Pass, 0));
    assert_eq!(answer(&[Pass, Fail, Undecided], done), (VerdictStatus::Fail, 1));
    assert_eq!(answer(&[Pass, Undecided], done), (VerdictStatus::Incomplete, 3));
    assert_eq!(answer(&[Pass], Completeness { errored: 3, ..done }), (VerdictStatus::Incomplete, 3));
    assert_eq!(answer(&[Fail], Completeness { open: 1, ..done }), (VerdictStatus::Incomplete, 3));
    assert_eq!(answer(&[Fail], Completeness { unfinished: true, ..done }), (VerdictStatus::Incomplete, 3));
}
