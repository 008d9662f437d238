//! Which expert draws a prompt: the bundle's router, asked.

use super::{Component, Error, Result};
use crate::{
    bundle::Bundle,
    engine::{self, Engine, GraphFile, Network, NetworkOptions, Tensor, TensorRef},
};
use pleach_model::{router::Route, sentence::SentenceConfig, tokenizer::Tokenizer};
use std::collections::HashMap;

/// The router of a bundle. It is opened when it is first asked, and a prompt that was routed is remembered.
#[derive(Debug)]
pub struct Router {
    graph: GraphFile,
    network: Option<Network>,
    tokenizer: Tokenizer,
    experts: Vec<String>,
    engine: Engine,
    options: NetworkOptions,
    known: HashMap<String, Route>,
}

impl Router {
    /// Checks the router of a bundle; none where it has none.
    ///
    /// # Errors
    /// A graph, a tokenizer or a configuration that is missing, damaged or not what the manifest says.
    pub fn open(bundle: &Bundle, engine: &Engine, options: &NetworkOptions) -> Result<Option<Self>> {
        let Some(manifest) = bundle.manifest().filter(|manifest| manifest.components.router.is_some()) else {
            return Ok(None);
        };
        let entry = bundle.graph_of(Component::Router, None, options.providers.flavours())?;
        let graph = GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &options.cache)
            .map_err(engine::Error::from)?;
        let folder = bundle.folder().join(Component::Router.folder());
        let config = pleach_model::pipeline::Network::open(&folder).map_err(crate::bundle::Error::from)?.config;
        let config = SentenceConfig::from_json(&config)?;
        Ok(Some(Self {
            graph,
            network: None,
            tokenizer: Tokenizer::sentence(&folder.join("tokenizer.json"), config.max_tokens())?,
            experts: manifest.components.unet.iter().map(|expert| expert.name.clone()).collect(),
            engine: engine.clone(),
            options: options.clone(),
            known: HashMap::new(),
        }))
    }

    /// Names of the experts, in the order of the scores.
    pub fn experts(&self) -> &[String] {
        &self.experts
    }

    /// Bytes of its graph and weights.
    pub(super) fn bytes(&self) -> u64 {
        self.graph.bytes() + self.graph.weight_bytes()
    }

    /// Where a prompt goes. What is too long for the sentence encoder is cut, as when the router was learnt.
    ///
    /// # Errors
    /// What ONNX Runtime or the tokenizer says; a graph that gives something else than a router does.
    pub fn route(&mut self, prompt: &str) -> Result<Route> {
        if let Some(route) = self.known.get(prompt) {
            return Ok(route.clone());
        }
        let network = match &mut self.network {
            Some(network) => network,
            closed => closed.insert(self.engine.open(&self.graph, &self.options)?),
        };
        let tokens = self.tokenizer.encode(prompt)?;
        // One prompt at a time: its scores must not depend on the length of others.
        let ids: Vec<i64> = tokens.ids.iter().copied().map(i64::from).collect();
        let (shape, mask) = ([1, ids.len()], vec![1_i64; ids.len()]);
        let outputs = network
            .run(&[("input_ids", TensorRef::new(&shape, &ids)?), ("attention_mask", TensorRef::new(&shape, &mask)?)])?;
        let route = read(network, &outputs, self.experts.len())?;
        self.known.insert(prompt.to_owned(), route.clone());
        Ok(route)
    }

    /// Closes the network; it is opened again when a prompt is not known yet.
    pub(super) fn close(&mut self) {
        self.network = None;
    }
}

/// The outputs of one prompt.
fn read(network: &Network, outputs: &[Tensor], experts: usize) -> Result<Route> {
    let wrong = |found: String| Error::Output {
        graph: network.name().to_owned(),
        found,
        expected: format!("the number of one of {experts} experts, as many scores, and a margin"),
    };
    let output = |name: &str| {
        let position = network.outputs().iter().position(|output| output.name == name);
        let tensor = position.and_then(|position| outputs.get(position));
        Ok::<_, Error>(tensor.ok_or_else(|| wrong(format!("no {name:?}")))?.view().to_f32().into_owned())
    };
    let (expert, scores, margin) = (output("expert")?, output("scores")?, output("margin")?);
    match (expert.as_slice(), margin.as_slice()) {
        (&[expert], &[margin]) if scores.len() == experts && (0.0..experts as f32).contains(&expert) => {
            Ok(Route { expert: expert as usize, margin, scores })
        }
        _ => Err(wrong(format!("{expert:?}, {scores:?} and {margin:?}"))),
    }
}
