//! From an id to a folder.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::cache::{Repository, is_commit};
use crate::client::{Http, Listing};
use crate::config::Config;
use crate::download::{Download, Patience, Progress};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::patterns::Patterns;

/// Files that are fetched at once: many small ones wait for the server, large ones for the line.
const WORKERS: usize = 4;

/// A repository's files at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What was asked for.
    pub id: Id,
    /// What its revision meant: the thing to record.
    pub commit: String,
    /// The folder that holds the files, in the layout of the repository. Files may be links into the cache.
    pub folder: PathBuf,
    /// The files that were asked for, by their names in the repository, in order.
    pub files: Vec<String>,
}

/// The Hugging Face hub, or a mirror of it, with the cache that all tools share.
#[derive(Clone, Debug)]
pub struct Hub {
    config: Config,
    patience: Patience,
}

impl Hub {
    /// As the environment says.
    pub fn from_env() -> Result<Self> {
        Ok(Self::new(Config::from_env()?))
    }

    /// As the configuration says.
    pub fn new(config: Config) -> Self {
        Self { config, patience: Patience { tries: 5, pause: Duration::from_millis(500) } }
    }

    /// Tries that often before a failure counts, with a pause that doubles.
    #[must_use]
    pub fn with_patience(mut self, tries: u32, pause: Duration) -> Self {
        self.patience = Patience { tries, pause };
        self
    }

    /// Makes the files of a repository that match the patterns available.
    ///
    /// Patterns are those of Hugging Face's `allow_patterns` (`*` crosses folders); one without wildcards names a file that
    /// must be there. Files of other formats than [`ALLOWED_EXTENSIONS`](crate::ALLOWED_EXTENSIONS) are passed over. A
    /// revision that is a full commit, and whose files are all there, needs no connection; offline, or where the server
    /// cannot be reached, the cache answers for the revision as it was last seen.
    ///
    /// # Errors
    /// Every [`Error`]; nothing is left half-written, and a download that was cut goes on where it ended.
    pub fn resolve(&self, id: &Id, patterns: &[impl AsRef<str>], progress: &dyn Progress) -> Result<Snapshot> {
        self.resolve_except(id, patterns, &[""; 0], progress)
    }

    /// As [`Hub::resolve`], without the files that one of `excluded` matches, which are Hugging Face's `ignore_patterns`.
    ///
    /// # Errors
    /// As for [`Hub::resolve`].
    pub fn resolve_except(
        &self,
        id: &Id,
        patterns: &[impl AsRef<str>],
        excluded: &[impl AsRef<str>],
        progress: &dyn Progress,
    ) -> Result<Snapshot> {
        let patterns = Patterns::new(patterns, excluded)?;
        let repository = Repository::new(&self.config.cache, id);
        let cached = self.cached(id, &repository, &patterns);
        if self.config.offline {
            return cached.map(|cached| cached.snapshot);
        }
        if is_commit(id.revision())
            && let Ok(Cached { snapshot, certain: true }) = cached
        {
            return Ok(snapshot);
        }
        // Whoever has the files need not wait long for a server that may be out of reach.
        let patience = if cached.is_ok() { Patience { tries: 1, ..self.patience } } else { self.patience };
        let http = Http::new(&self.config, id)?;
        match patience.run(|| http.list(), || false) {
            Ok(listing) => self.fetch(id, &http, &repository, &patterns, listing, progress),
            Err(error @ Error::Network { .. }) => match cached {
                Ok(Cached { snapshot, .. }) => {
                    tracing::warn!("{error}: `{id}` is taken from the cache, at commit {}", snapshot.commit);
                    Ok(snapshot)
                }
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// What the cache knows without asking anybody.
    fn cached(&self, id: &Id, repository: &Repository, patterns: &Patterns) -> Result<Cached> {
        let cache = || self.config.cache.clone();
        let commit = repository.commit(id.revision()).filter(|commit| repository.snapshot(commit).is_dir());
        let commit = commit.ok_or_else(|| Error::OfflineUnknown { id: id.clone(), cache: cache() })?;
        let missing = |files| Error::OfflineMissing { id: id.clone(), cache: cache(), files };
        let tree = repository.tree(&commit);
        let files = match &tree {
            Some(tree) => {
                let wanted = patterns.select(tree.keys().map(String::as_str));
                let wanted = wanted.map_err(|files| not_in(id, &commit, files))?;
                let absent: Vec<String> =
                    wanted.iter().filter(|file| !repository.has(&commit, file)).cloned().collect();
                if !absent.is_empty() {
                    return Err(missing(absent));
                }
                wanted
            }
            None => patterns.select(repository.files(&commit).iter().map(String::as_str)).map_err(missing)?,
        };
        let folder = repository.snapshot(&commit);
        Ok(Cached { snapshot: Snapshot { id: id.clone(), commit, folder, files }, certain: tree.is_some() })
    }

    fn fetch(
        &self,
        id: &Id,
        http: &Http<'_>,
        repository: &Repository,
        patterns: &Patterns,
        listing: Listing,
        progress: &dyn Progress,
    ) -> Result<Snapshot> {
        let Listing { commit, files, tree } = listing;
        let mut files =
            patterns.select(files.iter().map(String::as_str)).map_err(|files| not_in(id, &commit, files))?;
        files.sort();
        repository.record_commit(id.revision(), &commit);
        if let Some(tree) = tree.filter(|_| repository.tree(&commit).is_none()) {
            repository.record_tree(&commit, tree);
        }
        let absent: Vec<&str> =
            files.iter().map(String::as_str).filter(|file| !repository.has(&commit, file)).collect();
        let download = Download { http, repository, commit: &commit, patience: self.patience, progress };
        in_parallel(&absent, |file| download.file(file))?;
        let folder = repository.snapshot(&commit);
        Ok(Snapshot { id: id.clone(), commit, folder, files })
    }
}

/// What the cache holds of what was asked for.
struct Cached {
    snapshot: Snapshot,
    /// Whether it is known that the repository has no further files that match.
    certain: bool,
}

fn not_in(id: &Id, commit: &str, files: Vec<String>) -> Error {
    Error::FilesNotFound { id: id.clone(), commit: commit.to_owned(), files }
}

/// Runs the action on every item, a few at a time; after the first error no further item is begun.
fn in_parallel(items: &[&str], action: impl Fn(&str) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            action(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = items.iter().take(WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
