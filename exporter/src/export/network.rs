//! One network written: its graphs and their data file.

use crate::{
    error::Result,
    graph::Graph,
    lower::{About, Layout, Place, Target, Weight, fill_inline, lower},
    network::Network,
    quantize::Scheme,
    watch::Watch,
    weights::{self, Written},
};
use pleach_model::{
    checkpoint::Bound,
    counter::At,
    files::{self, Sha256},
    manifest::{self, Component, FileEntry, Precision},
    shape::Fact,
};
use pleach_runtime::onnx::Message;
use std::{collections::HashMap, fs, path::Path};

/// A network that is recorded and laid out, and can be written.
#[derive(Clone, Debug)]
pub struct Plan {
    network: Network,
    precision: Precision,
    latents: Option<[usize; 2]>,
    graph: Graph,
    layout: Layout,
    scheme: Scheme,
}

/// What the caller knows about a network.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Sizes that multiply-accumulates are counted at.
    pub counted_at: At,
    /// Hashes of the files that the weights came from.
    pub sources: Vec<Sha256>,
    /// More to be said in the graphs' metadata, in order.
    pub metadata: Vec<(String, String)>,
    /// The data files of others that are written already.
    pub data_files: &'a [FileEntry],
}

impl Plan {
    /// Records a network whose weights are in `precision`. Of whole numbers it takes the scheme that needs no calibration.
    ///
    /// # Errors
    /// See [`Network::record`].
    pub fn new(network: Network, precision: Precision) -> Result<Self> {
        Self::at(network, precision, None)
    }

    /// The same for one picture with latents of this height and width alone, where they are given.
    ///
    /// # Errors
    /// See [`Network::record_at`].
    pub fn at(network: Network, precision: Precision, latents: Option<[usize; 2]>) -> Result<Self> {
        let graph = network.record_at(precision.dtype(), latents)?;
        let scheme = match (precision, &network) {
            (Precision::Int8 | Precision::Int4, Network::VaeDecoder(_) | Network::VaeEncoder(_)) => {
                Scheme::weights(&graph)
            }
            (Precision::Int8 | Precision::Int4, _) => Scheme::uncalibrated(&graph),
            _ => Scheme::default(),
        };
        let layout = Layout::quantized(&graph, &[&scheme]);
        Ok(Self { network, precision, latents, graph, layout, scheme })
    }

    /// The same in another scheme.
    #[must_use]
    pub fn with_scheme(self, scheme: Scheme) -> Self {
        Self { layout: Layout::quantized(&self.graph, &[&scheme]), scheme, ..self }
    }

    /// Height and width of the latents that it is for; none for any.
    pub fn latents(&self) -> Option<[usize; 2]> {
        self.latents
    }

    /// The recorded network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Bytes of the data file.
    pub fn bytes(&self) -> u64 {
        self.layout.bytes
    }

    /// Takes from the data files of others in the same folder the weights that are the same to the last bit: of each of them its plan, the
    /// name that its files have, and its tensors.
    ///
    /// # Errors
    /// A tensor that cannot be read.
    pub fn share(&mut self, tensors: &Bound, others: &[(&Self, &str, &Bound)]) -> Result<()> {
        let mut found = HashMap::new();
        for weight in &self.layout.weights {
            for (other, name, theirs) in others {
                let same = |there: &&Weight| there.kind() == weight.kind();
                let Some(there) = other.layout.weights.iter().find(same) else { continue };
                if let Place::Data { offset } = there.place
                    && weights::are_equal((&self.graph, weight, tensors), (&other.graph, there, theirs))?
                {
                    found.insert(weight.name.clone(), (data_file(name), offset));
                    break;
                }
            }
        }
        self.layout.share(|weight| found.get(&weight.name).cloned());
        Ok(())
    }

    /// Writes the data file `NAME.onnx_data` into the network's folder below `root`, which is made.
    ///
    /// # Errors
    /// See [`weights::write`].
    pub fn write_weights(&self, name: &str, tensors: &Bound, root: &Path, watch: &dyn Watch) -> Result<Written> {
        let path = root.join(self.network.file(&data_file(name)));
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder).map_err(|source| files::Error::Folder { folder: folder.to_owned(), source })?;
        weights::write(&self.graph, &self.layout, tensors, &path, watch)
    }

    /// Writes the graphs `NAME.onnx`, `NAME.cpu.onnx`, `NAME.cuda.onnx` beside the data file and tells what the component is.
    ///
    /// # Errors
    /// See [`lower`]; files that cannot be written.
    pub fn write_graphs(&self, name: &str, context: &Context<'_>, written: &Written, root: &Path) -> Result<Component> {
        let Self { network, precision, graph, layout, scheme, .. } = self;
        let write = |target: &Target| {
            let metadata = self.metadata(context, target);
            let about = About { name: network.class(), data_file: &data_file(name), metadata: &metadata };
            let mut model = lower(graph, layout, target, scheme, about)?;
            fill_inline(&mut model, &written.inline);
            let contents = model.encode_to_vec();
            let file = network.file(&format!("{name}{}.onnx", target.suffix()));
            files::write(&root.join(&file), &contents)?;
            let (bytes, sha256) = (contents.len() as u64, Sha256::of(&contents));
            Ok(manifest::Graph { file, flavour: target.flavour, sha256, bytes })
        };
        let graphs = network.targets(*precision).iter().map(write).collect::<Result<_>>()?;
        let report = network.count(context.counted_at)?;
        let shared = layout.shared_files().into_iter().map(|name| network.file(name));
        let shared = shared.filter_map(|file| context.data_files.iter().find(|entry| entry.file == file).cloned());
        let own = written.data.map(|digest| FileEntry::new(network.file(&data_file(name)), digest));
        Ok(Component {
            graphs,
            weights: own.into_iter().chain(shared).collect(),
            precision: *precision,
            parameters: report.parameters(),
            macs: report.macs(),
            inputs: graph.named_inputs().map(|(name, fact)| port(name, fact)).collect(),
            outputs: graph.outputs.iter().map(|output| port(&output.name, graph.fact(output.value))).collect(),
        })
    }

    /// What a graph says about itself, in the order in which it is written.
    fn metadata(&self, context: &Context<'_>, target: &Target) -> Vec<(String, String)> {
        let hashes = context.sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let own = [
            ("pleach.component", self.network.component().to_owned()),
            ("pleach.network", self.network.class().to_owned()),
            ("pleach.precision", self.precision.to_string()),
            ("pleach.flavour", target.name().to_owned()),
            ("pleach.source.sha256", hashes),
        ];
        own.map(|(key, value)| (key.to_owned(), value)).into_iter().chain(context.metadata.iter().cloned()).collect()
    }
}

fn data_file(name: &str) -> String {
    format!("{name}.onnx_data")
}

fn port(name: &str, fact: &Fact) -> manifest::Port {
    manifest::Port { name: name.to_owned(), dtype: fact.dtype, dims: fact.shape.iter().map(Into::into).collect() }
}
