//! Whether a run is what its journals say.

use super::{Error, Planned, Result, RunFolder, Shard, State};
use pleach_console::human;
use pleach_model::files::Sha256;
use std::collections::BTreeSet;

/// What was proved of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// What the journals say.
    pub state: State,
    /// What was proved, in sentences.
    pub checks: Vec<String>,
}

/// Replays the journals against the plan.
///
/// # Errors
/// What is not as it should be: [`Error::is_integrity`] of it is true.
pub fn verify(run: &RunFolder, planned: &Planned) -> Result<Verified> {
    let state = State::of_run(run, planned)?;
    let records: u64 = state.journals.values().map(|(records, _)| records).sum();
    let mut checks = vec![
        "the samples are those of the plan".to_owned(),
        format!(
            "{} records of {} are sealed in one chain each, and every one follows from the plan",
            human::exact(records),
            if state.journals.len() == 1 {
                "1 journal".to_owned()
            } else {
                format!("{} journals", state.journals.len())
            },
        ),
        "no sample is drawn twice, none is of two shards, and nothing is looked at that was not drawn".to_owned(),
    ];
    if state.is_complete() && !state.ended.is_empty() {
        checks.push("every sample of the plan is drawn and looked at, failed, or left out by policy".to_owned());
    }
    Ok(Verified { state, checks })
}

impl Verified {
    /// Also opens every picture and hashes what it shows; `looked` hears how many are done, and of how many.
    ///
    /// # Errors
    /// [`Error::Picture`] where one is gone or another one.
    pub fn with_pictures(mut self, run: &RunFolder, mut looked: impl FnMut(u64, u64)) -> Result<Self> {
        let all: BTreeSet<Sha256> = self.state.drawn.values().flatten().map(|drawn| drawn.picture).collect();
        for (index, picture) in (1..).zip(&all) {
            run.open_picture(*picture)?;
            looked(index, all.len() as u64);
        }
        self.checks.push(format!("all {} pictures show what the journals say", human::exact(all.len() as u64)));
        Ok(self)
    }
}

/// The shards that are not done, of a run of which something is there.
pub fn missing_shards(state: &State) -> Vec<Shard> {
    let count = state.journals.keys().next().map_or(1, |shard| shard.count);
    (0..count).map(|index| Shard { index, count }).filter(|shard| !state.ended.contains(shard)).collect()
}

impl Error {
    pub(super) fn shards(run: &RunFolder, reason: impl Into<String>) -> Self {
        Self::Shards { path: run.path().to_owned(), reason: reason.into() }
    }
}
