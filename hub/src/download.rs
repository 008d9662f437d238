//! One file into the cache: resumed where it was cut, checked against the hash that names it, visible only when whole.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::thread::sleep;
use std::time::Duration;

use crate::cache::Repository;
use crate::client::{Http, Metadata, network};
use crate::digest::Algorithm;
use crate::error::{Error, Result};

/// Told how far files are. Several files may be on their way at once, from several threads.
pub trait Progress: Sync {
    /// `position` of `total` bytes of `file` are there; the last call of a file says all of them. `total` is 0 where the
    /// server does not say.
    fn update(&self, file: &str, position: u64, total: u64);
}

impl<F: Fn(&str, u64, u64) + Sync> Progress for F {
    fn update(&self, file: &str, position: u64, total: u64) {
        self(file, position, total);
    }
}

/// Nobody looks.
impl Progress for () {
    fn update(&self, _file: &str, _position: u64, _total: u64) {}
}

/// How often, and how patiently, what failed is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub tries: u32,
    /// Before the second try; doubled before each further one.
    pub pause: Duration,
}

impl Patience {
    const LONGEST: Duration = Duration::from_secs(30);

    fn pause_after(self, failures: u32, error: &Error) -> Duration {
        let told = match error {
            Error::Status { retry_after, .. } => retry_after.map(Duration::from_secs),
            _ => None,
        };
        let doubled = self.pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
        told.unwrap_or(doubled).min(Self::LONGEST)
    }

    /// Repeats what fails for a reason that passes. `advanced` says whether the last try got further than the one before:
    /// then it does not count as a failure, so a large file comes through a line that breaks often.
    pub(crate) fn run<T>(self, mut action: impl FnMut() -> Result<T>, mut advanced: impl FnMut() -> bool) -> Result<T> {
        let mut failures = 0;
        loop {
            match action() {
                Err(error) if error.is_transient() => {
                    failures = if advanced() { 1 } else { failures + 1 };
                    if failures >= self.tries {
                        return Err(error);
                    }
                    let pause = self.pause_after(failures, &error);
                    tracing::info!(%error, ?pause, "trying again");
                    sleep(pause);
                }
                result => return result,
            }
        }
    }
}

/// What is needed to fetch the files of a commit.
pub(crate) struct Download<'a> {
    pub http: &'a Http<'a>,
    pub repository: &'a Repository,
    pub commit: &'a str,
    pub patience: Patience,
    pub progress: &'a dyn Progress,
}

impl Download<'_> {
    /// Makes a file of the commit available.
    pub(crate) fn file(&self, file: &str) -> Result<()> {
        let metadata = self.patience.run(|| self.http.metadata(self.commit, file), || false)?;
        let blob = self.repository.blob(&metadata.etag);
        let _lock = self.repository.lock(&metadata.etag)?;
        let whole = fs::metadata(&blob).is_ok_and(|blob| metadata.size.is_none_or(|size| size == blob.len()));
        if !whole {
            self.fetch(file, &metadata)?;
        }
        self.repository.link(self.commit, file, &metadata.etag)
    }

    fn fetch(&self, file: &str, metadata: &Metadata) -> Result<()> {
        let (blob, partial) = (self.repository.blob(&metadata.etag), self.repository.partial(&metadata.etag));
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(Error::cache("make the folder", folder))?;
        }
        let length = || fs::metadata(&partial).map_or(0, |partial| partial.len());
        let resumed = length() > 0;
        self.receive_all(file, metadata, length)?;
        match self.check(file, metadata) {
            // What was there before may be anything; what comes now is as it was announced, or it never will be.
            Err(error) if resumed && error.is_integrity() => {
                tracing::info!(%error, "fetching the whole file again");
                self.receive_all(file, metadata, length)?;
                self.check(file, metadata)?;
            }
            result => result?,
        }
        fs::rename(&partial, &blob).map_err(Error::cache("write", &blob))
    }

    fn receive_all(&self, file: &str, metadata: &Metadata, length: impl Fn() -> u64) -> Result<()> {
        let mut before = length();
        self.patience.run(|| self.receive(file, metadata), || std::mem::replace(&mut before, length()) < length())
    }

    /// Appends to what is there.
    fn receive(&self, file: &str, metadata: &Metadata) -> Result<()> {
        let path = self.repository.partial(&metadata.etag);
        let cannot_write = || Error::cache("write", &path);
        // Not in append mode: two processes that no lock keeps apart then write the same bytes to the same places.
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let mut target = open.map_err(cannot_write())?;
        let mut position = target.seek(SeekFrom::End(0)).map_err(cannot_write())?;
        if metadata.size.is_some_and(|size| position > size) {
            position = 0;
        }
        if metadata.size != Some(position) {
            let (mut response, start) = self.http.bytes(self.commit, file, position)?;
            position = start;
            target.set_len(position).and_then(|()| target.seek(SeekFrom::Start(position))).map_err(cannot_write())?;
            let total = metadata.size.or(response.content_length().map(|length| position + length));
            let url = response.url().clone();
            self.progress.update(file, position, total.unwrap_or(0));
            let mut buffer = vec![0; 1 << 20];
            loop {
                let count = response.read(&mut buffer).map_err(|error| network(&url, error))?;
                let received = buffer.get(..count).unwrap_or_default();
                position += received.len() as u64;
                if let Some(expected) = total.filter(|total| position > *total) {
                    discard(&target);
                    return Err(Error::Size { file: file.to_owned(), expected, got: position });
                }
                if received.is_empty() {
                    break;
                }
                target.write_all(received).map_err(cannot_write())?;
                self.progress.update(file, position, total.unwrap_or(0));
            }
            if total.is_some_and(|total| position < total) {
                return Err(network(&url, "the connection ended early"));
            }
        }
        target.sync_all().map_err(cannot_write())
    }

    /// Compares what lies on the disk with what was announced; if it differs nothing of it is kept.
    fn check(&self, file: &str, metadata: &Metadata) -> Result<()> {
        let path = self.repository.partial(&metadata.etag);
        let size = fs::metadata(&path).map_err(Error::cache("read", &path))?.len();
        let problem = match (metadata.size, Algorithm::of(&metadata.etag)) {
            (Some(expected), _) if expected != size => Error::Size { file: file.to_owned(), expected, got: size },
            (_, Some(algorithm)) => match algorithm.of_file(&path).map_err(Error::cache("read", &path))? {
                got if got == metadata.etag => return Ok(()),
                got => {
                    let expected = metadata.etag.clone();
                    Error::Hash { file: file.to_owned(), algorithm: algorithm.name(), expected, got }
                }
            },
            _ => {
                tracing::warn!(
                    file,
                    etag = metadata.etag,
                    "the server gives no hash that this file could be checked against"
                );
                return Ok(());
            }
        };
        fs::remove_file(&path).map_err(Error::cache("remove", &path))?;
        Err(problem)
    }
}

/// What cannot be right is not resumed. Should this fail, the hash will tell.
fn discard(target: &File) {
    let _ = target.set_len(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after: Option<u64>) -> Error {
        Error::Status { url: String::new(), status: 503, message: String::new(), retry_after }
    }

    const QUICK: Patience = Patience { tries: 4, pause: Duration::ZERO };

    #[test]
    fn pauses_double_and_follow_the_server() {
        let patience = Patience { tries: 9, pause: Duration::from_millis(500) };
        let pauses: Vec<u128> =
            (1..9).map(|failures| patience.pause_after(failures, &busy(None)).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(patience.pause_after(1, &busy(Some(7))), Duration::from_secs(7));
        assert_eq!(patience.pause_after(1, &busy(Some(7000))), Duration::from_secs(30));
    }

    #[test]
    fn tries_end_unless_they_get_further() {
        let mut tried = 0;
        let result: Result<()> = QUICK.run(
            || {
                tried += 1;
                Err(busy(None))
            },
            || false,
        );
        assert!(result.is_err());
        assert_eq!(tried, 4);

        let mut tried = 0;
        let mut steps = 20;
        let result: Result<()> = QUICK.run(
            || {
                tried += 1;
                Err(busy(None))
            },
            || {
                steps -= 1;
                steps > 0
            },
        );
        assert!(result.is_err());
        assert_eq!(tried, 22);

        let mut tried = 0;
        let result: Result<()> = QUICK.run(
            || {
                tried += 1;
                Err(Error::NoCache)
            },
            || true,
        );
        assert!(matches!(result, Err(Error::NoCache)));
        assert_eq!(tried, 1);
    }
}
