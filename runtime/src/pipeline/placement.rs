//! Which provider computes which part of a bundle's networks.

use super::{Component, Result, Shapes, Size};
use crate::{
    bundle::Bundle,
    engine::{self, Engine, GraphFile, HostCache, NetworkOptions, Placement, Providers},
};
use pleach_model::manifest::Flavour;
use serde::Serialize;

/// A network that was opened, and where its nodes went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// `text_encoder`, `unet`, `vae_decoder`.
    pub component: &'static str,
    /// Name of the expert, for the UNets of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
    /// The graph's file.
    pub graph: String,
    /// What it is written for.
    pub flavour: Flavour,
    /// Nodes by provider.
    pub placement: Placement,
}

/// Opens every network that draws, one at a time, and says where its nodes went. Providers that compile are told the sizes of
/// pictures of `size`, or of the size that the bundle was trained for.
///
/// # Errors
/// What keeps a network from being opened.
pub fn placements(bundle: &Bundle, engine: &Engine, providers: &Providers, size: Option<Size>) -> Result<Vec<Placed>> {
    let shapes = Shapes::of_size(bundle, size.unwrap_or_else(|| bundle.default_size()))?;
    let providers = engine.check(providers)?;
    let names = bundle.experts();
    let experts: Vec<_> = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    let place = |component: Component, expert: Option<&str>| -> Result<Placed> {
        let entry = bundle.graph_of(component, expert, providers.flavours())?;
        // A cached graph is not the one whose nodes are counted elsewhere.
        let graph = GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &HostCache::off());
        let graph = graph.map_err(engine::Error::from)?;
        shapes.check(component, &graph)?;
        let mut options = NetworkOptions { providers: providers.clone(), ..NetworkOptions::default() };
        if providers.want_fixed_sizes() {
            options.dimensions = shapes.dimensions(component, &graph);
        }
        Ok(Placed {
            component: component.folder(),
            expert: expert.map(str::to_owned),
            graph: entry.file,
            flavour: entry.flavour,
            placement: engine.open(&graph, &options)?.placement().clone(),
        })
    };
    let mut placed = vec![place(Component::TextEncoder, None)?];
    for expert in experts {
        placed.push(place(Component::Unet, expert)?);
    }
    placed.push(place(Component::VaeDecoder, None)?);
    Ok(placed)
}
