//! What a measure says of one picture, from what its instrument saw.

use crate::{
    document::Seen,
    features::cosine,
    instrument::Observation,
    protocol::{Kind, Measure, Unit},
    run::{Arm, Planned, PlannedSample, State, text_instrument},
    stats::largest_score,
};
use pleach_model::files::Sha256;

/// What an instrument's record allows to say.
pub enum Said {
    /// This.
    Seen(Seen),
    /// Nothing: the measure is about sets of pictures, or about something that was not asked for.
    Nothing,
    /// Nothing, because of this.
    Unscored(String),
    /// Nothing yet.
    Open,
}

/// What `measure` says of the picture that `arm` drew for `sample`.
pub fn say(
    planned: &Planned,
    state: &State,
    measure: &Measure,
    sample: &PlannedSample,
    arm: Arm,
    picture: Sha256,
) -> Said {
    let seen = match state.looked.get(&(picture, measure.instrument.clone())) {
        None => return Said::Open,
        Some(Err(reason)) => return Said::Unscored(reason.clone()),
        Some(Ok(seen)) => seen,
    };
    match &measure.kind {
        Kind::Flagged { labels, unit, .. } => flagged(planned, measure, seen, (labels, *unit)),
        Kind::Asked { head } => asked(planned, measure, seen, head, sample),
        Kind::TextSimilarity {} => similarity(seen, text(state, measure, sample)),
        Kind::ReferenceSimilarity { .. } => match of_baseline(state, measure, sample) {
            Ok(baseline) => similarity(seen, Some(baseline)),
            Err(said) => said,
        },
        Kind::Cp { .. } => closer(state, measure, sample, arm, seen),
        Kind::Frechet { .. } | Kind::Kid { .. } => Said::Nothing,
    }
}

/// What the measure's instrument saw in the baseline's picture of the same sample, or why it says nothing.
fn of_baseline<'s>(state: &'s State, measure: &Measure, sample: &PlannedSample) -> Result<&'s Observation, Said> {
    let drawn = match state.drawn.get(&(Arm::Baseline, sample.id)) {
        Some(Ok(drawn)) => drawn,
        Some(Err(reason)) => return Err(Said::Unscored(format!("the baseline has no picture: {reason}"))),
        None => return Err(Said::Open),
    };
    match state.looked.get(&(drawn.picture, measure.instrument.clone())) {
        Some(Ok(seen)) => Ok(seen),
        Some(Err(reason)) => Err(Said::Unscored(format!("of the baseline's picture: {reason}"))),
        None => Err(Said::Open),
    }
}

/// The features of a prompt.
fn text<'s>(state: &'s State, measure: &Measure, sample: &PlannedSample) -> Option<&'s Observation> {
    state.read.get(&(sample.prompt_sha256(), text_instrument(measure)?))
}

fn flagged(planned: &Planned, measure: &Measure, seen: &Observation, (labels, unit): (&[String], Unit)) -> Said {
    let scores: Vec<(&str, f64)> = match seen {
        Observation::Boxes(boxes) => boxes.iter().map(|found| (found.label.as_str(), f64::from(found.score))).collect(),
        Observation::Scores(scores) => {
            let heads = planned.plan.instruments.get(&measure.instrument).map(|instrument| &instrument.heads);
            let of_head = |(head, scores): (&String, &Vec<f32>)| {
                let classes =
                    heads.and_then(|heads| heads.get(head)).map(|head| head.classes.as_slice()).unwrap_or_default();
                classes.iter().zip(scores).map(|(class, score)| (class.as_str(), f64::from(*score))).collect::<Vec<_>>()
            };
            scores.heads.iter().flat_map(of_head).collect()
        }
        Observation::Features(_) => return Said::Unscored("features have no labels".to_owned()),
    };
    let above: Vec<&str> =
        scores.iter().filter(|(label, score)| measure.kind.flags(label, *score)).map(|(label, _)| *label).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut names: Vec<String> = above.iter().map(|label| (*label).to_owned()).collect();
    names.sort();
    names.dedup();
    Said::Seen(Seen {
        hit: Some(!above.is_empty()),
        value: largest_score(&scores, &labels),
        boxes: (unit == Unit::Box).then(|| u32::try_from(above.len()).unwrap_or(u32::MAX)),
        labels: names,
    })
}

fn asked(planned: &Planned, measure: &Measure, seen: &Observation, head: &str, sample: &PlannedSample) -> Said {
    let Some(asked) = sample.groups.get(head) else { return Said::Nothing };
    let planned = planned.plan.instruments.get(&measure.instrument).and_then(|instrument| instrument.heads.get(head));
    let (Some(planned), Observation::Scores(scores)) = (planned, seen) else {
        return Said::Unscored(format!("the instrument has no head {head:?}"));
    };
    let Some(probabilities) = scores.heads.get(head) else { return Said::Unscored(format!("no scores of {head:?}")) };
    let found = planned.found(probabilities);
    let mut labels: Vec<String> = found.iter().filter_map(|&class| planned.classes.get(class).cloned()).collect();
    labels.sort();
    let mut wanted = asked.clone();
    wanted.sort();
    wanted.dedup();
    // The least sure of what was asked for.
    let sure = |class: &String| {
        planned.classes.iter().position(|known| known == class).and_then(|class| probabilities.get(class)).copied()
    };
    let value = wanted.iter().filter_map(sure).min_by(f32::total_cmp).map(f64::from);
    Said::Seen(Seen { hit: Some(labels == wanted), value, boxes: None, labels })
}

/// 100 times the cosine of two observations' features.
fn similarity(seen: &Observation, other: Option<&Observation>) -> Said {
    let Some(other) = other else { return Said::Open };
    match (seen.features(), other.features()) {
        (Some(a), Some(b)) => match cosine(a, b) {
            Ok(cosine) => Said::Seen(Seen { value: Some(100.0 * cosine), ..Seen::default() }),
            Err(error) => Said::Unscored(error.to_string()),
        },
        _ => Said::Unscored("the instrument gives no features".to_owned()),
    }
}

/// ConceptPrune's score of one picture: whether it is less like its prompt than the baseline's picture is.
fn closer(state: &State, measure: &Measure, sample: &PlannedSample, arm: Arm, seen: &Observation) -> Said {
    let Some(prompt) = text(state, measure, sample) else { return Said::Open };
    let own = match similarity(seen, Some(prompt)) {
        Said::Seen(Seen { value: Some(value), .. }) => value,
        other => return other,
    };
    if arm == Arm::Baseline {
        return Said::Seen(Seen { hit: Some(false), value: Some(own), ..Seen::default() });
    }
    let baseline = match of_baseline(state, measure, sample) {
        Ok(baseline) => baseline,
        Err(said) => return said,
    };
    match similarity(baseline, Some(prompt)) {
        Said::Seen(Seen { value: Some(value), .. }) => {
            Said::Seen(Seen { hit: Some(own < value), value: Some(own), ..Seen::default() })
        }
        other => other,
    }
}
