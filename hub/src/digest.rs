//! The hash that an etag is: of LFS files their SHA-256, of small files the id that git gives them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Which hash an etag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    /// SHA-1 over `blob SIZE\0` and the content.
    GitSha1,
}

impl Algorithm {
    /// None for an etag of another kind, as some mirrors give them: only its size can be checked.
    pub(crate) fn of(etag: &str) -> Option<Self> {
        match etag.len() {
            _ if !etag.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')) => None,
            64 => Some(Self::Sha256),
            40 => Some(Self::GitSha1),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::GitSha1 => "git sha1",
        }
    }

    /// The hash of a file on disk, in lower-case hex.
    pub(crate) fn of_file(self, path: &Path) -> io::Result<String> {
        let mut file = File::open(path)?;
        match self {
            Self::Sha256 => Ok(hex(&absorb(Sha256::new(), &mut file)?.finalize())),
            Self::GitSha1 => {
                let header = format!("blob {}\0", file.metadata()?.len());
                Ok(hex(&absorb(Sha1::new().chain_update(header), &mut file)?.finalize()))
            }
        }
    }
}

fn absorb<D: sha2::Digest>(mut hasher: D, file: &mut File) -> io::Result<D> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        // `git hash-object` and `sha256sum` of the same file.
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(Algorithm::of(git).unwrap().of_file(&path).unwrap(), git);
        assert_eq!(Algorithm::of(sha256).unwrap().of_file(&path).unwrap(), sha256);
        assert_eq!(Algorithm::of("5d41402abc4b2a76b9719d911017c592"), None);
        assert_eq!(Algorithm::of(&"Z".repeat(40)), None);
    }
}
