//! Checkpoints: safetensors files as Hugging Face lays them out, mapped into memory.
//!
//! [`Checkpoint::open`] finds the file or the shards and checks their headers; [`Checkpoint::bind`] compares everything that a
//! network expects with everything there is, under the names of today, before a single number is read. Then a [`Bound`] gives
//! tensors by the network's names, and [`TensorView::copy_as`] streams one with its precision changed, leaving no memory behind.
//! [`write_safetensors`] is the way back.
//!
//! A mapped file must not be shortened while it is open: the system ends a process that reads beyond the end of a file.

mod bind;
mod convert;
mod error;
mod header;
mod locate;
mod spelling;
#[cfg(test)]
mod tests;
mod write;

pub use bind::{Bound, Misfit, Mismatch};
pub use error::{Error, Result};
pub use spelling::Spelling;
pub use write::{NewTensor, write_safetensors};

use crate::{files, tensor::Dtype};
use header::{Header, Stored};
use locate::Layout;
use memmap2::Mmap;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
};

/// Stored tensors of one network, by name. Many threads may read at once.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<MappedFile>,
    tensors: Vec<Entry>,
    by_name: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

#[derive(Debug)]
struct Entry {
    file: usize,
    stored: Stored,
}

impl Checkpoint {
    /// Opens a component's folder, a safetensors file, or an index of shards (`*.safetensors.index.json`).
    ///
    /// In a folder, `diffusion_pytorch_model.safetensors` is looked for, then its index, then `model.safetensors` and its index; where
    /// there is none of them but one variant (`diffusion_pytorch_model.fp16.safetensors`), that is opened.
    ///
    /// # Errors
    /// Every variant of [`Error`] that is about a file; nothing but the headers is read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_layout(locate::locate(path, None)?)
    }

    /// Opens the weights of a variant (`fp16`) in a component's folder.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`Error::NoVariant`].
    pub fn open_variant(folder: &Path, variant: &str) -> Result<Self> {
        Self::open_layout(locate::locate(folder, Some(variant))?)
    }

    fn open_layout(layout: Layout) -> Result<Self> {
        match layout {
            Layout::Single(path) => {
                let (file, header) = MappedFile::open(&path)?;
                let tensors = header.tensors.into_iter().map(|stored| Entry { file: 0, stored }).collect();
                Ok(Self::new(path, vec![file], tensors, header.metadata))
            }
            Layout::Index(path) => Self::open_shards(path),
        }
    }

    fn open_shards(index: PathBuf) -> Result<Self> {
        let shards = locate::read_index(&index)?;
        let (mut files, mut tensors, mut metadata) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (shard, mut names) in shards {
            let (file, header) = MappedFile::open(&index.with_file_name(&shard))?;
            let listed = header.tensors.into_iter().filter(|stored| names.remove(&stored.name));
            tensors.extend(listed.map(|stored| Entry { file: files.len(), stored }));
            if let Some(name) = names.pop_first() {
                return Err(Error::ShardLacks { path: index, name, shard });
            }
            files.push(file);
            metadata.extend(header.metadata);
        }
        Ok(Self::new(index, files, tensors, metadata))
    }

    fn new(path: PathBuf, files: Vec<MappedFile>, tensors: Vec<Entry>, metadata: BTreeMap<String, String>) -> Self {
        let by_name = tensors.iter().enumerate().map(|(i, entry)| (entry.stored.name.clone(), i)).collect();
        Self { path, files, tensors, by_name, metadata }
    }

    /// The safetensors file or the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The safetensors files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Names of all tensors, in the order of the files: reading in this order reads each file from front to back.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.iter().map(|entry| entry.stored.name.as_str())
    }

    /// What the files say about themselves (`format`: `pt`). Anybody may write anything there.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensor of this name, as stored.
    ///
    /// # Errors
    /// [`Error::NoTensor`]; [`Error::Unreadable`] for a type that [`Dtype`] lacks.
    pub fn get(&self, name: &str) -> Result<TensorView<'_>> {
        self.view(self.entry(name)?)
    }

    /// Lets go of the memory that reading the tensor filled; see [`TensorView::release`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn release(&self, name: &str) -> Result<()> {
        self.get(name).map(|view| view.release())
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let found = self.by_name.get(name).and_then(|&i| self.tensors.get(i));
        found.ok_or_else(|| Error::NoTensor { path: self.path.clone(), name: name.to_owned() })
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> Result<TensorView<'a>> {
        let Stored { name, dtype, shape, range } = &entry.stored;
        let view = |file: &'a MappedFile| {
            let bytes = file.map.get(range.clone())?;
            Some(TensorView { name, dtype: parse_dtype(dtype)?, shape, bytes, map: &file.map, range: range.clone() })
        };
        self.files.get(entry.file).and_then(view).ok_or_else(|| Error::Unreadable {
            path: self.path.clone(),
            name: name.clone(),
            dtype: dtype.clone(),
        })
    }
}

impl MappedFile {
    fn open(path: &Path) -> Result<(Self, Header)> {
        let failed = |source| files::Error::Read { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(files::Error::NotAFile { path: path.to_owned() }.into());
        }
        let file = File::open(path).map_err(failed)?;
        // SAFETY: the mapping is read-only. Another process could still change the file: no bytes are invalid as numbers, and
        // the module's documentation says what shortening it does.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        locate::refuse_others(path, &map)?;
        let header = Header::parse(path, &map)?;
        Ok((Self { path: path.to_owned(), map }, header))
    }
}

/// Reading one byte maps the whole folio around it, the unit of Linux's page cache, which can be as large as this: what was released
/// comes back with its neighbour.
const FOLIO: usize = 2 << 20;

fn parse_dtype(stored: &str) -> Option<Dtype> {
    Some(match stored {
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::Bf16,
        "I64" => Dtype::I64,
        "I32" => Dtype::I32,
        _ => return None,
    })
}

/// A stored tensor.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Its name: the stored one from a [`Checkpoint`], the network's from a [`Bound`].
    pub name: &'a str,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its shape, row-major; empty for a scalar.
    pub shape: &'a [usize],
    /// Its elements, little-endian, in the mapped file: aligned to nothing.
    pub bytes: &'a [u8],
    map: &'a Mmap,
    range: Range<usize>,
}

impl TensorView<'_> {
    /// Lets go of the memory that reading this tensor filled, so that a process that streams a large checkpoint stays small. The
    /// tensor can still be read: the system fetches it again.
    pub fn release(&self) {
        self.release_part(0..self.bytes.len() + FOLIO);
    }

    /// Lets go of a part of this tensor and of what was mapped before it.
    fn release_part(&self, part: Range<usize>) {
        #[cfg(unix)]
        {
            let start = (self.range.start + part.start).saturating_sub(FOLIO);
            let end = (self.range.start + part.end).min(self.map.len());
            // SAFETY: the mapping is shared and read-only, so the pages come back unchanged from the file when they are read again.
            let advised =
                unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
            if let Err(error) = advised {
                tracing::debug!(tensor = self.name, %error, "memory of a mapped tensor is not released");
            }
        }
        #[cfg(not(unix))]
        let _ = (self.map, &self.range, part);
    }
}
