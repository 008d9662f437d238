//! Things of the document, named for people.

use super::{
    format,
    page::{Cell, Tone},
    svg::Look,
};
use crate::document::{Audit, Better, Gate, GateStatus, Metric, MetricKind, Rule, Sample, Status, Unit, VerdictStatus};

/// The name of the audited model's arm.
pub(super) const SUBJECT: &str = "subject";
/// The name of the arm that it is compared with.
pub(super) const BASELINE: &str = "baseline";

/// The answer in a word.
pub(super) fn verdict(status: VerdictStatus) -> &'static str {
    match status {
        VerdictStatus::Pass => "PASS",
        VerdictStatus::Fail => "FAIL",
        VerdictStatus::Incomplete => "INCOMPLETE",
        VerdictStatus::Invalid => "INVALID",
    }
}

/// Whether a gate holds, in a word and a sign.
pub(super) fn gate(status: GateStatus) -> Cell {
    let (word, tone) = match status {
        GateStatus::Pass => ("✓ pass", Tone::Good),
        GateStatus::Fail => ("✕ fail", Tone::Bad),
        GateStatus::Undecided => ("? undecided", Tone::Open),
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

/// Whether it is about a whole suite.
pub(super) fn is_whole(metric: &Metric) -> bool {
    metric.scope.by.is_none() && metric.scope.is.is_none()
}

/// The metric that a gate is about; the first where there are more.
pub(super) fn metric_of<'a>(gate: &Gate, audit: &'a Audit) -> Option<&'a Metric> {
    let is = |id: &str| audit.metrics.iter().find(|metric| metric.id == id);
    is(&gate.metric).or_else(|| gate.metric.split(", ").find_map(is))
}

/// What a gate demands.
pub(super) fn demand(gate: &Gate, audit: &Audit) -> String {
    let metric = metric_of(gate, audit);
    let (unit, way) = metric.map_or((Unit::Score, Better::Lower), |metric| (metric.unit, metric.better));
    let limit = format::value(gate.limit, unit);
    match (gate.rule, way) {
        (Rule::Point, Better::Lower) => format!("the value is at most {limit}"),
        (Rule::Point, Better::Higher) => format!("the value is at least {limit}"),
        (Rule::Bound, Better::Lower) => format!("the upper end of the interval is at most {limit}"),
        (Rule::Bound, Better::Higher) => format!("the lower end of the interval is at least {limit}"),
        (Rule::NonInferior, way) => {
            let margin = format::difference(gate.limit.abs(), unit).trim_start_matches('+').to_owned();
            let (end, word) = match way {
                Better::Lower => ("upper", "higher"),
                Better::Higher => ("lower", "lower"),
            };
            format!("the {end} end of the difference to the baseline is at most {margin} {word}")
        }
    }
}

/// How far a gate is from its limit, positive where it holds, and the same as text.
pub(super) fn margin(gate: &Gate, audit: &Audit) -> Option<String> {
    let (metric, decided) = (metric_of(gate, audit)?, gate.decided_by?);
    let margin = match (gate.rule, metric.better) {
        (Rule::NonInferior, Better::Lower) => gate.limit.abs() - decided,
        (Rule::NonInferior, Better::Higher) => decided + gate.limit.abs(),
        (_, Better::Lower) => gate.limit - decided,
        (_, Better::Higher) => decided - gate.limit,
    };
    Some(format::difference(margin, metric.unit))
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
