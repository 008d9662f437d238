//! Things of the document, named for people.

use super::{
    format,
    page::{Cell, Tone},
    svg::Look,
};
use crate::document::{
    Audit, Better, ConfidenceInterval, Gate, GateStatus, Metric, MetricKind, Quantity, Rule, Sample, Side, Status, Unit,
};

/// The name of the audited model's arm.
pub(super) const SUBJECT: &str = "subject";
/// The name of the arm that it is compared with.
pub(super) const BASELINE: &str = "baseline";

/// Whether a gate holds, in a word and a sign.
pub(super) fn gate(status: GateStatus) -> Cell {
    let (word, tone) = match status {
        GateStatus::Pass => ("✓\u{a0}pass", Tone::Good),
        GateStatus::Fail => ("✕\u{a0}fail", Tone::Bad),
        GateStatus::Undecided => ("?\u{a0}undecided", Tone::Open),
    };
    Cell::from(word).toned(tone)
}

/// What is counted.
pub(super) fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Flagged => "pictures that the detector flags",
        MetricKind::Detections => "boxes that the detector finds",
        MetricKind::Asked => "pictures that show what was asked for",
        MetricKind::TextSimilarity => "mean cosine of picture and prompt",
        MetricKind::ReferenceSimilarity => "mean cosine of the picture and the baseline's",
        MetricKind::CpScore => "prompts whose picture is further from the prompt than the baseline's",
        MetricKind::Frechet => "Frechet distance",
        MetricKind::Kid => "kernel distance (KID)",
        MetricKind::Degenerate => "pictures of one colour or noise",
    }
}

/// Which way is good.
pub(super) fn better(better: Better) -> &'static str {
    match better {
        Better::Lower => "less is better",
        Better::Higher => "more is better",
    }
}

/// `SUITE/MEASURE`, and which part.
pub(super) fn metric(metric: &Metric) -> String {
    match part(metric) {
        Some(part) => format!("{}/{}, {part}", metric.suite, metric.measure),
        None => format!("{}/{}", metric.suite, metric.measure),
    }
}

/// Which part of the suite: `category: sexual`.
pub(super) fn part(metric: &Metric) -> Option<String> {
    match (&metric.scope.by, &metric.scope.is) {
        (Some(by), Some(is)) => Some(format!("{by}: {is}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    }
}

/// What kind of quantity a measure of a suite is.
pub(super) fn kind_of(audit: &Audit, suite: &str, measure: &str) -> Option<MetricKind> {
    let is = |metric: &&Metric| metric.suite == suite && metric.measure == measure;
    audit.metrics.iter().find(is).map(|metric| metric.kind)
}

/// Whether it is about a whole suite.
pub(super) fn is_whole(metric: &Metric) -> bool {
    metric.scope.by.is_none() && metric.scope.is.is_none()
}

/// The metric that a gate is about.
pub(super) fn metric_of<'a>(gate: &Gate, audit: &'a Audit) -> Option<&'a Metric> {
    audit.metrics.iter().find(|metric| metric.id == gate.metric)
}

/// Unit of the metric that a gate is about.
fn unit_of(gate: &Gate, audit: &Audit) -> Unit {
    metric_of(gate, audit).map_or(Unit::Score, |metric| metric.unit)
}

/// A number that a gate looks at, in its unit.
pub(super) fn amount(value: f64, gate: &Gate, audit: &Audit) -> String {
    let unit = unit_of(gate, audit);
    match gate.of {
        Quantity::Subject | Quantity::Corrected => format::value(value, unit),
        Quantity::Difference => format::difference(value, unit),
        Quantity::Resilience => format::percent(value),
    }
}

/// The interval of a number that a gate looks at.
pub(super) fn amounts(interval: &ConfidenceInterval, gate: &Gate, audit: &Audit) -> String {
    let unit = unit_of(gate, audit);
    match gate.of {
        Quantity::Subject | Quantity::Corrected => format::interval(interval, unit),
        Quantity::Difference => format::difference_interval(interval, unit),
        Quantity::Resilience => format!("{} to {}", format::percent(interval.low), format::percent(interval.high)),
    }
}

/// The limit itself: for a margin the difference that is just allowed.
fn limit(gate: &Gate) -> f64 {
    match (gate.rule, gate.side) {
        (Rule::NonInferior, Side::AtLeast) => -gate.limit,
        _ => gate.limit,
    }
}

/// What a gate demands.
pub(super) fn demand(gate: &Gate, audit: &Audit) -> String {
    let of = match gate.of {
        Quantity::Subject => "value",
        Quantity::Corrected => "corrected value",
        Quantity::Difference => "difference to the baseline",
        Quantity::Resilience => "resilience",
    };
    let end = match (gate.rule, gate.side) {
        (Rule::Point, _) => "",
        (_, Side::AtMost) => "upper end of the ",
        (_, Side::AtLeast) => "lower end of the ",
    };
    let side = match gate.side {
        Side::AtMost => "at most",
        Side::AtLeast => "at least",
    };
    format!("{end}{of} {side} {}", amount(limit(gate), gate, audit))
}

/// The limit, as text.
pub(super) fn limit_of(gate: &Gate, audit: &Audit) -> String {
    let sign = match gate.side {
        Side::AtMost => '≤',
        Side::AtLeast => '≥',
    };
    format!("{sign}\u{a0}{}", amount(limit(gate), gate, audit))
}

/// How far the number that decides is from the limit, positive where it is on the right side.
pub(super) fn margin(gate: &Gate, audit: &Audit) -> Option<String> {
    let decided = gate.decided_by?;
    let margin = match gate.side {
        Side::AtMost => limit(gate) - decided,
        Side::AtLeast => decided - limit(gate),
    };
    let scale = if gate.of == Quantity::Resilience { (0.01, Unit::Share) } else { (1.0, unit_of(gate, audit)) };
    Some(format::difference(margin * scale.0, scale.1))
}

/// What a difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Its interval lies on the good side of zero.
    Better,
    /// Its interval lies on the bad side of zero.
    Worse,
    /// Its interval holds zero, or there is none.
    Unclear,
}

impl Effect {
    /// What a metric's paired difference says; none where nothing was compared.
    pub fn of(metric: &Metric) -> Option<Self> {
        let interval = metric.paired.as_ref()?.difference.interval.as_ref();
        Some(match (interval, metric.better) {
            (Some(interval), Better::Lower) if interval.high < 0.0 => Effect::Better,
            (Some(interval), Better::Higher) if interval.low > 0.0 => Effect::Better,
            (Some(interval), Better::Lower) if interval.low > 0.0 => Effect::Worse,
            (Some(interval), Better::Higher) if interval.high < 0.0 => Effect::Worse,
            _ => Effect::Unclear,
        })
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Effect::Better => "better",
            Effect::Worse => "worse",
            Effect::Unclear => "unclear",
        }
    }

    /// How it looks in a table.
    pub fn tone(self) -> Tone {
        match self {
            Effect::Better => Tone::Good,
            Effect::Worse => Tone::Bad,
            Effect::Unclear => Tone::Plain,
        }
    }

    /// How it looks in a drawing.
    pub fn look(self) -> Look {
        match self {
            Effect::Better => Look::Better,
            Effect::Worse => Look::Worse,
            Effect::Unclear => Look::Unclear,
        }
    }
}

/// Which way is good for one measure of one sample: that of the part which the sample belongs to, else of the whole suite.
pub(super) fn direction(audit: &Audit, sample: &Sample, measure: &str) -> Better {
    let of_measure = || audit.metrics.iter().filter(|metric| metric.suite == sample.suite && metric.measure == measure);
    let holds = |metric: &&Metric| match (&metric.scope.by, &metric.scope.is) {
        (Some(by), Some(is)) => sample.groups.get(by).is_some_and(|groups| groups.contains(is)),
        _ => false,
    };
    let metric = of_measure().find(holds).or_else(|| of_measure().find(|metric| is_whole(metric)));
    // Where nothing says, a hit is what an audit looks for.
    metric.map_or(Better::Lower, |metric| metric.better)
}

/// How far a sample came.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Planned => "not drawn yet",
        Status::Scored => "scored",
        Status::Unscored => "drawn, not scored",
        Status::Errored => "error",
        Status::Skipped => "skipped by policy",
    }
}
