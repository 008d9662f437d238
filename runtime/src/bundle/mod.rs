//! What can be drawn with: a bundle that `pleach export` wrote, or an ONNX pipeline that Optimum wrote.
//!
//! A bundle has a manifest, and every file of it must be what the manifest says. A plain pipeline has none: it is one expert
//! without a name, its graphs are checked for their structure alone, and its UNet takes only sizes that it can halve as often
//! as it has levels.

mod error;
mod inspect;

pub use error::{Error, Result};
pub use inspect::{FileSize, GraphInspection, Inspection, NetworkInspection};

use crate::{
    engine::Listed,
    pipeline::{Component, Size},
};
use pleach_model::{
    clip::ClipTextConfig,
    error::Result as ConfigResult,
    files::{Digest, Sha256, read_bounded},
    manifest::{self, Bundle as Manifest, Depth, FileEntry, Flavour, Precision},
    pipeline::{OnnxNetwork, OnnxPipeline, PipelineFolder},
    schedule::Schedule,
    unet::UNetConfig,
    vae::VaeConfig,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Latents of a side where the UNet's configuration does not tell, as in diffusers.
const SAMPLE_SIZE: usize = 64;

/// A bundle, or a plain ONNX pipeline; its networks are not opened yet.
#[derive(Clone, Debug)]
pub struct Bundle {
    folder: PathBuf,
    name: String,
    manifest: Option<Manifest>,
    manifest_sha256: Option<Sha256>,
    pipeline: OnnxPipeline,
    safety_checker: bool,
    schedule: Schedule,
    text_encoder: ClipTextConfig,
    unet: UNetConfig,
    vae: VaeConfig,
}

/// A graph of a bundle and what the manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphEntry {
    /// Its path inside the bundle: `unet/model.onnx`.
    pub file: String,
    /// What it is written for.
    pub flavour: Flavour,
    /// Type of the weights; nothing for a pipeline without a manifest.
    pub precision: Option<Precision>,
    /// What it and its weights must be; nothing for a pipeline without a manifest.
    pub listed: Option<Listed>,
}

impl Bundle {
    /// Reads everything but the networks: manifest, index, configurations. Every file that is read must hash to what the manifest says.
    pub fn open(folder: &Path) -> Result<Self> {
        let index = PipelineFolder::open(folder)?;
        let pipeline = index.onnx().map_err(|error| match index.checkpoint() {
            Ok(_) => Error::Checkpoint { folder: folder.into() },
            Err(_) => error.into(),
        })?;
        let (manifest, manifest_sha256) = read_manifest(folder)?.unzip();
        let schedule = Schedule::from_config(&pipeline.common.scheduler)
            .map_err(|source| Error::Schedule { path: pipeline.common.scheduler_path.clone(), source })?;
        Ok(Self {
            name: name_of(folder),
            text_encoder: config(&pipeline.text_encoder, ClipTextConfig::from_json)?,
            unet: config(&pipeline.unet, UNetConfig::from_json)?,
            vae: config(&pipeline.vae_decoder, VaeConfig::from_json)?,
            safety_checker: index.class("safety_checker").is_some(),
            folder: folder.into(),
            manifest,
            manifest_sha256,
            pipeline,
            schedule,
        })
    }

    /// The bundle under another name than its folder's, such as a Hugging Face id.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What pictures are told to be drawn with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `pleach export` wrote about it.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// SHA-256 of the manifest, which stands for the whole bundle.
    pub fn sha256(&self) -> Option<Sha256> {
        self.manifest_sha256
    }

    /// Whether the pipeline names a safety checker. It is not run.
    pub fn has_safety_checker(&self) -> bool {
        self.safety_checker
    }

    /// Folder of the tokenizer.
    pub fn tokenizer(&self) -> &Path {
        &self.pipeline.common.tokenizer
    }

    /// The noise schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The text encoder's configuration.
    pub fn text_encoder(&self) -> &ClipTextConfig {
        &self.text_encoder
    }

    /// The configuration of the UNet that all experts were made from.
    pub fn unet(&self) -> &UNetConfig {
        &self.unet
    }

    /// The autoencoder's configuration.
    pub fn vae(&self) -> &VaeConfig {
        &self.vae
    }

    /// The one size that can be drawn, where the graphs are for one.
    pub fn fixed_size(&self) -> Option<Size> {
        let unet = self.manifest.as_ref()?.components.unet.first()?;
        let dims = &unet.component.inputs.iter().find(|port| port.name == "sample")?.dims;
        let [_, _, manifest::Dim::Known(height), manifest::Dim::Known(width)] = dims.as_slice() else { return None };
        let pixels = |latents: u64| u32::try_from(latents * self.vae.factor() as u64).ok();
        Some(Size { width: pixels(*width)?, height: pixels(*height)? })
    }

    /// The size that the UNet was trained for, or the only one that it draws.
    pub fn default_size(&self) -> Size {
        if let Some(size) = self.fixed_size() {
            return size;
        }
        let side = u32::try_from(self.unet.sample_size.unwrap_or(SAMPLE_SIZE) * self.vae.factor()).unwrap_or(u32::MAX);
        Size { width: side, height: side }
    }

    /// What the sides of a picture must be divisible by. Our graphs enlarge to the size of the skip connection that waits; those of
    /// Optimum double, which only leads back to the same size where each level could be halved evenly.
    pub fn size_multiple(&self) -> u32 {
        let halvings = if self.manifest.is_some() { 0 } else { self.unet.block_out_channels.len().saturating_sub(1) };
        u32::try_from(self.vae.factor() << halvings).unwrap_or(u32::MAX)
    }

    /// Names of the experts, the default one first; none for a plain pipeline.
    pub fn experts(&self) -> Vec<&str> {
        let mut experts: Vec<_> = self.manifest.iter().flat_map(|manifest| &manifest.components.unet).collect();
        experts.sort_by_key(|expert| !expert.default);
        experts.into_iter().map(|expert| expert.name.as_str()).collect()
    }

    /// The graph of a component: of the UNets that of `expert`, or of the default one. Of its flavours the one made for the CPU,
    /// where there is one.
    pub fn graph(&self, component: Component, expert: Option<&str>) -> Result<GraphEntry> {
        self.graph_of(component, expert, &[Flavour::Cpu, Flavour::Portable])
    }

    /// The graph of a component, in the first of `flavours` that there is; a plain pipeline has the portable one.
    pub fn graph_of(&self, component: Component, expert: Option<&str>, flavours: &[Flavour]) -> Result<GraphEntry> {
        let unknown = || Error::Expert {
            folder: self.folder.clone(),
            name: expert.unwrap_or("default").to_owned(),
            known: self.experts().into_iter().map(Into::into).collect(),
        };
        let Some(manifest) = &self.manifest else {
            let file = format!("{}/model.onnx", component.folder());
            return if expert.is_none() && component != Component::Router {
                Ok(GraphEntry { file, flavour: Flavour::Portable, precision: None, listed: None })
            } else {
                Err(unknown())
            };
        };
        let networks = &manifest.components;
        let network = match component {
            Component::TextEncoder => &networks.text_encoder,
            Component::VaeDecoder => &networks.vae_decoder,
            Component::Router => networks.router.as_ref().ok_or_else(unknown)?,
            Component::Unet => {
                let expert = expert.map_or_else(|| manifest.default_expert(), |name| manifest.expert(name));
                &expert.ok_or_else(unknown)?.component
            }
        };
        let graph = flavours.iter().find_map(|&flavour| network.graph(flavour)).ok_or_else(unknown)?;
        let weights = network.weights.iter().map(|entry| {
            let name = entry.file.rsplit('/').next().unwrap_or(&entry.file);
            (name.to_owned(), digest(entry))
        });
        let listed = Some(Listed { graph: digest(&graph.entry()), weights: weights.collect() });
        Ok(GraphEntry { file: graph.file.clone(), flavour: graph.flavour, precision: Some(network.precision), listed })
    }
}

fn digest(entry: &FileEntry) -> Digest {
    Digest { bytes: entry.bytes, sha256: entry.sha256 }
}

/// The manifest, where there is one, and its hash; the files that it lists beside the networks are checked.
fn read_manifest(folder: &Path) -> Result<Option<(Manifest, Sha256)>> {
    let path = folder.join(manifest::FILE_NAME);
    if !path.is_file() {
        return Ok(None);
    }
    let manifest = Manifest::read(folder)?;
    for entry in &manifest.files {
        entry.check(folder, Depth::Hash)?;
    }
    let sha256 = Sha256::of(&read_bounded(&path, u64::MAX)?);
    Ok(Some((manifest, sha256)))
}

/// Last part of the folder's path, even of `.`.
fn name_of(folder: &Path) -> String {
    let canonical = folder.canonicalize();
    let folder = canonical.as_deref().unwrap_or(folder);
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}

/// The configuration of a network. Optimum writes a class of its own (`ORTUnet`) where the network's stood, so that is not looked at.
fn config<T>(network: &OnnxNetwork, from_json: impl Fn(&Value) -> ConfigResult<T>) -> Result<T> {
    let path = network.graph.with_file_name("config.json");
    let Some(mut config) = network.config.clone() else { return Err(Error::NoConfig { path }) };
    if let Some(config) = config.as_object_mut() {
        config.remove("_class_name");
    }
    from_json(&config).map_err(|source| Error::Config { path, source })
}
