//! What can go wrong between a graph file and its results.

use super::{Declared, LibraryError, ProviderError, ProviderKind, graph::GraphError};
use pleach_model::{files, tensor::Dtype};
use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a graph file and its results. `network` is the graph's file as its bundle names it
/// (`unet/model.onnx`).
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum Error {
    /// No ONNX Runtime that can be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// There is one ONNX Runtime in a process, and it was started with other options.
    #[error("ONNX Runtime runs already with other options: {running}; asked for: {asked}")]
    Started { running: String, asked: String },
    /// A list of providers that says nothing sensible.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A provider that is neither in the library nor where plug-ins are looked for.
    #[error(
        "ONNX Runtime {version} ({}) has no provider {provider}; it has: {}\n\
         name one of these, a library that has it with --ort-lib or {provider}:library=FILE, or do without it with --allow-fallback",
        library.display(), offered.iter().map(|offer| offer.name()).collect::<Vec<_>>().join(", ")
    )]
    NoProvider { provider: ProviderKind, version: String, library: PathBuf, offered: Vec<ProviderKind> },
    /// A plug-in that cannot be loaded.
    #[error("{} cannot be loaded as the plug-in for {provider}: {message}", path.display())]
    Plugin { provider: ProviderKind, path: PathBuf, message: String },
    /// A provider that is there and does not work.
    #[error("the provider {provider} cannot be used: {message}")]
    ProviderFailed { provider: ProviderKind, message: String },
    /// A graph file that is not opened.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A file that cannot be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A shape that asks for another number of elements than there are.
    #[error("{length} elements do not fill a tensor of shape {shape:?}")]
    Length { shape: Vec<usize>, length: usize },
    /// A name that the graph does not declare, or that was given twice.
    #[error("{network} has no {kind} {name:?}, or it was given twice; it has: {}", names.join(", "))]
    Name { network: String, kind: &'static str, name: String, names: Vec<String> },
    /// An input without a value.
    #[error("{network} needs the {kind} {name:?}, which was not given")]
    Missing { network: String, kind: &'static str, name: String },
    /// A shape that is not the one declared.
    #[error("{network} declares {declared}: a tensor of shape {shape:?} does not fit")]
    Shape { network: String, declared: Declared, shape: Vec<usize> },
    /// An element that the declared type cannot hold.
    #[error("{network} takes {name:?} as {dtype}, which cannot hold {element}")]
    Element { network: String, name: String, dtype: Dtype, element: String },
    /// ONNX Runtime refused or failed.
    #[error("{network}: ONNX Runtime cannot {doing}: {message}")]
    Runtime { network: String, doing: &'static str, message: String },
    /// A cancelled run or a cancelled loading.
    #[error("{network} was cancelled")]
    Cancelled { network: String },
}

impl Error {
    /// Whether a graph's file is not what its manifest says: a question of integrity, not of usage.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Graph(GraphError::Size { .. } | GraphError::Hash { .. }))
    }

    pub(super) fn unknown(network: &str, kind: &'static str, name: &str, declared: &[Declared]) -> Self {
        Self::Name {
            network: network.to_owned(),
            kind,
            name: name.to_owned(),
            names: declared.iter().map(|declared| declared.name.clone()).collect(),
        }
    }
}
