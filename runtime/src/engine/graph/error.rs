//! Why a graph file is not opened.

use pleach_model::files::{self, Sha256};

/// Why a graph file is not opened. `file` and `graph` are files as their bundle names them (`unet/model.onnx`).
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum GraphError {
    /// A file that cannot be read, or that a link outside of its bundle stands for.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A pickle, whose content is code.
    #[error(
        "{file} is a pickle, and loading one runs code that it holds: only ONNX and safetensors files are read; save the model \
         with safetensors (save_pretrained) and export it with `pleach export`"
    )]
    Pickle { file: String },
    /// Bytes that are no ONNX, or end too early.
    #[error("{file} is not an ONNX graph, or not all of one: {source}")]
    Decode { file: String, source: prost::DecodeError },
    /// Something that an inference graph needs or may not have.
    #[error("{file} {problem}")]
    Model { file: String, problem: String },
    /// A version of the format or of the operators that ONNX Runtime does not take.
    #[error("{file} is written in {what} {found}; versions {oldest} to {newest} are read")]
    Version { file: String, what: &'static str, found: i64, oldest: i64, newest: i64 },
    /// External data that is not where and what it is declared to be.
    #[error("{graph}: the external data of the tensor {tensor:?} {problem}")]
    External { graph: String, tensor: String, problem: String },
    /// A weight file that the manifest does not list for this graph.
    #[error("{graph} takes its weights from {file:?}, which the manifest does not list for it")]
    Unlisted { graph: String, file: String },
    /// A weight file that the manifest lists, but that the graph does not use.
    #[error("the manifest lists {file:?} as the weights of {graph}, which uses no such file")]
    Unused { graph: String, file: String },
    /// A file of another size than the manifest says.
    #[error("{file} has {found} bytes, the manifest says {expected}: it is damaged or was replaced")]
    Size { file: String, found: u64, expected: u64 },
    /// A file that hashes to something else than the manifest says.
    #[error("{file} has the SHA-256 {found}, the manifest says {expected}: it is damaged or was replaced")]
    Hash { file: String, found: Sha256, expected: Sha256 },
}
