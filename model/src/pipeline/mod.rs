//! The folder of a diffusers pipeline: what `model_index.json` says and where the files of each part lie.
//!
//! Two layouts share the index. [`PipelineFolder::checkpoint`] finds the weights that diffusers writes, [`PipelineFolder::onnx`] the
//! graphs that Optimum writes; each tells everything that is missing at once. Names of files are fixed: nothing in the index leads
//! anywhere else.

mod error;
mod other;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};

use crate::{checkpoint::Checkpoint, files::read_bounded, schedule::SchedulerConfig};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The file that makes a folder a pipeline.
const INDEX: &str = "model_index.json";
/// Configurations are a few kilobytes.
const MAX_CONFIG: u64 = 1 << 20;
/// What pipelines of other architectures have.
const OTHER_ARCHITECTURES: [&str; 3] = ["text_encoder_2", "text_encoder_3", "transformer"];
const TEXT_ENCODERS: &[&str] = &["CLIPTextModel", "CLIPTextModelWithProjection"];
const UNETS: &[&str] = &["UNet2DConditionModel"];
const AUTOENCODERS: &[&str] = &["AutoencoderKL"];

/// The folder of a pipeline, its index read.
#[derive(Clone, Debug)]
pub struct PipelineFolder {
    root: PathBuf,
    index: Map<String, Value>,
}

/// A pipeline of checkpoints.
#[derive(Clone, Debug)]
pub struct CheckpointPipeline {
    /// The CLIP text encoder.
    pub text_encoder: Network,
    /// The UNet.
    pub unet: Network,
    /// The autoencoder.
    pub vae: Network,
    /// What it shares with an ONNX pipeline.
    pub common: Common,
}

/// A pipeline of ONNX graphs.
#[derive(Clone, Debug)]
pub struct OnnxPipeline {
    /// Token ids to a text embedding.
    pub text_encoder: OnnxNetwork,
    /// Latents, a timestep and a text embedding to a prediction.
    pub unet: OnnxNetwork,
    /// Latents to a picture.
    pub vae_decoder: OnnxNetwork,
    /// A picture to latents.
    pub vae_encoder: Option<OnnxNetwork>,
    /// What it shares with a pipeline of checkpoints.
    pub common: Common,
}

/// What every pipeline has besides its networks.
#[derive(Clone, Debug)]
pub struct Common {
    /// Folder of the tokenizer.
    pub tokenizer: PathBuf,
    /// `scheduler_config.json`.
    pub scheduler_path: PathBuf,
    /// What it says.
    pub scheduler: SchedulerConfig,
}

/// A network with weights.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its folder.
    pub folder: PathBuf,
    /// Its `config.json`.
    pub config_path: PathBuf,
    /// What it says: a JSON object.
    pub config: Value,
}

/// A network exported to ONNX.
#[derive(Clone, Debug)]
pub struct OnnxNetwork {
    /// Its `model.onnx`.
    pub graph: PathBuf,
    /// What the `config.json` beside it says, where there is one.
    pub config: Option<Value>,
}

impl PipelineFolder {
    /// Reads the index of a pipeline's folder.
    ///
    /// # Errors
    /// Where `path` is something else, an [`Error`] that says what it is and what to do with it.
    pub fn open(path: &Path) -> Result<Self> {
        let index_path = path.join(INDEX);
        if !index_path.is_file() {
            return Err(other::tell(path));
        }
        let folder = Self { root: path.to_owned(), index: read_config(&index_path)? };
        match OTHER_ARCHITECTURES.into_iter().find(|component| folder.class(component).is_some()) {
            Some(component) => {
                let class = folder.class_name().unwrap_or("the pipeline").to_owned();
                Err(Error::Architecture { path: index_path, class, component })
            }
            None => Ok(folder),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Class of the pipeline: `StableDiffusionPipeline`, `ORTStableDiffusionPipeline`.
    pub fn class_name(&self) -> Option<&str> {
        self.index.get("_class_name")?.as_str()
    }

    /// Class of a component; `None` where the pipeline has none (`null`, or `[null, null]`).
    pub fn class(&self, component: &str) -> Option<&str> {
        self.index.get(component)?.get(1)?.as_str()
    }

    /// The index.
    pub fn index(&self) -> &Map<String, Value> {
        &self.index
    }

    /// The files of a pipeline of checkpoints. Weights are opened by [`Network::weights`].
    ///
    /// # Errors
    /// [`Error::Onnx`], [`Error::Missing`], [`Error::Class`], [`Error::Json`], [`Error::Scheduler`], [`Error::File`].
    pub fn checkpoint(&self) -> Result<CheckpointPipeline> {
        let configs = ["text_encoder", "unet", "vae"].map(|name| self.root.join(name).join("config.json"));
        let is_onnx = || !self.root.join("vae").is_dir() && self.root.join("unet/model.onnx").is_file();
        if is_onnx() {
            return Err(Error::Onnx { folder: self.root.clone() });
        }
        self.require(&configs)?;
        let [text_encoder, unet, vae] = configs;
        Ok(CheckpointPipeline {
            text_encoder: self.network("text_encoder", text_encoder, TEXT_ENCODERS)?,
            unet: self.network("unet", unet, UNETS)?,
            vae: self.network("vae", vae, AUTOENCODERS)?,
            common: self.common()?,
        })
    }

    /// The files of a pipeline of ONNX graphs.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Json`], [`Error::Scheduler`], [`Error::File`].
    pub fn onnx(&self) -> Result<OnnxPipeline> {
        let graph = |name: &str| self.root.join(name).join("model.onnx");
        let graphs = ["text_encoder", "unet", "vae_decoder"].map(graph);
        self.require(&graphs)?;
        let [text_encoder, unet, vae_decoder] = graphs;
        let vae_encoder = Some(graph("vae_encoder")).filter(|graph| graph.is_file());
        Ok(OnnxPipeline {
            text_encoder: OnnxNetwork::new(text_encoder)?,
            unet: OnnxNetwork::new(unet)?,
            vae_decoder: OnnxNetwork::new(vae_decoder)?,
            vae_encoder: vae_encoder.map(OnnxNetwork::new).transpose()?,
            common: self.common()?,
        })
    }

    fn scheduler_path(&self) -> PathBuf {
        self.root.join("scheduler/scheduler_config.json")
    }

    /// Checks that `files` and the files common to all pipelines are there.
    fn require(&self, files: &[PathBuf]) -> Result<()> {
        let scheduler = self.scheduler_path();
        let missing = files.iter().chain([&scheduler]).filter(|file| !file.is_file());
        let mut missing: Vec<String> = missing.map(|file| file.display().to_string()).collect();
        let tokenizer = self.root.join("tokenizer");
        let has = |file: &str| tokenizer.join(file).is_file();
        let has_tokenizer = has("tokenizer.json") || has("vocab.json") && has("merges.txt");
        if !has_tokenizer {
            let file = tokenizer.join("tokenizer.json");
            missing.push(format!("{} (or vocab.json with merges.txt)", file.display()));
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::Missing { folder: self.root.clone(), files: missing }) }
    }

    fn network(&self, name: &'static str, config: PathBuf, supported: &'static [&'static str]) -> Result<Network> {
        let class = self.class(name).unwrap_or("null");
        if !supported.contains(&class) {
            let path = self.root.join(INDEX);
            return Err(Error::Class { path, component: name, found: class.to_owned(), supported });
        }
        let object = read_config(&config)?;
        Ok(Network { folder: self.root.join(name), config_path: config, config: Value::Object(object) })
    }

    fn common(&self) -> Result<Common> {
        let path = self.scheduler_path();
        let bytes = read_bounded(&path, MAX_CONFIG)?;
        let text = String::from_utf8_lossy(&bytes);
        let failed = |source| Error::Scheduler { path: path.clone(), source };
        let scheduler = SchedulerConfig::from_json(&text).map_err(failed)?;
        Ok(Common { tokenizer: self.root.join("tokenizer"), scheduler_path: path, scheduler })
    }
}

impl Network {
    /// The network whose `config.json` and weights lie in `folder`, whatever pipeline it belongs to.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::File`].
    pub fn open(folder: &Path) -> Result<Self> {
        let config_path = folder.join("config.json");
        let config = Value::Object(read_config(&config_path)?);
        Ok(Self { folder: folder.to_owned(), config_path, config })
    }

    /// Opens the weights, or their variant (`fp16`).
    ///
    /// # Errors
    /// [`Error::Checkpoint`].
    pub fn weights(&self, variant: Option<&str>) -> Result<Checkpoint> {
        Ok(match variant {
            Some(variant) => Checkpoint::open_variant(&self.folder, variant)?,
            None => Checkpoint::open(&self.folder)?,
        })
    }
}

impl OnnxNetwork {
    fn new(graph: PathBuf) -> Result<Self> {
        let config = Some(graph.with_file_name("config.json")).filter(|config| config.is_file());
        let config = config.map(|config| read_config(&config)).transpose()?;
        Ok(Self { graph, config: config.map(Value::Object) })
    }
}

/// A configuration, which is a JSON object.
fn read_config(path: &Path) -> Result<Map<String, Value>> {
    let invalid = |source| Error::Json { path: path.to_owned(), source };
    serde_json::from_slice(&read_bounded(path, MAX_CONFIG)?).map_err(invalid)
}
