//! Which files a path stands for, and which files are refused whatever their name.

use super::error::{Error, Result};
use crate::files;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Names of weight files without their endings, as diffusers and transformers write them.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
const SINGLE: &str = ".safetensors";
const INDEX: &str = ".safetensors.index";
/// An index has about 100 bytes per tensor.
const MAX_INDEX: u64 = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Single(PathBuf),
    Index(PathBuf),
}

/// A weight file in a component's folder. The order is the order of preference.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    stem: usize,
    is_index: bool,
    variant: Option<String>,
    name: String,
}

impl Candidate {
    /// `STEM[.VARIANT].safetensors` or `STEM.safetensors.index[.VARIANT].json`.
    fn parse(name: &str) -> Option<Self> {
        let (stem, rest) = STEMS.iter().enumerate().find_map(|(i, stem)| Some((i, name.strip_prefix(stem)?)))?;
        let index = rest.strip_prefix(INDEX).and_then(|rest| rest.strip_suffix(".json"));
        let variant = index.or_else(|| rest.strip_suffix(SINGLE))?;
        let variant = match variant.strip_prefix('.') {
            None if variant.is_empty() => None,
            Some(v) if !v.is_empty() && v.chars().all(|c| c.is_alphanumeric() || c == '_') => Some(v.to_owned()),
            _ => return None,
        };
        Some(Self { stem, is_index: index.is_some(), variant, name: name.to_owned() })
    }
}

/// Finds the weights of a folder, or takes a file for what it is.
pub(super) fn locate(path: &Path, variant: Option<&str>) -> Result<Layout> {
    let failed = |source| files::Error::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        let is_index = path.extension().is_some_and(|extension| extension == "json");
        return Ok(if is_index { Layout::Index(path.to_owned()) } else { Layout::Single(path.to_owned()) });
    }
    let entries: Vec<_> = fs::read_dir(path).and_then(|entries| entries.collect::<Result<_, _>>()).map_err(failed)?;
    let names: Vec<String> = entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    choose(path, &names, variant)
}

fn choose(folder: &Path, names: &[String], variant: Option<&str>) -> Result<Layout> {
    let candidates: BTreeSet<Candidate> = names.iter().filter_map(|name| Candidate::parse(name)).collect();
    let of = |wanted: Option<&str>| candidates.iter().find(|candidate| candidate.variant.as_deref() == wanted);
    let folder = folder.to_owned();
    let variants: BTreeSet<&str> = candidates.iter().filter_map(|candidate| candidate.variant.as_deref()).collect();
    let only = match (&variants.first(), variants.len()) {
        (Some(only), 1) if variant.is_none() => of(Some(only)),
        _ => None,
    };
    let Some(chosen) = of(variant).or(only) else {
        let mut pickles = names.iter().filter(|name| is_pickle_name(Path::new(name)));
        return Err(match (pickles.next(), variant) {
            (Some(pickle), _) if candidates.is_empty() => Error::Pickle { path: folder.join(pickle) },
            _ if candidates.is_empty() => Error::NoWeights { folder },
            (_, Some(variant)) => {
                let available = candidates.into_iter().map(|candidate| candidate.name).collect();
                Error::NoVariant { folder, variant: variant.to_owned(), available }
            }
            (_, None) => Error::SeveralVariants { folder, variants: variants.into_iter().map(str::to_owned).collect() },
        });
    };
    let path = folder.join(&chosen.name);
    Ok(if chosen.is_index { Layout::Index(path) } else { Layout::Single(path) })
}

/// The shards that an index lists, each with its tensors.
pub(super) fn read_index(path: &Path) -> Result<BTreeMap<String, BTreeSet<String>>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }

    let bytes = files::read_bounded(path, MAX_INDEX)?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|source| Error::Index { path: path.to_owned(), source })?;
    let mut shards = BTreeMap::<_, BTreeSet<_>>::new();
    for (name, shard) in index.weight_map {
        if !files::is_plain_name(&shard) {
            return Err(Error::ShardName { path: path.to_owned(), name, shard });
        }
        shards.entry(shard).or_default().insert(name);
    }
    Ok(shards)
}

fn is_pickle_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["bin", "pt", "pth", "ckpt", "pkl", "pickle"].iter().any(|pickle| extension.eq_ignore_ascii_case(pickle))
}

/// Refuses what is not safetensors but often stands in its place: pickles, by name or content, and Git LFS pointers.
pub(super) fn refuse_others(path: &Path, bytes: &[u8]) -> Result<()> {
    // In a safetensors file, the header's opening brace is the ninth byte, and no pickle or zip archive has one there.
    let is_safetensors = bytes.get(8) == Some(&b'{');
    // A zip archive is what torch.save writes; older files are bare pickles of protocol 2 or later.
    let is_pickle = bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..]);
    if is_pickle_name(path) || (is_pickle && !is_safetensors) {
        return Err(Error::Pickle { path: path.to_owned() });
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(Error::LfsPointer { path: path.to_owned() });
    }
    Ok(())
}
