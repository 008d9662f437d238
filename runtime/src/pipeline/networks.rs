//! The networks of a pipeline, opened when they are needed and closed when memory asks for it.

use super::{
    Component, Event, Observer, Options, Result,
    memory::{Footprint, Needs},
    routing::Router,
    shapes::Shapes,
};
use crate::{
    bundle::{Bundle, GraphEntry},
    engine::{Engine, GraphFile, Network, NetworkOptions},
};
use pleach_model::manifest::{Flavour, Precision};
use std::path::PathBuf;

#[derive(Debug)]
pub(super) struct Networks {
    opening: Opening,
    text_encoder: Slot,
    vae_decoder: Slot,
    /// In the order of the bundle; one where the caller has chosen it.
    experts: Vec<Slot>,
    /// Numbers of the experts that are open, the one that was used last at the end.
    recent: Vec<usize>,
    /// None where the caller has chosen the expert, or the bundle has no router.
    router: Option<Router>,
}

#[derive(Debug)]
struct Slot {
    /// Name of the expert.
    name: Option<String>,
    is_one_of_several: bool,
    entry: GraphEntry,
    /// Checked when it is first needed: the weights of an expert that draws nothing need not be hashed.
    graph: Option<GraphFile>,
    /// Of the graph and of the weights that it takes, wherever they lie. Experts that share weights have them once on disk, but ONNX
    /// Runtime makes every network a copy in its kernels' layouts, so each counts its own.
    bytes: u64,
    network: Option<Network>,
}

/// What a network is opened with.
#[derive(Debug)]
struct Opening {
    engine: Engine,
    folder: PathBuf,
    options: NetworkOptions,
    /// What networks that are open, or that are opened next, are run on.
    shapes: Option<Shapes>,
}

impl Networks {
    /// Checks the graphs and their weights; of several experts only that their weights are there. Nothing is opened.
    pub fn check(engine: &Engine, bundle: &Bundle, options: &Options) -> Result<Self> {
        let on_cpu = NetworkOptions { cache: options.cache.clone(), ..NetworkOptions::default() };
        let network = NetworkOptions { providers: engine.check(&options.providers)?, ..on_cpu.clone() };
        let router = match options.expert {
            None => Router::open(bundle, engine, &on_cpu)?,
            Some(_) => None,
        };
        let slot = |component, expert: Option<&str>| {
            let entry = bundle.graph_of(component, expert, network.providers.flavours())?;
            Slot::check(bundle, entry, expert.map(str::to_owned), expert.is_some() && router.is_some(), &network)
        };
        let experts = match &router {
            Some(router) => {
                router.experts().iter().map(|name| slot(Component::Unet, Some(name))).collect::<Result<_>>()?
            }
            None => {
                let name = options.expert.as_deref().or_else(|| bundle.experts().first().copied());
                vec![slot(Component::Unet, name)?]
            }
        };
        let [text_encoder, vae_decoder] =
            [Component::TextEncoder, Component::VaeDecoder].map(|component| slot(component, None));
        Ok(Self {
            opening: Opening {
                engine: engine.clone(),
                folder: bundle.folder().to_owned(),
                options: network,
                shapes: None,
            },
            text_encoder: text_encoder?,
            vae_decoder: vae_decoder?,
            experts,
            recent: Vec::new(),
            router,
        })
    }

    /// Gets ready for tensors of these shapes. Networks that were compiled for others are closed.
    ///
    /// # Errors
    /// [`Error::FixedSize`](super::Error::FixedSize) where a graph takes no such tensors.
    pub fn prepare(&mut self, shapes: Shapes) -> Result<()> {
        let drawing = [(Component::TextEncoder, &self.text_encoder), (Component::VaeDecoder, &self.vae_decoder)];
        let experts = self.experts.iter().map(|slot| (Component::Unet, slot));
        for (component, slot) in drawing.into_iter().chain(experts) {
            slot.graph.as_ref().map_or(Ok(()), |graph| shapes.check(component, graph))?;
        }
        if self.opening.options.providers.want_fixed_sizes()
            && self.opening.shapes.as_ref().is_some_and(|before| *before != shapes)
        {
            self.close_all_but(Component::Router, None);
        }
        self.opening.shapes = Some(shapes);
        Ok(())
    }

    /// The providers in their order, where they are not the CPU alone.
    pub fn provider_names(&self) -> Vec<String> {
        let providers = &self.opening.options.providers;
        let names = providers.list().iter().map(|provider| provider.kind().to_string());
        names.filter(|_| !providers.is_cpu()).collect()
    }

    /// Name of an expert; none for a plain pipeline.
    pub fn expert_name(&self, expert: usize) -> Option<&str> {
        self.experts.get(expert)?.name.as_deref()
    }

    /// What the networks take once they are open.
    pub fn needs<'b>(&self, bundle: &'b Bundle) -> Needs<'b> {
        let router = Footprint { weights: self.router.as_ref().map_or(0, Router::bytes), fused_attention: false };
        Needs {
            bundle,
            router,
            text_encoder: self.text_encoder.footprint(),
            vae_decoder: self.vae_decoder.footprint(),
            experts: self.experts.iter().map(Slot::footprint).collect(),
        }
    }

    /// The text encoder, opened now if it is not open; everything else is closed first if only one network may be open.
    pub fn text_encoder(&mut self, alone: bool, observer: &mut dyn Observer) -> Result<&mut Network> {
        if alone {
            self.close_all_but(Component::TextEncoder, None);
        }
        self.text_encoder.open(Component::TextEncoder, &self.opening, observer)
    }

    /// The decoder, as [`text_encoder`](Self::text_encoder).
    pub fn vae_decoder(&mut self, alone: bool, observer: &mut dyn Observer) -> Result<&mut Network> {
        if alone {
            self.close_all_but(Component::VaeDecoder, None);
        }
        self.vae_decoder.open(Component::VaeDecoder, &self.opening, observer)
    }

    /// The router, where prompts are routed.
    pub fn router(&mut self, alone: bool) -> Option<&mut Router> {
        if alone && self.router.is_some() {
            self.close_all_but(Component::Router, None);
        }
        self.router.as_mut()
    }

    /// An expert, opened now if it is not open. At most `resident` experts are open at one time: those used last.
    pub fn expert(
        &mut self,
        expert: usize,
        resident: usize,
        alone: bool,
        observer: &mut dyn Observer,
    ) -> Result<&mut Network> {
        if alone {
            self.close_all_but(Component::Unet, Some(expert));
        }
        self.recent.retain(|other| *other != expert);
        while self.recent.len() >= resident.max(1) {
            let oldest = self.recent.remove(0);
            if let Some(slot) = self.experts.get_mut(oldest) {
                slot.network = None;
            }
        }
        self.recent.push(expert);
        // A router names one of the experts, see its outputs' check.
        let last = self.experts.len().saturating_sub(1);
        self.experts[expert.min(last)].open(Component::Unet, &self.opening, observer)
    }

    fn close_all_but(&mut self, component: Component, expert: Option<usize>) {
        if component != Component::Router
            && let Some(router) = &mut self.router
        {
            router.close();
        }
        if component != Component::TextEncoder {
            self.text_encoder.network = None;
        }
        if component != Component::VaeDecoder {
            self.vae_decoder.network = None;
        }
        for (i, slot) in self.experts.iter_mut().enumerate() {
            if Some(i) != expert {
                slot.network = None;
            }
        }
        self.recent.retain(|other| Some(*other) == expert);
    }
}

impl Slot {
    fn check(
        bundle: &Bundle,
        entry: GraphEntry,
        name: Option<String>,
        is_one_of_several: bool,
        options: &NetworkOptions,
    ) -> Result<Self> {
        if let Some(listed) = entry.listed.as_ref().filter(|_| is_one_of_several) {
            let bytes = listed.measure(bundle.folder(), &entry.file, &options.cache);
            let bytes = bytes.map_err(crate::engine::Error::from)?;
            return Ok(Self { name, is_one_of_several, entry, graph: None, bytes, network: None });
        }
        let graph = GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &options.cache)
            .map_err(crate::engine::Error::from)?;
        let bytes = graph.bytes() + graph.weight_bytes();
        Ok(Self { name, is_one_of_several, entry, graph: Some(graph), bytes, network: None })
    }

    /// The CPU computes in f32 where weights are stored in halves.
    fn footprint(&self) -> Footprint {
        let is_half = matches!(self.entry.precision, Some(Precision::F16 | Precision::Bf16));
        Footprint {
            // both, as long as it is being opened
            weights: if is_half { 3 * self.bytes } else { self.bytes },
            fused_attention: self.entry.flavour == Flavour::Cpu,
        }
    }

    fn open(&mut self, component: Component, opening: &Opening, observer: &mut dyn Observer) -> Result<&mut Network> {
        let network = match self.network.take() {
            Some(network) => network,
            None => {
                observer.event(Event::Opening {
                    component,
                    expert: self.name.as_deref().filter(|_| self.is_one_of_several),
                });
                let Opening { engine, folder, options, shapes } = opening;
                let graph = match &mut self.graph {
                    Some(graph) => graph,
                    unchecked => unchecked.insert(
                        GraphFile::open(folder, &self.entry.file, self.entry.listed.as_ref(), &options.cache)
                            .map_err(crate::engine::Error::from)?,
                    ),
                };
                let mut options = options.clone();
                if let Some(shapes) = shapes {
                    shapes.check(component, graph)?;
                    if options.providers.want_fixed_sizes() {
                        options.dimensions = shapes.dimensions(component, graph);
                    }
                }
                engine.open(graph, &options)?
            }
        };
        Ok(self.network.insert(network))
    }
}
