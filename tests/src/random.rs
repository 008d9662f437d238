//! Networks without a file: random parameters, the same for the same seed, and random architectures.

use pleach_model::{
    architecture::{Architecture, SiteKind},
    backend::{Backend, Constant},
    checkpoint::{self, NewTensor, write_safetensors},
    counter,
    error::Result,
    noise::Generator,
    params::Source,
    tensor::{Dtype, TensorSpec},
    unet::UNetConfig,
};
use std::path::Path;

/// Normal parameters, scaled as those of the fixtures: with variance `0.6 / fan-in` for weights of layers, around 1 for weights of
/// norms, around 0 for biases. Each depends on the seed and its name alone.
#[derive(Clone, Copy, Debug)]
pub struct RandomWeights {
    seed: u64,
}

impl RandomWeights {
    /// Parameters of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Writes a checkpoint with these tensors.
    pub fn write(self, path: &Path, tensors: Vec<TensorSpec>) -> anyhow::Result<()> {
        let tensors = tensors.into_iter().map(|spec| {
            let (name, shape) = (spec.name.clone(), spec.shape.clone());
            NewTensor::streamed(name, Dtype::F32, &shape, move |out| {
                let bytes: Vec<u8> = self.values(&spec).into_iter().flat_map(f32::to_le_bytes).collect();
                out.write_all(&bytes).map_err(|source| checkpoint::Error::Copy { name: spec.name.clone(), source })
            })
        });
        write_safetensors(path, tensors.collect(), &Default::default())?;
        Ok(())
    }

    /// The elements of a parameter.
    pub fn values(&self, spec: &TensorSpec) -> Vec<f32> {
        let fan_in: usize = spec.shape.iter().skip(1).product();
        let (scale, shift) = match spec.shape.as_slice() {
            [_] if spec.name.ends_with("weight") => (0.1, 1.0),
            [_] => (0.1, 0.0),
            _ => ((0.6 / fan_in as f32).sqrt(), 0.0),
        };
        // FNV-1a: the name decides where the generator starts.
        let start = spec.name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ self.seed, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut values = Generator::new(start).randn(spec.numel());
        values.iter_mut().for_each(|x| *x = *x * scale + shift);
        values
    }
}

impl<B: Backend> Source<B> for RandomWeights {
    fn parameter(&self, backend: &B, spec: &TensorSpec) -> Result<B::Value> {
        backend.constant(Constant::F32(self.values(spec)), &spec.shape)
    }
}

/// A UNet in the shape of Stable Diffusion 2.x, small enough to be built by the dozen.
pub fn small_unet() -> UNetConfig {
    UNetConfig {
        block_out_channels: vec![8, 16, 16],
        down_attention: vec![true, true, false],
        up_attention: vec![false, true, true],
        layers_per_block: vec![2; 3],
        heads: vec![2, 4, 4],
        transformer_layers: vec![1; 3],
        cross_attention_dim: 12,
        norm_num_groups: 4,
        ..UNetConfig::sd21_base()
    }
}

/// About a third of the units of some sites, and a module now and then, removed.
pub fn pruned(config: &UNetConfig, draw: &mut Generator) -> Architecture {
    let mut one_in = |n: u32| draw.random().is_multiple_of(n);
    let mut architecture = Architecture::full();
    // The coarsest level goes as a whole or not at all.
    let level = [format!("down_blocks.{}", config.block_out_channels.len() - 1), "up_blocks.0".to_owned()];
    for site in counter::unet_sites(config).unwrap() {
        if site.path == level[0] {
            if one_in(6) {
                architecture = level.iter().fold(architecture, Architecture::remove);
            }
        } else if site.kind == SiteKind::Module {
            if site.path != level[1] && one_in(6) {
                architecture = architecture.remove(site.path);
            }
        } else if one_in(2) {
            let mut kept: Vec<usize> = (0..site.units).filter(|_| !one_in(3)).collect();
            if kept.is_empty() {
                kept.push(0);
            }
            architecture = architecture.keep(site.path, kept);
        }
    }
    architecture
}
