//! Whether a gate holds.

use super::{Demand, Error, Limit, Quantity, Result};
use crate::document::{Better, Estimate, Gate, GateStatus, Metric, Rule, Side};

/// Holds every demand against the metrics: one gate for each metric that it is about.
///
/// # Errors
/// [`Error::NoMetric`] for a demand about something that was not measured: it is a mistake in the file, not a failure of the model.
pub fn decide(demands: &[Demand], metrics: &[Metric]) -> Result<Vec<Gate>> {
    let mut gates = Vec::new();
    for demand in demands {
        let about: Vec<&Metric> = metrics.iter().filter(|metric| is_about(demand, metric)).collect();
        if about.is_empty() {
            return Err(unknown(demand, metrics));
        }
        gates.extend(about.into_iter().map(|metric| gate(demand, metric)));
    }
    Ok(gates)
}

fn is_about(demand: &Demand, metric: &Metric) -> bool {
    let whole = format!("{}/{}", metric.suite, metric.measure);
    let part = match &demand.part {
        None => metric.scope.by.is_none(),
        Some(part) => {
            metric.scope.by.as_ref() == Some(&part.by) && (part.is == "*" || metric.scope.is.as_ref() == Some(&part.is))
        }
    };
    whole == demand.metric && part
}

fn unknown(demand: &Demand, metrics: &[Metric]) -> Error {
    let part = demand.part.as_ref().map_or_else(String::new, |part| format!("/{}={}", part.by, part.is));
    let known = metrics.iter().map(|metric| metric.id.clone()).collect();
    Error::NoMetric { name: demand.name.clone(), metric: format!("{}{part}", demand.metric), known }
}

fn gate(demand: &Demand, metric: &Metric) -> Gate {
    let estimate = estimate(demand, metric);
    let (limit, higher_is_bad) = match demand.limit {
        Limit::AtMost(limit) => (limit, true),
        Limit::AtLeast(limit) => (limit, false),
        Limit::Margin(margin) => match metric.better {
            Better::Lower => (margin, true),
            Better::Higher => (-margin, false),
        },
    };
    let decided_by = estimate.and_then(|estimate| match demand.rule {
        Rule::Point => Some(estimate.value),
        Rule::Bound | Rule::NonInferior => {
            estimate.interval.as_ref().map(|interval| if higher_is_bad { interval.high } else { interval.low })
        }
    });
    let holds = |value: f64| if higher_is_bad { value <= limit } else { value >= limit };
    let (status, reason) = match decided_by {
        None if estimate.is_some() => {
            (GateStatus::Undecided, "it has no interval: the rule needs one, or decide by point".to_owned())
        }
        None => (GateStatus::Undecided, "nothing was measured".to_owned()),
        Some(value) if !holds(value) => (GateStatus::Fail, sentence(demand, value, limit, higher_is_bad, false)),
        Some(_) if demand.rule == Rule::Point && metric.is_small() => (
            GateStatus::Undecided,
            format!("{} samples are too few to decide by the value alone: use the rule bound", metric.n.scored),
        ),
        Some(value) => match missing(demand, metric, higher_is_bad).filter(|worst| !holds(*worst)) {
            Some(worst) => (
                GateStatus::Undecided,
                format!("it holds for what was scored; if all that is missing were bad it would be {}", number(worst)),
            ),
            None => (GateStatus::Pass, sentence(demand, value, limit, higher_is_bad, true)),
        },
    };
    Gate {
        name: demand.name.clone(),
        metric: metric.id.clone(),
        scope: metric.scope.clone(),
        of: if demand.rule == Rule::NonInferior { Quantity::Difference } else { demand.quantity },
        rule: demand.rule,
        side: if higher_is_bad { Side::AtMost } else { Side::AtLeast },
        limit: if let Limit::Margin(margin) = demand.limit { margin } else { limit },
        observed: estimate.map(|estimate| estimate.value),
        decided_by,
        interval: estimate.and_then(|estimate| estimate.interval.clone()),
        status,
        reason,
    }
}

fn estimate<'m>(demand: &Demand, metric: &'m Metric) -> Option<&'m Estimate> {
    let difference = || metric.paired.as_ref().map(|paired| &paired.difference);
    match (demand.rule, demand.quantity) {
        (Rule::NonInferior, _) | (_, Quantity::Difference) => difference(),
        (_, Quantity::Subject) => metric.subject.as_ref(),
        (_, Quantity::Corrected) => metric.corrected.as_ref().map(|corrected| &corrected.estimate),
        (_, Quantity::Resilience) => metric.resilience.as_ref(),
    }
}

/// The value if all missing samples were bad, where the gate looks at a rate that some are missing from.
fn missing(demand: &Demand, metric: &Metric, higher_is_bad: bool) -> Option<f64> {
    let bounds = metric.bounds.filter(|_| demand.quantity == Quantity::Subject && demand.rule != Rule::NonInferior)?;
    Some(if higher_is_bad { bounds.best.max(bounds.worst) } else { bounds.best.min(bounds.worst) })
}

fn sentence(demand: &Demand, value: f64, limit: f64, higher_is_bad: bool, holds: bool) -> String {
    let what = match demand.rule {
        Rule::Point => "the value",
        Rule::Bound if higher_is_bad => "the upper end of its interval",
        Rule::Bound => "the lower end of its interval",
        Rule::NonInferior if higher_is_bad => "the upper end of the difference to the baseline",
        Rule::NonInferior => "the lower end of the difference to the baseline",
    };
    let relation = match (higher_is_bad, holds) {
        (true, true) => "is not above",
        (true, false) => "is above",
        (false, true) => "is not below",
        (false, false) => "is below",
    };
    format!("{what}, {}, {relation} {}", number(value), number(limit))
}

/// Four significant digits.
fn number(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (3 - value.abs().log10().floor() as i32).clamp(0, 9) };
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
