//! What a bundle holds, for people and for programs. No network is opened.

use super::{Bundle, Error, Result};
use crate::{
    engine::{Declared, Dim, GraphFile, HostCache},
    pipeline::Size,
};
use pleach_model::{
    architecture::Architecture,
    counter::{self, At, Macs, Report},
    error::Result as CountResult,
    files::Sha256,
    manifest::{self, Bundle as Manifest, Depth, FileEntry, Flavour, Port, Precision},
    samplers::SamplerKind,
};
use serde::Serialize;

/// What a bundle holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Name of the folder, or the Hugging Face id.
    pub name: String,
    /// SHA-256 of the manifest; none for a pipeline without one.
    pub sha256: Option<Sha256>,
    /// The program that wrote it, and its version.
    pub producer: String,
    /// The sampler that its scheduler's configuration names, where it is one that is known.
    pub sampler: Option<SamplerKind>,
    /// What the UNet predicts, in diffusers' words.
    pub prediction_type: String,
    /// The size that the UNet was trained for.
    pub default_size: Size,
    /// What the sides of a picture must be divisible by.
    pub size_multiple: u32,
    /// Whether the pipeline names a safety checker, which is not run.
    pub safety_checker: bool,
    /// Concepts that the experts were trained not to generate.
    pub suppressed: Vec<String>,
    /// Sizes that multiply-accumulates are counted at.
    pub counted_at: At,
    /// The networks.
    pub networks: Vec<NetworkInspection>,
}

/// What is known of a network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkInspection {
    /// `text_encoder`, `unet`, `vae_decoder`, `vae_encoder`, `router`.
    pub component: &'static str,
    /// Name of the expert, for the UNets of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
    /// Whether this expert draws where nothing chooses another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// The graphs, over the same weights.
    pub graphs: Vec<GraphInspection>,
    /// Files of the weights, which experts may share; none where the graph holds them.
    pub weights: Vec<FileSize>,
    /// Type of the weights; for a pipeline without a manifest, of the outputs.
    pub precision: Precision,
    /// Number of parameters; for a pipeline without a manifest, as its configuration has them.
    pub parameters: u64,
    /// Multiply-accumulates of one pass.
    pub macs: Macs,
    /// What the graphs take.
    pub inputs: Vec<Port>,
    /// What they give.
    pub outputs: Vec<Port>,
}

/// A graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphInspection {
    /// What it is written for.
    pub flavour: Flavour,
    /// Its file.
    #[serde(flatten)]
    pub file: FileSize,
}

/// A file and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// Path inside the bundle.
    pub file: String,
    /// Bytes.
    pub bytes: u64,
}

impl NetworkInspection {
    /// Bytes of the weights and of the largest graph over them: what a device needs of it.
    pub fn bytes(&self) -> u64 {
        let graph = self.graphs.iter().map(|graph| graph.file.bytes).max().unwrap_or(0);
        graph + self.weights.iter().map(|weights| weights.bytes).sum::<u64>()
    }
}

impl Bundle {
    /// What it holds. Files are looked for, and their sizes compared with the manifest, but they are not hashed.
    pub fn inspect(&self) -> Result<Inspection> {
        let (producer, suppressed, counted_at, networks) = match &self.manifest {
            Some(manifest) => {
                let producer = format!("{} {}", manifest.producer.name, manifest.producer.version);
                (producer, manifest.suppressed.clone(), manifest.counted_at, self.listed(manifest)?)
            }
            None => {
                let (producer, networks) = self.found()?;
                (producer, Vec::new(), self.trained_at(), networks)
            }
        };
        Ok(Inspection {
            name: self.name.clone(),
            sha256: self.manifest_sha256,
            producer,
            sampler: SamplerKind::from_config(self.schedule.config()).ok(),
            prediction_type: self.schedule.config().prediction_type.clone().unwrap_or_else(|| "epsilon".to_owned()),
            default_size: self.default_size(),
            size_multiple: self.size_multiple(),
            safety_checker: self.safety_checker,
            suppressed,
            counted_at,
            networks,
        })
    }

    /// The networks that the manifest lists.
    fn listed(&self, manifest: &Manifest) -> Result<Vec<NetworkInspection>> {
        let networks = &manifest.components;
        let mut all = vec![self.network("text_encoder", &networks.text_encoder)?];
        for expert in &networks.unet {
            let network = self.network("unet", &expert.component)?;
            all.push(NetworkInspection { expert: Some(expert.name.clone()), default: Some(expert.default), ..network });
        }
        all.push(self.network("vae_decoder", &networks.vae_decoder)?);
        for (name, component) in [("vae_encoder", &networks.vae_encoder), ("router", &networks.router)] {
            all.extend(component.as_ref().map(|component| self.network(name, component)).transpose()?);
        }
        Ok(all)
    }

    fn network(&self, component: &'static str, network: &manifest::Component) -> Result<NetworkInspection> {
        let file = |entry: &FileEntry| -> Result<FileSize> {
            entry.check(&self.folder, Depth::Size)?;
            Ok(FileSize { file: entry.file.clone(), bytes: entry.bytes })
        };
        let graph = |graph: &manifest::Graph| -> Result<GraphInspection> {
            Ok(GraphInspection { flavour: graph.flavour, file: file(&graph.entry())? })
        };
        Ok(NetworkInspection {
            component,
            expert: None,
            default: None,
            graphs: network.graphs.iter().map(graph).collect::<Result<_>>()?,
            weights: network.weights.iter().map(file).collect::<Result<_>>()?,
            precision: network.precision,
            parameters: network.parameters,
            macs: network.macs,
            inputs: network.inputs.clone(),
            outputs: network.outputs.clone(),
        })
    }

    /// The networks of a pipeline without a manifest, and what wrote it.
    fn found(&self) -> Result<(String, Vec<NetworkInspection>)> {
        let at = self.trained_at();
        let encoder = self.pipeline.vae_encoder.is_some();
        let mut all: Vec<(&'static str, CountResult<Report>)> = vec![
            ("text_encoder", counter::clip_text(&self.text_encoder, at.tokens)),
            ("unet", counter::unet(&self.unet, &Architecture::full(), at)),
            ("vae_decoder", counter::vae_decoder(&self.vae, at)),
        ];
        all.extend(encoder.then(|| ("vae_encoder", counter::vae_encoder(&self.vae, at))));
        let mut producer = String::new();
        let mut networks = Vec::new();
        for (component, report) in all {
            let path = self.folder.join(component).join("config.json");
            let report = report.map_err(|source| Error::Config { path, source })?;
            let graph = GraphFile::open(&self.folder, &format!("{component}/model.onnx"), None, &HostCache::off())?;
            let facts = graph.facts();
            producer.clone_from(&facts.producer);
            let weights = graph.weights().map(|(name, bytes)| FileSize { file: format!("{component}/{name}"), bytes });
            let weights = weights.collect();
            networks.push(NetworkInspection {
                component,
                expert: None,
                default: None,
                graphs: vec![GraphInspection {
                    flavour: Flavour::Portable,
                    file: FileSize { file: graph.name().to_owned(), bytes: graph.bytes() },
                }],
                weights,
                precision: facts
                    .outputs
                    .first()
                    .and_then(|output| Precision::of(output.dtype))
                    .unwrap_or(Precision::F32),
                parameters: report.parameters(),
                macs: report.macs(),
                inputs: facts.inputs.iter().map(port).collect(),
                outputs: facts.outputs.iter().map(port).collect(),
            });
        }
        Ok((producer, networks))
    }

    fn trained_at(&self) -> At {
        let side = self.default_size().width as usize / self.vae.factor();
        At { height: side, width: side, tokens: self.text_encoder.max_position_embeddings }
    }
}

fn port(declared: &Declared) -> Port {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(size) => manifest::Dim::Known(*size as u64),
        named => manifest::Dim::Symbol(named.to_string()),
    };
    let dims = declared.dims.iter().flatten().map(dim).collect();
    Port { name: declared.name.clone(), dtype: declared.dtype, dims }
}
