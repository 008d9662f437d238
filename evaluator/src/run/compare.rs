//! Two runs of the same samples, made one: what the subject of one drew beside what the subject of the other drew.

use super::{Arm, Error, Planned, Result, State};

/// The plan and the state of an audit whose baseline is the subject of `first` and whose subject is that of `second`.
///
/// # Errors
/// [`Error::Asked`] where the samples, the measures or the instruments are not the same.
pub fn compare(first: (&Planned, &State), second: (&Planned, &State)) -> Result<(Planned, State)> {
    let ((a, drawn_a), (b, drawn_b)) = (first, second);
    let wrong = |reason: &str| Err(Error::Asked(format!("the two runs cannot be compared: {reason}")));
    if a.plan.samples != b.plan.samples {
        return wrong("they draw other samples (prompts, seeds, guidance, sizes or settings)");
    }
    let measures = |planned: &Planned| -> Vec<_> {
        planned.plan.suites.iter().map(|suite| (suite.info.name.clone(), suite.protocol.measures.clone())).collect()
    };
    if measures(a) != measures(b) {
        return wrong("their protocols measure other things");
    }
    let looked_with = |planned: &Planned| -> Vec<_> {
        planned
            .plan
            .instruments
            .iter()
            .map(|(name, instrument)| (name.clone(), instrument.info.sha256.clone()))
            .collect()
    };
    if looked_with(a) != looked_with(b) {
        return wrong("they were looked at with other instruments");
    }
    let mut planned = b.clone();
    planned.plan.title = format!("{} against {}", b.plan.subject.model.name, a.plan.subject.model.name);
    planned.plan.baseline = Some(a.plan.subject.clone());
    let mut state = drawn_a.clone();
    state.drawn.retain(|(arm, _), _| *arm == Arm::Subject);
    state.drawn = state.drawn.into_iter().map(|((_, sample), drawn)| ((Arm::Baseline, sample), drawn)).collect();
    let of_second = drawn_b.drawn.iter().filter(|((arm, _), _)| *arm == Arm::Subject);
    state.drawn.extend(of_second.map(|(key, drawn)| (*key, drawn.clone())));
    state.looked.extend(drawn_b.looked.iter().map(|(key, seen)| (key.clone(), seen.clone())));
    state.read.extend(drawn_b.read.iter().map(|(key, seen)| (key.clone(), seen.clone())));
    state.environments.extend(drawn_b.environments.iter().map(|(shard, environment)| (*shard, environment.clone())));
    state.journals.extend(drawn_b.journals.iter().map(|(shard, journal)| (*shard, *journal)));
    Ok((planned, state))
}
