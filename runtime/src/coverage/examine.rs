//! From a bundle to its coverage: the portable graphs, frozen and judged one after the other.

use super::{Coverage, Error, Frozen, NetworkCoverage, Result, Rules, Target, blank::Blank};
use crate::{
    bundle::Bundle,
    engine::{self, Engine, GraphFile, HostCache},
    onnx::{GraphProto, Message as _, ModelProto, ValueInfoProto},
    pipeline::{Component, Size},
};
use pleach_model::manifest::Flavour;
use std::{
    collections::{BTreeMap, HashSet},
    env,
};

/// How much of `bundle` the provider `target` takes for pictures of `size` (the bundle's own by default) and a batch of 1. Its portable
/// graphs are judged, which are what such providers get. The bundle is only read; temporary files take no more room than its graphs.
/// `cache` remembers the hashes of its weights.
///
/// # Errors
/// [`Error`].
pub fn examine(
    bundle: &Bundle,
    target: Target,
    size: Option<Size>,
    engine: &Engine,
    cache: &HostCache,
) -> Result<Coverage> {
    let rules = Rules::of(target)?;
    let size = size.unwrap_or_else(|| bundle.default_size());
    size.check(bundle.size_multiple())?;
    let experts = bundle.experts();
    let unets = match experts.as_slice() {
        [] => vec![(Component::Unet, None)],
        names => names.iter().map(|&name| (Component::Unet, Some(name))).collect(),
    };
    let has_router = bundle.manifest().is_some_and(|manifest| manifest.components.router.is_some());
    let components = [(Component::TextEncoder, None)].into_iter().chain(unets).chain([(Component::VaeDecoder, None)]);
    let components = components.chain(has_router.then_some((Component::Router, None)));
    let networks = components.map(|(component, expert)| {
        let entry = bundle.graph_of(component, expert, &[Flavour::Portable, Flavour::Cpu])?;
        let file =
            GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), cache).map_err(engine::Error::from)?;
        let graph = Frozen::open(&file, &dimensions(bundle, size, &file), engine)?;
        Ok(NetworkCoverage::of(component.folder(), expert, &entry.file, &graph, &rules))
    });
    Ok(Coverage {
        bundle: bundle.name().to_owned(),
        provider: target,
        size,
        networks: networks.collect::<Result<_>>()?,
        rules: rules.version,
        sources: rules.sources,
        warning: rules.warning,
        notes: rules.notes,
    })
}

/// Sizes of the dimensions that the graph's inputs name, for one picture of `size`. What an input is shows in its rank: latents, text
/// embeddings, token ids (of a prompt as long as the text encoder takes), or one number per picture.
fn dimensions(bundle: &Bundle, size: Size, file: &GraphFile) -> BTreeMap<String, usize> {
    let latents = |pixels: u32| pixels as usize / bundle.vae().factor();
    let tokens = bundle.text_encoder().max_position_embeddings;
    let mut sizes = BTreeMap::new();
    for dims in file.facts().inputs.iter().filter_map(|input| input.dims.as_ref()) {
        let known = match dims.len() {
            4 => vec![1, bundle.vae().latent_channels, latents(size.height), latents(size.width)],
            3 => vec![1, tokens, bundle.unet().cross_attention_dim],
            2 => vec![1, tokens],
            _ => vec![1],
        };
        for (dim, size) in dims.iter().zip(known) {
            if let engine::Dim::Named(name) = dim {
                sizes.insert(name.clone(), size);
            }
        }
    }
    sizes
}

impl Frozen {
    /// The graph of `file` as a provider is asked about it, with the named `dimensions` fixed: optimised at ONNX Runtime's basic level,
    /// with the types and shapes that ONNX Runtime infers.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::File`], [`Error::Decode`].
    pub fn open(file: &GraphFile, dimensions: &BTreeMap<String, usize>, engine: &Engine) -> Result<Self> {
        let (bytes, weights) = file.contents().map_err(engine::Error::from)?;
        let folder = temporary()?;
        let decode = |bytes: &[u8]| {
            ModelProto::decode(bytes).map_err(|source| Error::Decode { network: file.name().to_owned(), source })
        };
        let blank = Blank::new(decode(&bytes)?, weights, folder.path())?;
        let bytes = blank.model.encode_to_vec();
        let mut model = decode(&engine.optimised(file.name(), &bytes, folder.path(), dimensions)?)?;
        // ONNX Runtime tells types of inputs and outputs only, so every value becomes an output now; before, that would have kept nodes
        // apart.
        model.graph.iter_mut().for_each(give_everything);
        let inferred = engine.inferred(file.name(), &model.encode_to_vec(), folder.path())?;
        model.graph.iter_mut().for_each(|graph| graph.value_info.extend_from_slice(&inferred));
        let mut graph = Self::read(model);
        blank.restore(&mut graph);
        Ok(graph)
    }
}

/// Declares every value that a node makes as an output.
fn give_everything(graph: &mut GraphProto) {
    let given: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let made = graph.node.iter().flat_map(|node| &node.output);
    let more = made.filter(|name| !name.is_empty() && !given.contains(*name));
    graph.output.extend(more.map(|name| ValueInfoProto { name: name.clone(), ..ValueInfoProto::default() }));
}

/// A folder that goes away with what is in it.
fn temporary() -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("pleach-coverage-")
        .tempdir()
        .map_err(|source| Error::File { path: env::temp_dir(), source })
}
