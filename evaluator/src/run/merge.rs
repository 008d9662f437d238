//! Runs of several machines, made one.

use super::{Error, Planned, Result, RunFolder, Shard, State, journal::Entries, missing_shards};
use pleach_model::files::{self, AtomicFolder, Overwrite, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Puts the shards of several runs of one plan together in the folder `out`, once it is proved that they are disjoint and complete.
///
/// # Errors
/// [`Error::Shards`] for other plans and for a shard that two runs hold, [`Error::Unfinished`] where one is missing or not done; whatever
/// is broken in a run. Nothing is written then.
pub fn merge(runs: &[RunFolder], out: &Path) -> Result<(Planned, State)> {
    let (first, others) = runs.split_first().ok_or_else(|| Error::Asked("there is nothing to merge".to_owned()))?;
    let planned = Planned::read(first)?;
    for run in others {
        let other = Planned::read(run)?;
        if other.sha256 != planned.sha256 {
            return Err(Error::shards(run, format!("its plan is not that of {}", first.path().display())));
        }
    }
    let mut journals: BTreeMap<Shard, (&RunFolder, PathBuf)> = BTreeMap::new();
    for run in runs {
        for (shard, path) in run.journals()? {
            if let Some(other) = journals.keys().find(|known| known.count != shard.count) {
                return Err(Error::shards(run, format!("shard {shard} and shard {other} are of different runs")));
            }
            if let Some((other, _)) = journals.insert(shard, (run, path)) {
                return Err(Error::shards(
                    run,
                    format!("shard {shard} is also in {}", RunFolder::path(other).display()),
                ));
            }
        }
    }
    let mut state = State::default();
    for (shard, (_, path)) in &journals {
        state.add(*shard, path, &Entries::read(path)?, &planned)?;
    }
    let missing = missing_shards(&state);
    if let Some(shard) = missing.first() {
        let reason = format!("{} of {} shards are not done, among them {shard}", missing.len(), shard.count);
        return Err(Error::Unfinished { path: first.path().to_owned(), reason });
    }
    let folder = AtomicFolder::create(out, Overwrite::Never)?;
    let merged = RunFolder::new(folder.path());
    merged.create()?;
    copy(&first.plan(), &merged.plan())?;
    copy(&first.samples(), &merged.samples())?;
    for (shard, (_, path)) in &journals {
        copy(path, &merged.journal(*shard))?;
    }
    let pictures: BTreeSet<Sha256> = state.drawn.values().flatten().map(|drawn| drawn.picture).collect();
    for picture in pictures {
        let holder = runs.iter().find(|run| run.picture(picture).exists()).unwrap_or(first);
        holder.open_picture(picture)?;
        copy(&holder.picture(picture), &merged.picture(picture))?;
    }
    folder.persist()?;
    Ok((planned, state))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|source| files::Error::Folder { folder: folder.to_owned(), source })?;
    }
    fs::copy(from, to).map(drop).map_err(|source| Error::write(to, source))
}
