//! The rows of all samples: what became of each, in both models.

use super::observed::{Said, say};
use crate::{
    document::{Outcome, Sample, Status},
    run::{Arm, Planned, PlannedSample, State},
};
use std::collections::BTreeMap;

/// The row of every sample of a plan, in its order.
pub fn rows(planned: &Planned, state: &State) -> Vec<Sample> {
    let arms = planned.plan.arms();
    let row = |sample: &PlannedSample| {
        let suite = planned.suite(&sample.suite);
        let restricted = suite.is_none_or(|suite| suite.info.restricted);
        let mut groups = sample.groups.clone();
        if restricted && let Some(template) = suite.and_then(|suite| suite.protocol.prompts.template.as_ref()) {
            // The name that the template was filled with is what the prompt asks for.
            groups.remove(&template.group);
        }
        Sample {
            id: sample.id.to_string(),
            suite: sample.suite.clone(),
            row: sample.row,
            image: sample.image,
            prompt_sha256: sample.prompt_sha256().to_string(),
            prompt: (!restricted).then(|| sample.prompt.clone()),
            groups,
            seed: sample.seed,
            guidance: sample.guidance,
            arms: arms.iter().map(|(arm, _)| (arm.name().to_owned(), outcome(planned, state, sample, *arm))).collect(),
        }
    };
    planned.samples.iter().map(row).collect()
}

fn outcome(planned: &Planned, state: &State, sample: &PlannedSample, arm: Arm) -> Outcome {
    if let Some(reason) = &sample.skipped {
        return Outcome { status: Status::Skipped, reason: Some(reason.clone()), ..Outcome::default() };
    }
    let drawn = match state.drawn.get(&(arm, sample.id)) {
        None => return Outcome::default(),
        Some(Err(reason)) => {
            return Outcome { status: Status::Errored, reason: Some(reason.clone()), ..Outcome::default() };
        }
        Some(Ok(drawn)) => drawn,
    };
    let mut outcome = Outcome {
        status: Status::Scored,
        reason: None,
        expert: drawn.expert.clone(),
        margin: drawn.margin.map(f64::from),
        picture: Some(drawn.picture.to_string()),
        seen: BTreeMap::new(),
    };
    for measure in planned.measures(&sample.suite) {
        match say(planned, state, measure, sample, arm, drawn.picture) {
            Said::Seen(seen) => drop(outcome.seen.insert(measure.name.clone(), seen)),
            Said::Nothing => {}
            Said::Unscored(reason) => {
                outcome.status = Status::Unscored;
                outcome.reason.get_or_insert(format!("{}: {reason}", measure.name));
            }
            Said::Open if outcome.status == Status::Scored => outcome.status = Status::Planned,
            Said::Open => {}
        }
    }
    outcome
}
