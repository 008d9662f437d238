//! The network that is timed: its checkpoint, its export and its inputs.

use crate::{random::RandomWeights, stepping, tensor::Tensor};
use anyhow::{Context, Result};
use pleach_exporter::{
    export::{Context as About, Plan},
    network,
    quantize::{
        Scheme,
        calibrate::{self, Calibration, Embedding},
    },
};
use pleach_model::{
    architecture::Architecture,
    checkpoint::{Bound, Checkpoint, NewTensor, Spelling, write_safetensors},
    counter::{self, At, Rule},
    manifest::Precision,
    noise::Generator,
    resources::Resources,
    samplers::SamplerKind,
    schedule::{Schedule, SchedulerConfig},
    tensor::Dtype,
    unet::UNetConfig,
    vector::VectorLayout,
};
use pleach_runtime::engine::{
    CACHE_LIMIT, Engine, EngineOptions, GraphFile, HostCache, Network, NetworkOptions, TensorRef,
};
use pleach_trainer::prune::{Pruner as _, Ranking};
use serde::{Deserialize, Serialize};
use std::{fs, num::NonZeroUsize, path::PathBuf};

/// The graph for the CPU below a network's folder, and the weights.
pub const CPU_GRAPH: &str = "unet/model.cpu.onnx";
const WEIGHTS: &str = "unet/model.onnx_data";

/// Folder of what torch.onnx exports, below a network's.
pub const TORCH_EXPORT: &str = "exported-by-torch";

/// Names of the inputs.
pub const INPUTS: [&str; 3] = ["sample", "timestep", "encoder_hidden_states"];

/// Length of the text embedding.
const TOKENS: usize = 77;

/// What every process of the benchmark knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Where the export is, and everything else that is kept.
    pub folder: PathBuf,
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// What is left of the network.
    pub architecture: Architecture,
    /// What its weights are exported in.
    pub precision: Precision,
    /// Pictures of a step.
    pub batch: usize,
    /// Height and width of the latents.
    pub size: usize,
    /// Threads of an engine.
    pub threads: NonZeroUsize,
    /// A small network instead of Stable Diffusion 2.1's.
    pub tiny: bool,
}

impl Settings {
    /// Sizes of the whole network.
    pub fn config(&self) -> UNetConfig {
        let full = UNetConfig::sd21_base();
        if !self.tiny {
            return full;
        }
        UNetConfig {
            block_out_channels: vec![32, 64, 64, 64],
            heads: vec![2, 4, 4, 4],
            cross_attention_dim: 48,
            ..full
        }
    }

    /// Sizes of a step.
    pub fn at(&self) -> At {
        At { height: self.size, width: self.size, tokens: TOKENS }
    }

    /// Parameters and multiply-accumulates of a step.
    pub fn count(&self) -> Result<counter::Report> {
        Ok(counter::unet(&self.config(), &self.architecture, self.at())?)
    }

    /// What is left of the network where all sites lose the same share of their units.
    pub fn pruned(&self, share: f64) -> Result<Architecture> {
        let layout = VectorLayout::of(&self.config())?;
        let resources = Resources::of(&self.config(), &layout, self.at(), Rule::Exact)?;
        Ok(Ranking::uniform(&layout, &resources).prune(share)?)
    }

    /// The host cache that an engine opens it through.
    pub fn cache(&self, engine: stepping::Engine) -> HostCache {
        let cache = HostCache::at(self.folder.join("cache"), CACHE_LIMIT);
        match engine {
            stepping::Engine::CpuCached => cache,
            stepping::Engine::CpuMapped => cache.mapping_all(),
            _ => HostCache::off(),
        }
    }

    /// Opens a graph of the export.
    pub fn open(&self, engine: &Engine, graph: &str, cache: HostCache) -> Result<Network> {
        let graph = GraphFile::open(&self.folder, graph, None, &cache)?;
        Ok(engine.open(&graph, &NetworkOptions { cache, ..NetworkOptions::default() })?)
    }

    /// What a step of an opened graph gives.
    pub fn step(&self, network: &mut Network) -> Result<Vec<f32>> {
        let inputs = self.inputs();
        let inputs = INPUTS.into_iter().zip(&inputs);
        let inputs = inputs.map(|(name, tensor)| Ok((name, TensorRef::new(&tensor.shape, &tensor.data)?)));
        Ok(network.run(&inputs.collect::<Result<Vec<_>>>()?)?.swap_remove(0).into_f32())
    }

    /// Writes configuration and inputs into the folder, for a Python program.
    pub fn write_for_python(&self) -> Result<()> {
        fs::write(self.folder.join("config.json"), self.config().to_json().to_string())?;
        let inputs = self.inputs();
        let bytes = inputs.each_ref().map(|input| input.data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        let tensors = INPUTS.iter().zip(&inputs).zip(&bytes);
        let tensors = tensors.map(|((name, input), bytes)| NewTensor::new(*name, Dtype::F32, &input.shape, bytes));
        write_safetensors(&self.folder.join("inputs.safetensors"), tensors.collect(), &Default::default())?;
        Ok(())
    }

    /// Writes the checkpoint, with random weights.
    pub fn write_checkpoint(&self) -> Result<()> {
        RandomWeights::new(2).write(&self.checkpoint, self.count()?.tensors)
    }

    /// The checkpoint's tensors, for `work`.
    pub fn with_tensors<T>(&self, work: impl FnOnce(&Bound) -> Result<T>) -> Result<T> {
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        work(&checkpoint.bind(&self.count()?.tensors, Spelling::Unet)?)
    }

    /// Writes `unet/model.onnx` and `unet/model.cpu.onnx` below the folder.
    pub fn export(&self) -> Result<()> {
        let network =
            network::Network::Unet { config: self.config(), architecture: self.architecture.clone(), tokens: TOKENS };
        let mut plan = Plan::new(network, self.precision)?;
        let about = About { counted_at: self.at(), sources: Vec::new(), metadata: Vec::new(), data_files: &[] };
        self.with_tensors(|tensors| {
            if matches!(self.precision, Precision::Int8 | Precision::Int4) {
                plan = plan.clone().with_scheme(self.scheme(&plan, tensors)?);
            }
            let written = plan.write_weights("model", tensors, &self.folder, &())?;
            plan.write_graphs("model", &about, &written, &self.folder)?;
            Ok(())
        })
    }

    /// What calibration with one prompt in one step says.
    fn scheme(&self, plan: &Plan, tensors: &Bound) -> Result<Scheme> {
        let engine = Engine::start(&EngineOptions { threads: Some(self.threads), ..EngineOptions::default() })?;
        let schedule = Schedule::from_config(&SchedulerConfig::from_json("{}")?)?;
        let shape = [1, TOKENS, self.config().cross_attention_dim];
        let embedding = |seed| {
            let values = Generator::new(seed).randn(shape.iter().product());
            Embedding { shape, values }
        };
        let calibration = Calibration {
            engine: &engine,
            schedule: &schedule,
            sampler: SamplerKind::Ddim,
            steps: 1,
            guidance: 1.0,
            latents: [1, self.config().in_channels, self.size, self.size],
            null: embedding(1),
            prompts: vec![embedding(2)],
            watch: &(),
        };
        let folder = self.folder.join("calibration");
        fs::create_dir_all(&folder)?;
        let (scheme, _) = calibrate::scheme(plan.graph(), tensors, self.precision, &calibration, &folder)?;
        fs::remove_dir_all(&folder)?;
        Ok(scheme)
    }

    /// Latents, timestep and text embedding, the same in every process.
    pub fn inputs(&self) -> [Tensor; 3] {
        let mut noise = Generator::new(7);
        let mut normal = |shape: &[usize]| Tensor::new(shape, noise.randn(shape.iter().product()));
        let sample = normal(&[self.batch, self.config().in_channels, self.size, self.size]);
        let context = normal(&[self.batch, TOKENS, self.config().cross_attention_dim]);
        [sample, Tensor::new(&[1], vec![481.0]), context]
    }

    /// Bytes of what an engine opens: the graph for the CPU and its weights, the checkpoint, or all of torch.onnx's files.
    pub fn bytes(&self, engine: stepping::Engine) -> Result<u64> {
        let files = match engine {
            stepping::Engine::Torch => vec![self.checkpoint.clone()],
            stepping::Engine::TorchOnnx => {
                let entries = fs::read_dir(self.folder.join(TORCH_EXPORT))?;
                entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?
            }
            _ => [CPU_GRAPH, WEIGHTS].map(|file| self.folder.join(file)).into(),
        };
        Ok(files.into_iter().map(|file| Ok(fs::metadata(file)?.len())).collect::<Result<Vec<_>>>()?.iter().sum())
    }

    /// Keeps an engine's output for the comparison.
    pub fn keep_output(&self, name: &str, output: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = output.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(self.folder.join(name), bytes).context("cannot keep the output")
    }

    /// What an engine kept.
    pub fn output(&self, name: &str) -> Result<Vec<f32>> {
        let bytes = fs::read(self.folder.join(name)).context("cannot read an output")?;
        Ok(bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect())
    }
}
