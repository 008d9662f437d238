//! Opening a graph file safely.
//!
//! ONNX Runtime opens whatever file a graph names for its weights. Here the (small) graph is read and walked first: everything
//! that it names must be a plain sibling file, long enough for what is declared to lie in it, and no link may lead out of the
//! bundle. ONNX Runtime is then given the very bytes that were checked.

mod check;
mod error;
mod external;
mod relocate;
#[cfg(test)]
mod tests;

pub use error::GraphError;
pub(super) use relocate::relocate;

use super::{Declared, HostCache, declared};
use crate::onnx::{Bytes, Message as _, ModelProto, StringStringEntryProto};
use memmap2::Mmap;
use pleach_model::files::{self, Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::{Path, PathBuf},
};

/// The largest graph file: protobuf messages end there.
const LARGEST: u64 = 1 << 31;
/// Graph files up to here are read into memory. Those beyond hold their weights, and are mapped.
const LARGEST_READ: u64 = 16 << 20;

/// Operators without which there are no 8-bit convolutions: ONNX Runtime makes them of what stands between these.
const QUANTISED: [&str; 2] = ["DequantizeLinear", "QLinearConv"];

/// What a manifest says about a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The graph file.
    pub graph: Digest,
    /// The files beside it that hold its weights: names and contents.
    pub weights: Vec<(String, Digest)>,
}

impl Listed {
    /// The bytes that the graph `file` of the bundle in `root` takes, weights included. The graph must be what the manifest says, its weights
    /// must be there and as long; they are not read.
    ///
    /// # Errors
    /// [`GraphError`].
    pub fn measure(&self, root: &Path, file: &str, cache: &HostCache) -> Result<u64, GraphError> {
        let weights = self.weights.iter().map(|(name, expected)| (sibling(file, name), expected.bytes));
        for (file, expected) in [(file.to_owned(), self.graph.bytes)].into_iter().chain(weights) {
            let found = size(&files::resolve_inside(root, &file)?)?;
            if found != expected {
                return Err(GraphError::Size { file, found, expected });
            }
        }
        let graph = GraphFile::examine(root, file, Some(self), cache)?;
        Ok(graph.bytes() + graph.weight_bytes())
    }
}

/// A graph that was read, checked, and can be opened.
#[derive(Clone, Debug)]
pub struct GraphFile {
    name: String,
    bytes: Bytes,
    sha256: Sha256,
    weights: Vec<Weights>,
    facts: Facts,
    is_quantised: bool,
}

/// A file that holds weights of a graph.
#[derive(Clone, Debug)]
struct Weights {
    /// Its name in the graph.
    location: String,
    /// The regular file that the name stands for.
    path: PathBuf,
    /// Its size.
    bytes: u64,
    /// Bytes of it that the graph takes.
    taken: u64,
}

/// What a graph says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Version of the standard operators.
    pub opset: i64,
    /// Inputs that a caller gives.
    pub inputs: Vec<Declared>,
    /// Outputs.
    pub outputs: Vec<Declared>,
    /// Number of nodes of the main graph.
    pub nodes: usize,
    /// The program that wrote it, and its version.
    pub producer: String,
    /// Texts that the exporter added.
    pub metadata: BTreeMap<String, String>,
}

impl GraphFile {
    /// Reads and checks the graph `file` (a path inside the bundle, as `unet/model.onnx`) of the bundle in the folder `root`.
    ///
    /// With `listed`, size and hash of the graph and of its weights must be the manifest's. The hash of a large file is
    /// remembered in `cache`, see [`HostCache::digest`]. Without it, as for a pipeline that another program exported, the
    /// structural checks stand alone.
    ///
    /// # Errors
    /// [`GraphError`].
    pub fn open(root: &Path, file: &str, listed: Option<&Listed>, cache: &HostCache) -> Result<Self, GraphError> {
        let graph = Self::examine(root, file, listed, cache)?;
        check_weights(file, &graph.weights, listed, cache)?;
        Ok(graph)
    }

    /// All of [`open`](Self::open) but reading the weights.
    fn examine(root: &Path, file: &str, listed: Option<&Listed>, cache: &HostCache) -> Result<Self, GraphError> {
        let path = files::resolve_inside(root, file)?;
        let (bytes, sha256) = read(file, &path, cache)?;
        if let Some(listed) = listed {
            check_digest(file, Digest { bytes: bytes.len() as u64, sha256 }, listed.graph)?;
        }
        let model = decode(file, &bytes)?;
        let findings = check::check(file, &model)?;
        let weights =
            findings.locations.into_iter().map(|(location, found)| Weights::open(root, file, location, found));
        let weights = weights.collect::<Result<Vec<_>, _>>()?;
        check_folder(file, &weights)?;
        let is_quantised =
            model.graph.iter().flat_map(|graph| &graph.node).any(|node| QUANTISED.contains(&&*node.op_type));
        let facts = Facts::read(file, model, findings.opset)?;
        Ok(Self { name: file.to_owned(), bytes, sha256, weights, facts, is_quantised })
    }

    /// The file as its bundle names it: `unet/model.onnx`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the graph says about itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Bytes of the graph file.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes of its tensors that lie in the files beside it, those that lie in the same place once; 0 where the graph holds its weights itself.
    /// The files may be longer: several graphs may share them, and each take a part.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.iter().fold(0, |sum, weights| sum.saturating_add(weights.taken))
    }

    /// The weight files beside it as the graph names them, with their sizes.
    pub fn weights(&self) -> impl Iterator<Item = (&str, u64)> {
        self.weights.iter().map(|weights| (weights.location.as_str(), weights.bytes))
    }

    /// The weight files beside it, with links resolved.
    pub fn weight_files(&self) -> impl Iterator<Item = &Path> {
        self.weights.iter().map(|weights| weights.path.as_path())
    }

    /// What ONNX Runtime is to open: the bytes that were read and checked, and the folder of the files that they name.
    ///
    /// The names are those of the files themselves: where the bundle holds links, the bytes differ from the graph file in it.
    pub(crate) fn contents(&self) -> Result<(Bytes, Option<&Path>), GraphError> {
        let Some(first) = self.weights.first() else { return Ok((self.bytes.clone(), None)) };
        let links = self.weights.iter().filter_map(|weights| {
            let name = weights.path.file_name()?.to_str()?;
            (name != weights.location).then_some((weights.location.as_str(), name))
        });
        let links: HashMap<&str, &str> = links.collect();
        let bytes = if links.is_empty() {
            self.bytes.clone()
        } else {
            // In a Hugging Face cache `model.onnx_data` is a link to `blobs/HASH`, and ONNX Runtime refuses links that leave the folder.
            let rename = &mut |entry: &mut StringStringEntryProto| {
                if let Some(&name) = links.get(entry.value.as_str()).filter(|_| entry.key == "location") {
                    name.clone_into(&mut entry.value);
                }
                Ok(())
            };
            relocate(&self.bytes, rename).map_err(|source| GraphError::Decode { file: self.name.clone(), source })?
        };
        Ok((bytes, first.path.parent()))
    }

    pub(super) fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Whether it may have 8-bit convolutions.
    pub(super) fn is_quantised(&self) -> bool {
        self.is_quantised
    }
}

impl Weights {
    fn open(root: &Path, graph: &str, location: String, found: check::Location) -> Result<Self, GraphError> {
        let path = files::resolve_inside(root, &sibling(graph, &location))?;
        let bytes = size(&path)?;
        let taken = found.taken();
        let check::Location { end, tensor, .. } = found;
        if end > bytes {
            let problem = format!("ends at byte {end} of {location:?}, which has {bytes}");
            return Err(GraphError::External { graph: graph.to_owned(), tensor, problem });
        }
        Ok(Self { location, path, bytes, taken })
    }
}

impl Facts {
    fn read(file: &str, model: ModelProto, opset: i64) -> Result<Self, GraphError> {
        let graph = model.graph.unwrap_or_default();
        let (inputs, outputs) = declared::read(&graph).map_err(|value| GraphError::Model {
            file: file.to_owned(),
            problem: format!("declares {value}: only tensors of f32, f16, bf16, i64 and i32 are given and taken"),
        })?;
        Ok(Self {
            opset,
            inputs,
            outputs,
            nodes: graph.node.len(),
            producer: [model.producer_name, model.producer_version].join(" ").trim().to_owned(),
            metadata: model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        })
    }
}

/// The path of the file `name` beside `graph`, both inside the bundle.
fn sibling(graph: &str, name: &str) -> String {
    graph.rsplit_once('/').map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
}

fn size(path: &Path) -> Result<u64, GraphError> {
    let metadata = path.metadata().map_err(|source| files::Error::Read { path: path.to_owned(), source })?;
    Ok(metadata.len())
}

/// The graph's bytes and their hash.
fn read(file: &str, path: &Path, cache: &HostCache) -> Result<(Bytes, Sha256), GraphError> {
    let bytes = size(path)?;
    if bytes <= LARGEST_READ {
        let bytes = files::read_bounded(path, LARGEST_READ)?;
        refuse_pickle(file, &bytes)?;
        let sha256 = Sha256::of(&bytes);
        return Ok((bytes.into(), sha256));
    }
    if bytes > LARGEST {
        return Err(files::Error::TooLarge { path: path.to_owned(), bytes, limit: LARGEST }.into());
    }
    let mapped = map(path)?;
    refuse_pickle(file, &mapped)?;
    Ok((Bytes::from_owner(mapped), cache.digest(path)?.sha256))
}

/// Maps a file of a bundle into memory.
pub(super) fn map(path: &Path) -> Result<Mmap, files::Error> {
    // SAFETY: as everywhere where models are mapped, nobody may write to the file in the meantime. The bytes are read as plain
    // numbers, so what a writer could achieve is wrong results, or the end of the process where the file is cut short.
    File::open(path)
        .and_then(|file| unsafe { Mmap::map(&file) })
        .map_err(|source| files::Error::Read { path: path.to_owned(), source })
}

fn refuse_pickle(file: &str, bytes: &[u8]) -> Result<(), GraphError> {
    // A zip archive is what torch.save writes; older files are bare pickles of protocol 2 or later. No ONNX file begins so.
    if bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..]) {
        return Err(GraphError::Pickle { file: file.to_owned() });
    }
    Ok(())
}

fn decode(file: &str, bytes: &Bytes) -> Result<ModelProto, GraphError> {
    ModelProto::decode(bytes.clone()).map_err(|source| GraphError::Decode { file: file.to_owned(), source })
}

fn check_digest(file: &str, found: Digest, expected: Digest) -> Result<(), GraphError> {
    let file = file.to_owned();
    if found.bytes != expected.bytes {
        return Err(GraphError::Size { file, found: found.bytes, expected: expected.bytes });
    }
    if found.sha256 != expected.sha256 {
        return Err(GraphError::Hash { file, found: found.sha256, expected: expected.sha256 });
    }
    Ok(())
}

/// ONNX Runtime looks for all of them in one folder.
fn check_folder(graph: &str, weights: &[Weights]) -> Result<(), GraphError> {
    let mut folders = weights.iter().map(|weights| weights.path.parent());
    let first = folders.next();
    if folders.all(|folder| Some(folder) == first) {
        return Ok(());
    }
    let problem = "takes its weights from files that links lead to in several folders: one folder is read".into();
    Err(GraphError::Model { file: graph.to_owned(), problem })
}

fn check_weights(
    graph: &str,
    weights: &[Weights],
    listed: Option<&Listed>,
    cache: &HostCache,
) -> Result<(), GraphError> {
    let Some(listed) = listed else { return Ok(()) };
    let graph_name = || graph.to_owned();
    // Sizes are known at once, hashes may take a while.
    let mut compared = Vec::new();
    for weights in weights {
        let expected = listed.weights.iter().find(|(name, _)| *name == weights.location);
        let Some((name, expected)) = expected else {
            return Err(GraphError::Unlisted { graph: graph_name(), file: weights.location.clone() });
        };
        let file = sibling(graph, name);
        if weights.bytes != expected.bytes {
            return Err(GraphError::Size { file, found: weights.bytes, expected: expected.bytes });
        }
        compared.push((file, weights, *expected));
    }
    let used = |name: &str| weights.iter().any(|weights| weights.location == name);
    if let Some((file, _)) = listed.weights.iter().find(|(name, _)| !used(name)) {
        return Err(GraphError::Unused { graph: graph_name(), file: file.clone() });
    }
    compared
        .iter()
        .try_for_each(|(file, weights, expected)| check_digest(file, cache.digest(&weights.path)?, *expected))
}
