//! What is left to do of a shard, in the order in which it is done.

use super::{Arm, Planned, PlannedSample, Shard, State};
use pleach_model::files::Sha256;
use std::{collections::HashSet, path::PathBuf};

/// A picture that a model has to draw.
#[derive(Debug)]
pub struct Draw<'p> {
    /// The model.
    pub arm: Arm,
    /// The sample.
    pub sample: &'p PlannedSample,
}

/// Something for an instrument to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<'p> {
    /// A picture of the store.
    Picture(Sha256),
    /// A picture that nobody drew, in its file.
    Reference(Sha256, PathBuf),
    /// A prompt.
    Prompt(Sha256, &'p str),
}

impl Look<'_> {
    /// Hash of what is looked at.
    pub fn sha256(&self) -> Sha256 {
        match self {
            Self::Picture(sha256) | Self::Reference(sha256, _) | Self::Prompt(sha256, _) => *sha256,
        }
    }
}

/// Pictures to draw: first all of the baseline, then all of the subject.
pub fn draws<'p>(planned: &'p Planned, shard: Shard, state: &State) -> Vec<Draw<'p>> {
    let arms = planned.plan.arms();
    let all = arms.into_iter().flat_map(|(arm, _)| own(planned, shard).map(move |sample| Draw { arm, sample }));
    all.filter(|draw| !state.drawn.contains_key(&(draw.arm, draw.sample.id))).collect()
}

/// What an instrument has still to look at.
pub fn looks<'p>(planned: &'p Planned, shard: Shard, state: &State, instrument: &str) -> Vec<Look<'p>> {
    let mut looks = all_looks(planned, shard, state, instrument);
    looks.retain(|look| match look {
        Look::Picture(picture) | Look::Reference(picture, _) => {
            !state.looked.contains_key(&(*picture, instrument.to_owned()))
        }
        Look::Prompt(prompt, _) => !state.read.contains_key(&(*prompt, instrument.to_owned())),
    });
    looks
}

/// What an instrument looks at, done or not: pictures in the order in which they were drawn, each once, and prompts.
pub(super) fn all_looks<'p>(planned: &'p Planned, shard: Shard, state: &State, instrument: &str) -> Vec<Look<'p>> {
    let mut looks = Vec::new();
    let mut met = HashSet::new();
    for (arm, _) in planned.plan.arms() {
        for sample in own(planned, shard) {
            if planned.is_looked_at(&sample.suite, instrument)
                && let Some(Ok(drawn)) = state.drawn.get(&(arm, sample.id))
                && met.insert(drawn.picture)
            {
                looks.push(Look::Picture(drawn.picture));
            }
            let prompt = sample.prompt_sha256();
            if planned.is_read(&sample.suite, instrument) && met.insert(prompt) {
                looks.push(Look::Prompt(prompt, &sample.prompt));
            }
        }
    }
    let references = (0..).zip(planned.references(instrument)).filter(|(position, _)| shard.holds(*position));
    for (_, (file, picture)) in references {
        if met.insert(picture) {
            looks.push(Look::Reference(picture, file));
        }
    }
    looks
}

/// Samples of a shard that are drawn.
pub fn own(planned: &Planned, shard: Shard) -> impl Iterator<Item = &PlannedSample> {
    let samples = (0..).zip(&planned.samples).filter(move |(position, _)| shard.holds(*position));
    samples.map(|(_, sample)| sample).filter(|sample| sample.skipped.is_none())
}
