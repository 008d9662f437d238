//! Writing safetensors files: streamed, the same bytes for the same tensors, whole or not at all.
//!
//! The safetensors crate's writer puts metadata in a random order and makes files that only their owner can read.

use super::{
    TensorView,
    error::{Error, Result},
    header::METADATA,
};
use crate::{
    files::{self, AtomicFile, Digest, HashingWriter},
    tensor::Dtype,
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    io::Write,
    path::Path,
};

/// A tensor to be written.
pub struct NewTensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    write: Source<'a>,
}

/// Gives the bytes of a tensor.
type Source<'a> = Box<dyn FnOnce(&mut dyn Write) -> Result<()> + 'a>;

impl<'a> NewTensor<'a> {
    /// A tensor whose elements are at hand: little-endian, row-major.
    pub fn new(name: impl Into<String>, dtype: Dtype, shape: &[usize], bytes: &'a [u8]) -> Self {
        let name = name.into();
        let copy = name.clone();
        Self::streamed(name, dtype, shape, move |out| {
            out.write_all(bytes).map_err(|source| Error::Copy { name: copy, source })
        })
    }

    /// A tensor whose elements `write` gives when its turn comes; it is called once.
    pub fn streamed(
        name: impl Into<String>,
        dtype: Dtype,
        shape: &[usize],
        write: impl FnOnce(&mut dyn Write) -> Result<()> + 'a,
    ) -> Self {
        Self { name: name.into(), dtype, shape: shape.to_vec(), write: Box::new(write) }
    }

    /// A stored tensor, its elements changed to `dtype`.
    pub fn converted(view: TensorView<'a>, dtype: Dtype) -> Self {
        Self::streamed(view.name, dtype, view.shape, move |out| view.copy_as(dtype, out))
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// Writes a safetensors file. Tensors stand in the order given, those of wider types first, so that each is aligned.
///
/// # Errors
/// [`Error::File`], [`Error::Duplicate`], [`Error::WrittenBytes`], and whatever a tensor's source says; then nothing is left behind, and a
/// file that was there stays as it was.
pub fn write_safetensors(
    path: &Path,
    mut tensors: Vec<NewTensor<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<Digest> {
    tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype.size()));
    let mut out = HashingWriter::new(AtomicFile::create(path)?);
    let header = header(path, &tensors, metadata)?;
    out.write_all(&header).map_err(|source| files::Error::Write { path: path.to_owned(), source })?;
    for tensor in tensors {
        let (expected, before) = (tensor.bytes(), out.bytes());
        (tensor.write)(&mut out)?;
        let found = out.bytes() - before;
        if found != expected as u64 {
            return Err(Error::WrittenBytes { name: tensor.name, expected, found });
        }
    }
    let (file, digest) = out.finish();
    file.persist()?;
    Ok(digest)
}

/// The length and the header, padded with spaces so that the data begin at a multiple of 8.
fn header(path: &Path, tensors: &[NewTensor<'_>], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.to_owned(), json!(metadata));
    }
    let mut names = HashSet::from([METADATA]);
    let mut start = 0;
    for tensor in tensors {
        if !names.insert(tensor.name.as_str()) {
            return Err(Error::Duplicate { path: path.to_owned(), name: tensor.name.clone() });
        }
        let (dtype, end) = (tensor.dtype.to_string().to_uppercase(), start + tensor.bytes());
        let info = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end] });
        header.insert(tensor.name.clone(), info);
        start = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes(), text.as_slice()].concat())
}
