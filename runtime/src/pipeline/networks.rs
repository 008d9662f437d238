//! The three networks, opened when they are needed and closed when memory asks for it.

use super::{Component, Event, Observer, Options, Result, memory::Footprint};
use crate::{
    bundle::Bundle,
    engine::{Engine, GraphFile, Network, NetworkOptions},
};
use pleach_model::manifest::Flavour;

#[derive(Debug)]
pub(super) struct Networks {
    engine: Engine,
    options: NetworkOptions,
    /// In the order of [`Component::ALL`].
    slots: [Slot; 3],
}

#[derive(Debug)]
struct Slot {
    graph: GraphFile,
    flavour: Flavour,
    network: Option<Network>,
}

impl Networks {
    /// Checks the graphs and their weights. Nothing is opened.
    pub fn check(engine: &Engine, bundle: &Bundle, options: &Options) -> Result<Self> {
        let slot = |component| -> Result<Slot> {
            let entry = bundle.graph(component, options.expert.as_deref())?;
            let graph = GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &options.cache)
                .map_err(crate::engine::Error::from)?;
            Ok(Slot { graph, flavour: entry.flavour, network: None })
        };
        let [text_encoder, unet, vae_decoder] = Component::ALL.map(slot);
        let slots = [text_encoder?, unet?, vae_decoder?];
        let options = NetworkOptions { cache: options.cache.clone(), ..NetworkOptions::default() };
        Ok(Self { engine: engine.clone(), options, slots })
    }

    /// What each network takes once it is open. The CPU computes in f32, whatever the weights are stored in.
    pub fn footprints(&self) -> [Footprint; 3] {
        self.slots.each_ref().map(|slot| {
            let stored = slot.graph.bytes() + slot.graph.weight_bytes();
            let is_half = slot.graph.facts().outputs.iter().any(|output| output.dtype.size() == 2);
            Footprint {
                // both, as long as it is being opened
                weights: if is_half { 3 * stored } else { stored },
                fused_attention: slot.flavour == Flavour::Cpu,
            }
        })
    }

    /// The network, opened now if it is not open; the others are closed first if only one may be open.
    pub fn get(&mut self, component: Component, alone: bool, observer: &mut dyn Observer) -> Result<&mut Network> {
        if alone {
            self.slots
                .iter_mut()
                .zip(Component::ALL)
                .filter(|(_, other)| *other != component)
                .for_each(|(slot, _)| slot.network = None);
        }
        let slot = &mut self.slots[component as usize];
        let network = match slot.network.take() {
            Some(network) => network,
            None => {
                observer.event(Event::Opening(component));
                self.engine.open(&slot.graph, &self.options)?
            }
        };
        Ok(slot.network.insert(network))
    }
}
