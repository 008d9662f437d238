//! Every way in which a checkpoint can be wrong.

use crate::{files, tensor::Dtype};
use std::{io, path::PathBuf};

/// Result of reading or writing checkpoints.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened, mapped or written, or is no file at all.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A folder holds no weights that can be read.
    #[error("{} holds no weights: expected diffusion_pytorch_model.safetensors or model.safetensors, or an index of shards", folder.display())]
    NoWeights {
        /// The component's folder.
        folder: PathBuf,
    },
    /// A folder holds weights, but not of the variant asked for.
    #[error("{} holds no weights of the variant {variant:?}; it has: {}", folder.display(), available.join(", "))]
    NoVariant {
        /// The component's folder.
        folder: PathBuf,
        /// The variant asked for.
        variant: String,
        /// The weight files found.
        available: Vec<String>,
    },
    /// A folder holds several variants, none of them the plain one, and none was asked for.
    #[error("{} holds weights in several variants ({}): say which is meant", folder.display(), variants.join(", "))]
    SeveralVariants {
        /// The component's folder.
        folder: PathBuf,
        /// The variants found.
        variants: Vec<String>,
    },
    /// A pickle: it can run any program when it is read, so it is not.
    #[error(
        "{} is a pickle, which can run code when it is opened; convert it to safetensors where you trust it: in Python, \
         `safetensors.torch.save_file(torch.load(FILE, weights_only=True), \"model.safetensors\")`, or `save_pretrained` of its pipeline",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// What git checks out in place of a large file where Git LFS is not installed.
    #[error("{} is a Git LFS pointer, not the weights themselves: fetch them with `git lfs pull`", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A file ends before its header's length.
    #[error("{} is not a safetensors file: it has {bytes} bytes, fewer than the 8 that tell the header's length", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// The header is longer than the file or than any header may be.
    #[error(
        "{} is truncated or not a safetensors file: its header should have {length} bytes, the file has {bytes} (and a header \
         at most 100000000)",
        path.display()
    )]
    HeaderLength {
        /// The file.
        path: PathBuf,
        /// What the first 8 bytes say.
        length: u64,
        /// Size of the file.
        bytes: usize,
    },
    /// The header is not the JSON that the format prescribes.
    #[error("{}: the safetensors header is invalid: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Two tensors of one name.
    #[error("{}: the header lists the tensor {name} twice", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// Tensors overlap, leave a hole, or end before they begin.
    #[error(
        "{}: the tensor {name} lies at bytes {start} to {end} of the data, expected at {expected}: tensors must follow each other \
         without gap or overlap",
        path.display()
    )]
    Offsets {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// First byte.
        start: usize,
        /// Byte after the last.
        end: usize,
        /// Where the tensor before it ends.
        expected: usize,
    },
    /// A tensor has more or fewer bytes than its shape needs.
    #[error("{}: the tensor {name} has {bytes} bytes, which {dtype} of shape {shape:?} does not fill", path.display())]
    TensorBytes {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type, as the file spells it.
        dtype: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its bytes.
        bytes: usize,
    },
    /// A tensor lies beyond the end of the file.
    #[error("{} is truncated: the tensor {name} ends at byte {end} of the data, of which the file has {data}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The first tensor that is not whole.
        name: String,
        /// Byte after its last.
        end: usize,
        /// Bytes after the header.
        data: usize,
    },
    /// The file goes on after the last tensor.
    #[error("{} has {bytes} bytes after its last tensor", path.display())]
    Trailing {
        /// The file.
        path: PathBuf,
        /// How many.
        bytes: usize,
    },
    /// The index of shards is not the JSON that Hugging Face writes.
    #[error("{}: the index of shards is invalid: {source}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The index names a shard that does not lie beside it.
    #[error("{}: the tensor {name} is said to lie in {shard:?}, which is not the plain name of a file beside the index", path.display())]
    ShardName {
        /// The index.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The name of the shard.
        shard: String,
    },
    /// A shard lacks a tensor that the index says it holds.
    #[error("{}: the tensor {name} is said to lie in {shard}, which does not hold it", path.display())]
    ShardLacks {
        /// The index.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The name of the shard.
        shard: String,
    },
    /// A tensor is asked for that the checkpoint does not have.
    #[error("{} holds no tensor {name}", path.display())]
    NoTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor is needed whose elements are of a type that no network here uses.
    #[error("{}: the tensor {name} has elements of type {dtype}; f32, f16, bf16, i64 and i32 can be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type, as the file spells it.
        dtype: String,
    },
    /// A conversion between integers and others.
    #[error("the tensor {name} cannot be converted from {from} to {to}")]
    Conversion {
        /// The tensor.
        name: String,
        /// Its type.
        from: Dtype,
        /// The type asked for.
        to: Dtype,
    },
    /// A finite number becomes infinite in a narrower type.
    #[error("the tensor {name} holds {value:e}, which {to} cannot represent: keep it in f32")]
    Overflow {
        /// The tensor.
        name: String,
        /// The number.
        value: f32,
        /// The type asked for.
        to: Dtype,
    },
    /// What a tensor was copied into failed.
    #[error("cannot copy the tensor {name}: {source}")]
    Copy {
        /// The tensor.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A tensor to be written gave more or fewer bytes than its shape needs.
    #[error("the tensor {name} gave {found} bytes to be written, {expected} expected")]
    WrittenBytes {
        /// The tensor.
        name: String,
        /// What its shape and type need.
        expected: usize,
        /// What came.
        found: u64,
    },
}
