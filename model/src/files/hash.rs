//! SHA-256 of files, computed while they are written wherever possible.

use super::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;
use std::{
    fmt,
    fs::File,
    io::{self, Read, Write},
    path::Path,
    str::FromStr,
};

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// A text is not a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found {found:?}")]
pub struct ParseSha256Error {
    found: String,
}

impl FromStr for Sha256 {
    type Err = ParseSha256Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let bytes: Option<Vec<u8>> =
                pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
            bytes.filter(|_| rest.is_empty())?.try_into().ok()
        };
        parse().map(Self).ok_or_else(|| ParseSha256Error { found: text.chars().take(80).collect() })
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What a file holds, in two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Size of the file.
    pub bytes: u64,
    /// Hash of the file.
    pub sha256: Sha256,
}

/// Passes everything on to another writer and hashes it on the way.
pub struct HashingWriter<W> {
    inner: W,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<W> HashingWriter<W> {
    /// Hashes what goes to `inner` from now on.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: sha2::Sha256::new(), bytes: 0 }
    }

    /// How many bytes were written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The inner writer (not flushed), and what was written to it.
    pub fn finish(self) -> (W, Digest) {
        (self.inner, Digest { bytes: self.bytes, sha256: Sha256(self.hasher.finalize().into()) })
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.hasher.update(buf.get(..written).unwrap_or(buf));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Size and SHA-256 of a file, read in pieces.
///
/// # Errors
/// [`Error::Read`].
pub fn digest_file(path: &Path) -> Result<Digest> {
    let read = || {
        let mut file = File::open(path)?;
        let mut writer = HashingWriter::new(io::sink());
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                return Ok(writer.finish().1);
            }
            writer.write_all(buffer.get(..n).unwrap_or_default())?;
        }
    };
    read().map_err(|source| Error::Read { path: path.to_owned(), source })
}
