//! Everything that can go wrong between an id and its files, with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::id::Id;
use crate::patterns::ALLOWED_EXTENSIONS;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an id has no files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not an id.
    #[error("`{0}` is not a Hugging Face id: org/name or org/name@revision")]
    Id(String),

    /// `HF_ENDPOINT` is not an address.
    #[error("HF_ENDPOINT is not an http or https address: `{0}`")]
    Endpoint(String),

    /// The token holds characters that no header can carry.
    #[error("the token of {0} is not one: it holds a line break or another control character")]
    Token(String),

    /// No variable says where the cache lies.
    #[error("no folder for the Hugging Face cache: set HF_HOME")]
    NoCache,

    /// A pattern of file names cannot be read.
    #[error("`{pattern}` is not a pattern of file names")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: glob::PatternError,
    },

    /// A file was asked for that is never fetched.
    #[error(
        "`{0}` is not fetched: only {allowed} are, because other formats can run code when they are read; \
         convert it where you trust it: pipeline.save_pretrained(folder, safe_serialization=True)",
        allowed = ALLOWED_EXTENSIONS.join(", ")
    )]
    Refused(String),

    /// The server knows no such repository, or does not show it.
    #[error(
        "`{id}` is no folder here, and {endpoint} shows no such repository: check the name; if it is private, {remedy}"
    )]
    RepositoryNotFound {
        /// The repository.
        id: Id,
        /// The server.
        endpoint: String,
        /// What to do about the token.
        remedy: String,
    },

    /// The repository has no such branch, tag or commit.
    #[error("`{}` has no revision `{}`", id.repository(), id.revision())]
    RevisionNotFound {
        /// The repository and the revision.
        id: Id,
    },

    /// Files that were asked for by name are not in the repository.
    #[error("`{id}` at commit {commit} has no {}", files.join(", "))]
    FilesNotFound {
        /// The repository.
        id: Id,
        /// The commit.
        commit: String,
        /// The names or patterns.
        files: Vec<String>,
    },

    /// The repository's terms must be accepted first.
    #[error("`{id}` is gated: accept its terms at {page}, then {remedy}")]
    Gated {
        /// The repository.
        id: Id,
        /// Where to accept.
        page: String,
        /// What to do about the token.
        remedy: String,
    },

    /// The token is not valid.
    #[error("{endpoint} does not accept the token of {origin}: make a new one, or remove it")]
    TokenRefused {
        /// The server.
        endpoint: String,
        /// Where the token came from.
        origin: String,
    },

    /// The server refuses for a reason of its own.
    #[error("{endpoint} refuses `{id}`: {message}")]
    Forbidden {
        /// The repository.
        id: Id,
        /// The server.
        endpoint: String,
        /// What it says.
        message: String,
    },

    /// Offline, and the revision was never resolved here.
    #[error("offline, and `{id}` is not in the cache {}: unset HF_HUB_OFFLINE once, or fetch it elsewhere", cache.display())]
    OfflineUnknown {
        /// The repository.
        id: Id,
        /// The cache.
        cache: PathBuf,
    },

    /// Offline, and the snapshot lacks files.
    #[error("offline, and {} of `{id}` is not in the cache {}: unset HF_HUB_OFFLINE once, or fetch it elsewhere",
        files.join(", "), cache.display())]
    OfflineMissing {
        /// The repository.
        id: Id,
        /// The cache.
        cache: PathBuf,
        /// The names or patterns.
        files: Vec<String>,
    },

    /// The server could not be reached, or the connection broke too often.
    #[error("no connection to {url}")]
    Network {
        /// What was asked for.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A status that means nothing more particular.
    #[error("{url} answers {status}: {message}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        message: String,
        /// Seconds after which to try again, if the server says so.
        retry_after: Option<u64>,
    },

    /// An answer that does not follow the protocol.
    #[error("{url}: {problem}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },

    /// A download has another size than announced.
    #[error("`{file}` has {got} bytes where {expected} were announced")]
    Size {
        /// The file in the repository.
        file: String,
        /// Announced.
        expected: u64,
        /// Received.
        got: u64,
    },

    /// A download has another hash than announced; nothing of it was kept.
    #[error("`{file}` is not what was announced: its {algorithm} is {got}, not {expected}; nothing of it was kept")]
    Hash {
        /// The file in the repository.
        file: String,
        /// `sha256` or `git sha1`.
        algorithm: &'static str,
        /// Announced.
        expected: String,
        /// Received.
        got: String,
    },

    /// The cache cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Cache {
        /// Such as `write`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` on what the cache does.
    pub(crate) fn cache<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Cache { action, path: path.to_owned(), source }
    }

    /// Whether the same request may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether a file is not what it was announced to be.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Hash { .. } | Self::Size { .. })
    }
}
