//! A file written and hashed in two threads while a third makes its bytes.

use crate::{
    error::{Error, Result},
    watch::Watch,
};
use pleach_model::files::{self, Digest, HashingWriter};
use std::{
    fs::File,
    io::{self, Write},
    mem,
    path::Path,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread,
};

/// Bytes that are passed on at once.
const BUFFER: usize = 4 << 20;
/// Buffers that may wait between two threads.
const WAITING: usize = 2;

/// The writing end. Everything written to it is hashed, then written to the file.
pub(super) struct Stream<'a> {
    buffer: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    watch: &'a dyn Watch,
    position: u64,
}

impl Stream<'_> {
    /// Writes zeros up to an offset.
    pub fn pad_to(&mut self, offset: u64) -> io::Result<()> {
        let missing = offset.checked_sub(self.position).ok_or(io::ErrorKind::InvalidInput)?;
        io::copy(&mut io::Read::take(io::repeat(0), missing), self).map(drop)
    }

    /// Passes the buffer on and takes one that is free.
    fn pass_on(&mut self) -> io::Result<()> {
        if self.watch.interrupted() {
            return Err(io::Error::other("interrupted"));
        }
        let mut next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER));
        next.clear();
        self.full.send(mem::replace(&mut self.buffer, next)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BUFFER - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.position += taken as u64;
        if self.buffer.len() == BUFFER {
            self.pass_on()?;
        }
        Ok(taken)
    }

    /// Does nothing: the file has everything when [`write_hashed`] returns.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the file `path` of what `work` writes.
///
/// # Errors
/// What `work` says, the file's own error, [`Error::Interrupted`].
pub(super) fn write_hashed(
    path: &Path,
    watch: &dyn Watch,
    work: impl FnOnce(&mut Stream) -> Result<()>,
) -> Result<Digest> {
    let failed = |source| files::Error::Write { path: path.to_owned(), source };
    let mut file = File::create(path).map_err(failed)?;
    thread::scope(|scope| {
        let (full, to_hash) = sync_channel::<Vec<u8>>(WAITING);
        let (hashed, to_write) = sync_channel::<Vec<u8>>(WAITING);
        let (written, empty) = channel();
        let hasher = scope.spawn(move || hash(&to_hash, &hashed));
        let writer = scope.spawn(move || write(&mut file, &to_write, &written, watch));
        let mut stream = Stream { buffer: Vec::with_capacity(BUFFER), full, empty, watch, position: 0 };
        let made = work(&mut stream).and_then(|()| Ok(stream.pass_on().map_err(failed)?));
        drop(stream);
        let digest = hasher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(failed)?;
        match made {
            _ if watch.interrupted() => Err(Error::Interrupted),
            made => made.map(|()| digest),
        }
    })
}

fn hash(full: &Receiver<Vec<u8>>, hashed: &SyncSender<Vec<u8>>) -> Digest {
    let mut hasher = HashingWriter::new(io::sink());
    for buffer in full {
        // A sink takes everything, and a writer that is gone has said why.
        if hasher.write_all(&buffer).is_err() || hashed.send(buffer).is_err() {
            break;
        }
    }
    hasher.finish().1
}

fn write(file: &mut File, hashed: &Receiver<Vec<u8>>, written: &Sender<Vec<u8>>, watch: &dyn Watch) -> io::Result<()> {
    for buffer in hashed {
        file.write_all(&buffer)?;
        watch.wrote(buffer.len() as u64);
        // The other end is gone when nothing more is to come.
        let _ = written.send(buffer);
    }
    Ok(())
}
