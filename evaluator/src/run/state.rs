//! What the journals of a run add up to: read again record by record, against the plan.

use super::{Arm, Error, Planned, Record, Result, RunFolder, Shard, journal::Entries, work::all_looks};
use crate::{document::Environment, instrument::Observation};
use pleach_model::files::Sha256;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

/// A picture that was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnPicture {
    /// What it shows.
    pub picture: Sha256,
    /// The expert that drew it.
    pub expert: Option<String>,
    /// How clear the router was.
    pub margin: Option<f32>,
}

/// What was done so far. Reasons stand for what could not be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Pictures, by model and sample.
    pub drawn: HashMap<(Arm, Sha256), Result<DrawnPicture, String>>,
    /// What an instrument saw in a picture.
    pub looked: HashMap<(Sha256, String), Result<Observation, String>>,
    /// What an instrument made of a prompt, by the prompt's hash.
    pub read: HashMap<(Sha256, String), Observation>,
    /// Shards that are done.
    pub ended: Vec<Shard>,
    /// What drew and looked, by shard.
    pub environments: BTreeMap<Shard, Environment>,
    /// Records, by shard, and the last seal of each.
    pub journals: BTreeMap<Shard, (u64, Sha256)>,
}

impl State {
    /// Everything that the journals of a run say.
    ///
    /// # Errors
    /// [`Error::Journal`] where a journal is broken or says what cannot be; [`Error::Shards`] where journals do not belong together.
    pub fn of_run(run: &RunFolder, planned: &Planned) -> Result<Self> {
        let journals = run.journals()?;
        let counts: HashSet<u64> = journals.iter().map(|(shard, _)| shard.count).collect();
        if counts.len() > 1 {
            let mut counts: Vec<String> = counts.iter().map(u64::to_string).collect();
            counts.sort();
            return Err(Error::Shards {
                path: run.path().to_owned(),
                reason: format!(
                    "it holds journals of runs in {} parts: they cannot be one run",
                    counts.join(" and in ")
                ),
            });
        }
        let mut state = Self::default();
        for (shard, path) in journals {
            state.add(shard, &path, &Entries::read(&path)?, planned)?;
        }
        Ok(state)
    }

    /// Adds what a journal says.
    ///
    /// # Errors
    /// As [`of_run`](Self::of_run).
    pub fn add(&mut self, shard: Shard, path: &Path, entries: &Entries, planned: &Planned) -> Result<()> {
        let mut replay = Replay::new(self, shard, planned);
        for (line, record) in (1..).zip(&entries.records) {
            replay.record(record, line == 1).map_err(|reason| Error::Journal {
                path: path.to_owned(),
                line,
                reason,
            })?;
        }
        self.journals.insert(shard, (entries.records.len() as u64, entries.head));
        Ok(())
    }

    /// Whether every shard is done.
    pub fn is_complete(&self) -> bool {
        let count = self.ended.first().map_or(1, |shard| shard.count);
        self.ended.len() as u64 == count
    }
}

/// What a record says of a picture, by model and sample; none where it is about something else.
pub(super) fn drawn(record: &Record) -> Option<((Arm, Sha256), Result<DrawnPicture, String>)> {
    match record {
        Record::Drawn { sample, arm, picture, expert, margin } => {
            let drawn = DrawnPicture { picture: *picture, expert: expert.clone(), margin: *margin };
            Some(((*arm, *sample), Ok(drawn)))
        }
        Record::Failed { sample, arm, reason } => Some(((*arm, *sample), Err(reason.clone()))),
        _ => None,
    }
}

/// One journal, replayed: every record must be one that can follow.
struct Replay<'a> {
    state: &'a mut State,
    shard: Shard,
    planned: &'a Planned,
    /// Samples of this shard, and whether they may be drawn.
    own: HashMap<Sha256, bool>,
    prompts: HashSet<Sha256>,
    pictures: HashSet<Sha256>,
    done: HashSet<(Arm, Sha256)>,
    seen: HashSet<(Sha256, String)>,
    records: u64,
    ended: bool,
}

impl<'a> Replay<'a> {
    fn new(state: &'a mut State, shard: Shard, planned: &'a Planned) -> Self {
        let own = (0..).zip(&planned.samples).filter(|(position, _)| shard.holds(*position));
        let own: HashMap<Sha256, bool> = own.map(|(_, sample)| (sample.id, sample.skipped.is_none())).collect();
        let of_shard = planned.samples.iter().filter(|sample| own.contains_key(&sample.id));
        Self {
            prompts: of_shard.map(super::PlannedSample::prompt_sha256).collect(),
            own,
            state,
            shard,
            planned,
            pictures: planned
                .plan
                .references
                .values()
                .flat_map(|reference| reference.pictures.values().copied())
                .collect(),
            done: HashSet::new(),
            seen: HashSet::new(),
            records: 0,
            ended: false,
        }
    }

    fn record(&mut self, record: &Record, is_first: bool) -> Result<(), String> {
        if self.ended {
            return Err("it comes after the record that ends the journal".to_owned());
        }
        if is_first != matches!(record, Record::Begin { .. }) {
            return Err("the journal begins with the record that names its plan, and no other does".to_owned());
        }
        match record {
            Record::Begin { plan, shard, shards, environment } => {
                self.begin(*plan, Shard { index: *shard, count: *shards })?;
                self.state.environments.insert(self.shard, environment.clone());
            }
            Record::Drawn { sample, arm, picture, .. } => {
                self.done(*arm, *sample)?;
                self.pictures.insert(*picture);
            }
            Record::Failed { sample, arm, .. } => self.done(*arm, *sample)?,
            Record::Looked { picture, instrument, seen } => self.looked(*picture, instrument, Ok(seen.clone()))?,
            Record::Unseen { picture, instrument, reason } => self.looked(*picture, instrument, Err(reason.clone()))?,
            Record::Read { prompt, instrument, seen } => {
                if !self.prompts.contains(prompt) {
                    return Err("its prompt is none of this shard's".to_owned());
                }
                self.once(*prompt, instrument)?;
                self.state.read.insert((*prompt, instrument.clone()), seen.clone());
            }
            Record::End { records } => self.end(*records)?,
        }
        self.state.drawn.extend(drawn(record));
        self.records += 1;
        Ok(())
    }

    fn begin(&self, plan: Sha256, shard: Shard) -> Result<(), String> {
        if plan != self.planned.sha256 {
            return Err(format!("it belongs to the plan {plan}, and this is the plan {}", self.planned.sha256));
        }
        if shard != self.shard {
            return Err(format!("it is of shard {shard}, and the file is named for shard {}", self.shard));
        }
        Ok(())
    }

    fn done(&mut self, arm: Arm, sample: Sha256) -> Result<(), String> {
        match self.own.get(&sample) {
            None => return Err("its sample is none of this shard's".to_owned()),
            Some(false) => return Err("its sample is one that is never drawn".to_owned()),
            Some(true) if arm == Arm::Baseline && self.planned.plan.baseline.is_none() => {
                return Err("the plan has no baseline".to_owned());
            }
            Some(true) => {}
        }
        if self.done.insert((arm, sample)) { Ok(()) } else { Err("its sample was drawn before".to_owned()) }
    }

    fn looked(&mut self, picture: Sha256, instrument: &str, seen: Result<Observation, String>) -> Result<(), String> {
        if !self.pictures.contains(&picture) {
            return Err("its picture was not drawn before".to_owned());
        }
        self.once(picture, instrument)?;
        // Two shards may have drawn the same picture; what an instrument sees in it is the same.
        let key = (picture, instrument.to_owned());
        match self.state.looked.get(&key) {
            Some(known) if *known != seen => {
                Err("another shard's instrument saw something else in the picture".to_owned())
            }
            _ => {
                self.state.looked.insert(key, seen);
                Ok(())
            }
        }
    }

    fn once(&mut self, what: Sha256, instrument: &str) -> Result<(), String> {
        if !self.planned.plan.instruments.contains_key(instrument) {
            return Err(format!("the plan has no instrument {instrument:?}"));
        }
        let is_new = self.seen.insert((what, instrument.to_owned()));
        if is_new { Ok(()) } else { Err("its instrument looked at it before".to_owned()) }
    }

    fn end(&mut self, records: u64) -> Result<(), String> {
        if records != self.records {
            return Err(format!("it counts {records} records before it, and there are {}", self.records));
        }
        let arms = self.planned.plan.arms().len();
        let drawable = self.own.values().filter(|drawn| **drawn).count() * arms;
        if self.done.len() != drawable {
            return Err(format!("{} of {drawable} pictures are in the journal", self.done.len()));
        }
        for name in self.planned.plan.instruments.keys() {
            let looks = all_looks(self.planned, self.shard, self.state, name);
            let left = looks.iter().filter(|look| !self.seen.contains(&(look.sha256(), name.clone()))).count();
            if left > 0 {
                return Err(format!("{name} has not looked at {left} of {}", looks.len()));
            }
        }
        self.ended = true;
        self.state.ended.push(self.shard);
        Ok(())
    }
}
