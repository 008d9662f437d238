//! The journal of a run: what was drawn and what was seen, one record a line, each sealed by a chain of hashes.
//!
//! A line is the record's seal and its JSON: `SEAL {"event":...}`. The seal is the SHA-256 of the seal before it and the JSON, so a
//! record that is changed, dropped, doubled or moved breaks the chain there. A line without its end is what a process was writing when
//! it was killed; it is taken off, and what it told is done again.

mod failpoint;
mod record;
#[cfg(test)]
mod tests;

pub use record::{Arm, Record};

use super::{Error, Result};
use pleach_model::files::{Sha256, read_bounded};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A hundred million records.
const MAX_BYTES: u64 = 1 << 40;

/// What a journal says.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries {
    /// Its records, in order.
    pub records: Vec<Record>,
    /// The last seal.
    pub head: Sha256,
    /// Bytes of a line that was not finished.
    pub torn: u64,
}

/// A journal that is written to, by one process at a time.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    head: Sha256,
    written: u64,
}

impl Entries {
    /// Reads a journal; one that is not there is empty.
    ///
    /// # Errors
    /// [`Error::Journal`] where a record is not what its seal says, [`Error::File`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = if path.exists() { read_bounded(path, MAX_BYTES)? } else { Vec::new() };
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut entries = Self { records: Vec::new(), head: origin(), torn: (bytes.len() - whole) as u64 };
        for (line, text) in (1..).zip(bytes[..whole].split_inclusive(|&byte| byte == b'\n')) {
            let wrong = |reason: &str| Error::Journal { path: path.to_owned(), line, reason: reason.to_owned() };
            let (seal, json) = text[..text.len() - 1].split_at_checked(65).ok_or_else(|| wrong("it is too short"))?;
            let expected = sealed(entries.head, json);
            if seal != format!("{expected} ").as_bytes() {
                return Err(wrong(
                    "its seal does not follow from the record before it: a record was changed, dropped, doubled or moved",
                ));
            }
            entries.records.push(serde_json::from_slice(json).map_err(|error| wrong(&error.to_string()))?);
            entries.head = expected;
        }
        // Whoever wrote the last record was not killed while writing another.
        if entries.torn > 0 && matches!(entries.records.last(), Some(Record::End { .. })) {
            let reason = "it comes after the record that ends the journal".to_owned();
            return Err(Error::Journal { path: path.to_owned(), line: entries.records.len() + 1, reason });
        }
        Ok(entries)
    }
}

impl Journal {
    /// Opens a journal to go on with it, and what it says already. Nobody else may have it open.
    ///
    /// # Errors
    /// As [`Entries::read`]; [`Error::Busy`] where another process writes to it.
    pub fn open(path: &Path) -> Result<(Self, Entries)> {
        let failed = |source| Error::write(path, source);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let entries = Entries::read(path)?;
        let length = file.metadata().map_err(failed)?.len();
        if entries.torn > 0 {
            file.set_len(length - entries.torn).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let (head, written) = (entries.head, entries.records.len() as u64);
        Ok((Self { path: path.to_owned(), file, head, written }, entries))
    }

    /// Adds records; when it returns they are on the disk.
    ///
    /// # Errors
    /// [`Error::File`]; the journal can be opened again and holds a part of the records, or none.
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        let mut lines = Vec::new();
        let mut head = self.head;
        for record in records {
            let json = serde_json::to_vec(record).map_err(io::Error::from).map_err(|e| Error::write(&self.path, e))?;
            head = sealed(head, &json);
            lines.extend_from_slice(format!("{head} ").as_bytes());
            lines.extend_from_slice(&json);
            lines.push(b'\n');
        }
        failpoint::pass(&mut self.file, &lines, self.written);
        self.file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| Error::write(&self.path, source))?;
        self.head = head;
        self.written += records.len() as u64;
        Ok(())
    }
}

/// The seal before the first record.
fn origin() -> Sha256 {
    Sha256([0; 32])
}

fn sealed(before: Sha256, json: &[u8]) -> Sha256 {
    Sha256::of(&[&before.0[..], json].concat())
}
