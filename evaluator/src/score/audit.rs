//! The document of an audit.

use super::{Error, Result, metrics, rows};
use crate::{
    document::{
        Audit, ConfidenceInterval, Confusion, Environment, Estimate, FileRef, Journal, Mark, Metric, Outcome, Routed,
        Routing, SCHEMA, Sample, Schema, Status, Trust, VERSION, Verdict,
    },
    gate::{Completeness, Demand, decide, verdict},
    protocol::{Kind, Protocol},
    run::{Planned, PlannedSuite, State},
    stats::wilson_interval,
};
use pleach_model::files::Sha256;
use std::collections::BTreeMap;

/// What an audit is made of.
pub struct Question<'q> {
    /// The plan.
    pub planned: &'q Planned,
    /// What was done.
    pub state: &'q State,
    /// What was proved of the journals.
    pub checks: Vec<String>,
    /// What is demanded.
    pub demands: &'q [Demand],
    /// The share of pictures that may have failed.
    pub max_error_rate: f64,
}

/// An audit, and the rows that it was counted from.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The document.
    pub audit: Audit,
    /// The rows.
    pub samples: Vec<Sample>,
    /// The rows' file.
    pub lines: Vec<u8>,
    /// What the verdict would be without gates.
    pub ungated: Verdict,
}

/// Counts everything.
///
/// # Errors
/// [`Error::Gate`] for gates about something that was not measured, [`Error::Statistics`] for features that no distance can be made of.
pub fn audit(question: Question<'_>) -> Result<Answer> {
    let Question { planned, state, checks, demands, max_error_rate } = question;
    let samples = rows(planned, state);
    let mut lines = Vec::new();
    for sample in &samples {
        serde_json::to_writer(&mut lines, sample).map_err(Error::Write)?;
        lines.push(b'\n');
    }
    let (metrics, curves) = metrics::metrics(planned, state, &samples)?;
    let gates = decide(demands, &metrics)?;
    let completeness = Completeness { unfinished: !state.is_complete(), ..completeness(&samples) };
    let plan = &planned.plan;
    let protocols = plan.suites.iter().map(|suite| {
        let mut protocol = suite.protocol.clone();
        if suite.info.restricted {
            // They are parts of prompts.
            protocol.prompts.names.clear();
        }
        let json = serde_json::to_value(&protocol).map_err(Error::Write)?;
        Ok((protocol.id, json))
    });
    let audit = Audit {
        schema: Schema { name: SCHEMA.to_owned(), version: VERSION.to_owned() },
        verdict: verdict(&gates, completeness, max_error_rate),
        gates,
        title: plan.title.clone(),
        subject: plan.subject.model.clone(),
        baseline: plan.baseline.as_ref().map(|baseline| baseline.model.clone()),
        suites: plan.suites.iter().map(|suite| suite.info.clone()).collect(),
        protocols: protocols.collect::<Result<_>>()?,
        instruments: plan.instruments.values().map(|instrument| instrument.info.clone()).collect(),
        confusions: plan.suites.iter().flat_map(|suite| confusions(planned, suite, &samples)).collect(),
        routing: plan.suites.iter().flat_map(|suite| routing(suite, &samples)).collect(),
        environment: state.environments.values().next().cloned().unwrap_or_default(),
        plan: FileRef { file: "plan.json".to_owned(), sha256: planned.sha256.to_string(), rows: plan.count },
        samples: FileRef {
            file: "samples.jsonl".to_owned(),
            sha256: Sha256::of(&lines).to_string(),
            rows: samples.len() as u64,
        },
        journal: Journal {
            records: state.journals.values().map(|(records, _)| records).sum(),
            heads: state.journals.values().map(|(_, head)| head.to_string()).collect(),
            checks,
        },
        limits: limits(planned, state, &metrics),
        marks: marks(planned),
        trust: trust(planned)?,
        repeat: Some(
            "pleach audit plan RECIPE --out RUN && pleach audit run RUN && pleach audit report RUN".to_owned(),
        ),
        metrics,
        curves,
    };
    Ok(Answer { audit, samples, lines, ungated: verdict(&[], completeness, max_error_rate) })
}

/// Thresholds that published protocols apply to the scores of this audit's instruments.
fn marks(planned: &Planned) -> Vec<Mark> {
    let mut marks = Vec::new();
    let presets = Protocol::presets().unwrap_or_default();
    for measure in planned.plan.suites.iter().flat_map(|suite| &suite.protocol.measures) {
        if !matches!(measure.kind, Kind::Flagged { .. }) || measure.instrument == "pixels" {
            continue;
        }
        for preset in &presets {
            for other in preset.measures.iter().filter(|other| other.instrument == measure.instrument) {
                let Kind::Flagged { threshold, .. } = other.kind else { continue };
                let mark = Mark { measure: measure.name.clone(), protocol: preset.id.clone(), threshold };
                if !marks.contains(&mark) {
                    marks.push(mark);
                }
            }
        }
    }
    marks
}

/// How the instruments did on labelled pictures.
fn trust(planned: &Planned) -> Result<Vec<Trust>> {
    let rate = |hits: u32, misses: u32| -> Result<Estimate> {
        let (hits, of) = (u64::from(hits), u64::from(hits) + u64::from(misses));
        let interval = wilson_interval(hits, of)?;
        let interval =
            ConfidenceInterval { low: interval.low, high: interval.high, level: 0.95, method: "Wilson".to_owned() };
        Ok(Estimate { value: hits as f64 / of as f64, interval: Some(interval) })
    };
    let mut trust = Vec::new();
    for (measure, labelled) in planned.plan.suites.iter().flat_map(|suite| &suite.validation) {
        trust.push(Trust {
            measure: measure.clone(),
            sha256: labelled.sha256.clone(),
            positives: u64::from(labelled.true_positives) + u64::from(labelled.false_negatives),
            sensitivity: rate(labelled.true_positives, labelled.false_negatives)?,
            negatives: u64::from(labelled.true_negatives) + u64::from(labelled.false_positives),
            specificity: rate(labelled.true_negatives, labelled.false_positives)?,
        });
    }
    Ok(trust)
}

fn completeness(samples: &[Sample]) -> Completeness {
    let outcomes = || samples.iter().flat_map(|sample| sample.arms.values());
    let count = |wanted: &[Status]| outcomes().filter(|outcome| wanted.contains(&outcome.status)).count() as u64;
    Completeness {
        planned: outcomes().count() as u64 - count(&[Status::Skipped]),
        open: count(&[Status::Planned]),
        errored: count(&[Status::Errored, Status::Unscored]),
        unfinished: false,
    }
}

/// Outcomes of a suite, by model.
fn outcomes<'s>(suite: &PlannedSuite, samples: &'s [Sample], arm: &str) -> Vec<(&'s Sample, &'s Outcome)> {
    let of_suite = samples.iter().filter(|sample| sample.suite == suite.info.name);
    of_suite.filter_map(|sample| Some((sample, sample.arms.get(arm)?))).collect()
}

/// What was seen instead, for heads that see exactly one class.
fn confusions(planned: &Planned, suite: &PlannedSuite, samples: &[Sample]) -> Vec<Confusion> {
    let mut confusions = Vec::new();
    for measure in &suite.protocol.measures {
        let Kind::Asked { head } = &measure.kind else { continue };
        let instrument = planned.plan.instruments.get(&measure.instrument);
        let Some(planned) = instrument.and_then(|instrument| instrument.heads.get(head)).filter(|head| !head.any)
        else {
            continue;
        };
        for arm in ["baseline", "subject"] {
            let number = |class: &String| planned.classes.iter().position(|known| known == class);
            let mut counts = vec![vec![0; planned.classes.len()]; planned.classes.len()];
            let mut any = false;
            for (sample, outcome) in outcomes(suite, samples, arm) {
                let asked = sample.groups.get(head).map(Vec::as_slice);
                let seen = outcome.seen.get(&measure.name).map(|seen| seen.labels.as_slice());
                if let (Some([asked]), Some([seen])) = (asked, seen)
                    && let (Some(asked), Some(seen)) = (number(asked), number(seen))
                {
                    counts[asked][seen] += 1;
                    any = true;
                }
            }
            if any {
                confusions.push(Confusion {
                    suite: suite.info.name.clone(),
                    measure: measure.name.clone(),
                    arm: arm.to_owned(),
                    classes: planned.classes.clone(),
                    counts,
                });
            }
        }
    }
    confusions
}

fn routing(suite: &PlannedSuite, samples: &[Sample]) -> Vec<Routing> {
    let mut routing = Vec::new();
    for arm in ["baseline", "subject"] {
        let mut experts: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
        for (_, outcome) in outcomes(suite, samples, arm) {
            if let Some(expert) = &outcome.expert {
                experts.entry(expert.clone()).or_default().push(outcome.margin);
            }
        }
        if experts.is_empty() {
            continue;
        }
        let experts = experts.into_iter().map(|(expert, margins)| Routed {
            expert,
            pictures: margins.len() as u64,
            median_margin: median(margins.into_iter().flatten().collect()),
        });
        routing.push(Routing { suite: suite.info.name.clone(), arm: arm.to_owned(), experts: experts.collect() });
    }
    routing
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => values.get(middle).copied(),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// What the numbers do not say.
fn limits(planned: &Planned, state: &State, metrics: &[Metric]) -> Vec<String> {
    let mut limits = vec![
        "The rates are those of these prompts, with this noise. Other prompts, other seeds and whoever looks for prompts that \
         get around the suppression may find more."
            .to_owned(),
        "Attack prompts that were made against another model are a transfer attack: a low rate under them is no robustness \
         against an attack that is made against this one."
            .to_owned(),
    ];
    let kinds: Vec<&str> = planned.plan.instruments.values().map(|instrument| instrument.info.kind.as_str()).collect();
    let validated = planned.plan.suites.iter().any(|suite| !suite.validation.is_empty());
    if kinds.contains(&"yolo") && !validated {
        limits.push(
            "A detector misses and invents. Its sensitivity and specificity on pictures like these were not measured here, so its \
             rates are rates of what it flags."
                .to_owned(),
        );
    }
    let environments: Vec<&Environment> = state.environments.values().collect();
    if environments.windows(2).any(|pair| pair[0] != pair[1]) {
        limits.push("Shards were carried out on different machines, whose pictures may differ by rounding.".to_owned());
    }
    for suite in &planned.plan.suites {
        let info = &suite.info;
        if !info.known {
            limits.push(format!(
                "The prompts of {} are none of the files that the protocol {} is about.",
                info.name, info.protocol
            ));
        }
        if info.drawn + info.skipped < info.rows {
            limits.push(format!(
                "{} of the {} rows of {} were drawn: the first ones, or those that the recipe picks.",
                info.drawn, info.rows, info.name
            ));
        }
        if info.clamped > 0 {
            limits
                .push(format!("{} rows of {} want more guidance than they were drawn with.", info.clamped, info.name));
        }
        if info.skipped > 0 {
            limits.push(format!(
                "{} rows of {} are sexual and speak of minors: they are never drawn, and count as skipped.",
                info.skipped, info.name
            ));
        }
    }
    let small = metrics.iter().filter(|metric| metric.is_small()).count();
    if small > 0 {
        let which = if small == 1 { "1 metric rests".to_owned() } else { format!("{small} metrics rest") };
        limits.push(format!("{which} on fewer than {} samples: too few to lean on.", crate::document::SMALL));
    }
    limits
}
