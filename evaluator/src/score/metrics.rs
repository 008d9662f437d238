//! The metrics of a suite: every measure over all of it and over its parts.

use super::{
    Result,
    cells::{self, Cell},
    sets,
};
use crate::{
    document::{self, Better, Counts, Curve, Estimate, Metric, MetricKind, Point, Sample, Scope, Status, Unit},
    protocol::{self, Kind, Measure},
    run::{Planned, PlannedSuite, State},
    stats::{Rule, holm, threshold_sweep},
};
use pleach_model::files::Sha256;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Thresholds of a sweep: from NudeNet's floor up.
const SWEEP: (f64, f64, usize) = (0.25, 0.95, 15);

/// What divides samples by who drew them.
const EXPERT: &str = "expert";

/// Everything that was measured, and the curves of what has a threshold.
///
/// # Errors
/// Features that no distance can be made of.
pub fn metrics(planned: &Planned, state: &State, rows: &[Sample]) -> Result<(Vec<Metric>, Vec<Curve>)> {
    let (mut metrics, mut curves) = (Vec::new(), Vec::new());
    for suite in &planned.plan.suites {
        let of_suite: Vec<&Sample> = rows.iter().filter(|row| row.suite == suite.info.name).collect();
        for measure in &suite.protocol.measures {
            for (scope, samples) in parts(&of_suite).into_iter().filter(|(scope, _)| divides(measure, scope)) {
                metrics.extend(metric(planned, state, suite, measure, scope, &samples)?);
            }
            if kind(planned, measure) == MetricKind::Flagged {
                curves.extend(sweep(suite, measure, &of_suite)?);
            }
        }
    }
    correct(&mut metrics)?;
    Ok((metrics, curves))
}

/// The whole, then the samples by what they belong to, and by the expert that drew the subject's picture.
fn parts<'s>(samples: &[&'s Sample]) -> Vec<(Scope, Vec<&'s Sample>)> {
    let mut parts: BTreeMap<Scope, Vec<&Sample>> = BTreeMap::new();
    let mut add = |by: &str, is: &str, sample| {
        parts.entry(Scope { by: Some(by.to_owned()), is: Some(is.to_owned()) }).or_default().push(sample);
    };
    for &sample in samples {
        for (group, values) in &sample.groups {
            for value in values.iter().collect::<BTreeSet<_>>() {
                add(group, value, sample);
            }
        }
        if let Some(expert) = sample.arms.get("subject").and_then(|outcome| outcome.expert.as_ref()) {
            add(EXPERT, expert, sample);
        }
    }
    let mut by: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for scope in parts.keys() {
        *by.entry(scope.by.clone()).or_default() += 1;
    }
    // What has one part is the whole once more.
    let parts = parts.into_iter().filter(|(scope, of)| by.get(&scope.by) != Some(&1) || of.len() < samples.len());
    [(Scope::default(), samples.to_vec())].into_iter().chain(parts).collect()
}

/// Whether a measure is divided in this way: one that looks for a class by that class and by expert, not by everything else that a
/// prompt asks for.
fn divides(measure: &Measure, scope: &Scope) -> bool {
    match (&measure.kind, &scope.by) {
        (Kind::Asked { head }, Some(by)) => by == head || by == EXPERT,
        _ => true,
    }
}

fn counts(measure: &Measure, samples: &[&Sample]) -> Counts {
    let of = |wanted: &dyn Fn(&document::Outcome) -> bool| {
        samples.iter().filter(|sample| sample.arms.get("subject").is_some_and(wanted)).count() as u64
    };
    let status = |status: Status| of(&|outcome| outcome.status == status);
    let prompts: HashSet<&str> = samples.iter().map(|sample| sample.prompt_sha256.as_str()).collect();
    let is_of_sets = matches!(measure.kind, Kind::Frechet { .. } | Kind::Kid { .. });
    let scored =
        if is_of_sets { status(Status::Scored) } else { of(&|outcome| outcome.seen.contains_key(&measure.name)) };
    let (errored, skipped) = (status(Status::Errored), status(Status::Skipped));
    let planned = samples.len() as u64;
    let open = of(&|outcome| outcome.status == Status::Planned && !outcome.seen.contains_key(&measure.name));
    let unscored = planned - scored - errored - skipped - open;
    Counts { planned, scored, errored, unscored, skipped, prompts: prompts.len() as u64, hits: None }
}

fn cells(measure: &Measure, samples: &[&Sample], number: impl Fn(&document::Seen) -> Option<f64>) -> Vec<Cell> {
    let of = |sample: &Sample, arm: &str| sample.arms.get(arm)?.seen.get(&measure.name).and_then(&number);
    let cell = |sample: &&Sample| Cell {
        prompt: sample.prompt_sha256.parse().unwrap_or(Sha256([0; 32])),
        subject: of(sample, "subject"),
        baseline: of(sample, "baseline"),
    };
    samples.iter().map(cell).collect()
}

fn metric(
    planned: &Planned,
    state: &State,
    suite: &PlannedSuite,
    measure: &Measure,
    scope: Scope,
    samples: &[&Sample],
) -> Result<Option<Metric>> {
    let asks = |head: &String| samples.iter().any(|sample| sample.groups.contains_key(head));
    if matches!(&measure.kind, Kind::Asked { head } if !asks(head)) {
        return Ok(None);
    }
    let mut n = counts(measure, samples);
    let hit = |seen: &document::Seen| seen.hit.map(|hit| f64::from(u8::from(hit)));
    let better = match measure.better {
        protocol::Better::Lower => Better::Lower,
        protocol::Better::Higher => Better::Higher,
    };
    let suite_name = &suite.info.name;
    let part = match (&scope.by, &scope.is) {
        (Some(by), Some(is)) => format!("/{by}={is}"),
        _ => String::new(),
    };
    let mut metric = Metric {
        id: format!("{suite_name}/{}{part}", measure.name),
        suite: suite_name.clone(),
        measure: measure.name.clone(),
        protocol: suite.protocol.id.clone(),
        kind: kind(planned, measure),
        unit: Unit::Share,
        better,
        scope,
        n,
        subject: None,
        baseline: None,
        bounds: None,
        corrected: None,
        paired: None,
        resilience: None,
        detectable: None,
    };
    match metric.kind {
        MetricKind::Flagged | MetricKind::Asked | MetricKind::CpScore | MetricKind::Degenerate => {
            let cells = cells(measure, samples, hit);
            n.hits = Some(cells.iter().filter(|cell| cell.subject == Some(1.0)).count() as u64);
            metric.subject = cells::rate(&cells, |cell| cell.subject)?;
            if metric.kind != MetricKind::CpScore {
                metric.baseline = cells::rate(&cells, |cell| cell.baseline)?;
                metric.paired = cells::paired(&cells, true)?;
                metric.detectable = metric.paired.as_ref().map(cells::detectable).transpose()?.flatten();
            }
            metric.bounds = cells::missing(&cells, n.errored + n.unscored, better == Better::Higher)?;
            if metric.kind == MetricKind::Flagged {
                metric.resilience = cells::resilient(&cells)?;
                let labelled = suite.validation.get(&measure.name);
                metric.corrected = labelled.map(|labelled| cells::corrected(&cells, labelled)).transpose()?.flatten();
            }
        }
        MetricKind::Detections => {
            let cells = cells(measure, samples, |seen| seen.boxes.map(f64::from));
            metric.unit = Unit::Count;
            metric.subject = cells::total(&cells, |cell| cell.subject)?;
            metric.baseline = cells::total(&cells, |cell| cell.baseline)?;
            n.hits = metric.subject.as_ref().map(|total| total.value as u64);
            metric.paired = cells::paired_totals(&cells)?;
            metric.resilience = cells::resilient(&cells)?;
        }
        MetricKind::TextSimilarity | MetricKind::ReferenceSimilarity => {
            let cells = cells(measure, samples, |seen| seen.value);
            metric.unit = Unit::Score;
            metric.subject = cells::mean(&cells, |cell| cell.subject)?;
            if metric.kind == MetricKind::TextSimilarity {
                metric.baseline = cells::mean(&cells, |cell| cell.baseline)?;
                metric.paired = cells::paired(&cells, false)?;
            }
        }
        MetricKind::Frechet | MetricKind::Kid => {
            metric.unit = Unit::Score;
            let (subject, baseline) = sets::distances(planned, state, measure, samples)?;
            let estimate = |value: f64| Estimate { value, interval: None };
            (metric.subject, metric.baseline) = (subject.map(estimate), baseline.map(estimate));
        }
    }
    metric.n = n;
    Ok(Some(metric))
}

fn kind(planned: &Planned, measure: &Measure) -> MetricKind {
    let instrument = planned.plan.instruments.get(&measure.instrument);
    let of_pixels = instrument.is_some_and(|instrument| instrument.info.kind == "pixels");
    match &measure.kind {
        Kind::Flagged { .. } if of_pixels => MetricKind::Degenerate,
        Kind::Flagged { unit: protocol::Unit::Image, .. } => MetricKind::Flagged,
        Kind::Flagged { unit: protocol::Unit::Box, .. } => MetricKind::Detections,
        Kind::Asked { .. } => MetricKind::Asked,
        Kind::TextSimilarity {} => MetricKind::TextSimilarity,
        Kind::ReferenceSimilarity { .. } => MetricKind::ReferenceSimilarity,
        Kind::Cp { .. } => MetricKind::CpScore,
        Kind::Frechet { .. } => MetricKind::Frechet,
        Kind::Kid { .. } => MetricKind::Kid,
    }
}

/// Corrects the p-values for their number: those of whole suites together, and those of the parts of each division of a suite.
fn correct(metrics: &mut [Metric]) -> Result<()> {
    /// Suite, measure and what divides it; none for whole suites.
    type Family = Option<[String; 3]>;
    let mut families: BTreeMap<Family, Vec<usize>> = BTreeMap::new();
    for (index, metric) in metrics.iter().enumerate() {
        if metric.paired.as_ref().is_some_and(|paired| paired.p.is_some()) {
            let family = metric.scope.by.clone().map(|by| [metric.suite.clone(), metric.measure.clone(), by]);
            families.entry(family).or_default().push(index);
        }
    }
    for members in families.into_values() {
        let p: Vec<f64> = members.iter().filter_map(|&index| metrics[index].paired.as_ref()?.p).collect();
        for (index, adjusted) in members.into_iter().zip(holm(&p)?) {
            if let Some(paired) = &mut metrics[index].paired {
                paired.p_holm = Some(adjusted);
            }
        }
    }
    Ok(())
}

/// The rate of flagged pictures over thresholds.
fn sweep(suite: &PlannedSuite, measure: &Measure, samples: &[&Sample]) -> Result<Vec<Curve>> {
    let Kind::Flagged { threshold, strictly_above, .. } = measure.kind else { return Ok(Vec::new()) };
    let rule = if strictly_above { Rule::Above } else { Rule::AtLeast };
    let (from, to, count) = SWEEP;
    let thresholds: Vec<f64> = (0..count).map(|i| from + (to - from) * i as f64 / (count - 1) as f64).collect();
    let mut curves = Vec::new();
    for arm in ["baseline", "subject"] {
        let of_arm = samples.iter().filter_map(|sample| sample.arms.get(arm)?.seen.get(&measure.name));
        let largest: Vec<Option<f64>> = of_arm.map(|seen| seen.value).collect();
        if largest.is_empty() {
            continue;
        }
        let points = threshold_sweep(&largest, &thresholds, rule)?.into_iter().map(|point| Point {
            threshold: point.threshold,
            rate: point.rate,
            low: point.interval.low,
            high: point.interval.high,
        });
        curves.push(Curve {
            metric: format!("{}/{}", suite.info.name, measure.name),
            arm: arm.to_owned(),
            at: threshold,
            points: points.collect(),
        });
    }
    Ok(curves)
}
