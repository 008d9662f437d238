//! A checkpoint with random weights.

use pleach_model::{
    architecture::Architecture,
    checkpoint::{Error, NewTensor, write_safetensors},
    counter::{At, unet},
    tensor::{Dtype, TensorSpec},
    unet::UNetConfig,
};
use std::{collections::BTreeMap, path::Path};

/// Writes a UNet in the shape of Stable Diffusion 2.1's: 865,910,724 parameters in f32.
pub fn write(path: &Path) -> anyhow::Result<()> {
    let mut specs = unet(&UNetConfig::sd21_base(), &Architecture::full(), At::SD512)?.tensors;
    // As Hugging Face's writer leaves them.
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    let tensors = specs.into_iter().enumerate().map(|(seed, spec)| tensor(seed as u64, spec)).collect();
    write_safetensors(path, tensors, &BTreeMap::from([("format".into(), "pt".into())]))?;
    Ok(())
}

fn tensor(seed: u64, spec: TensorSpec) -> NewTensor<'static> {
    let TensorSpec { name, shape } = spec.clone();
    NewTensor::streamed(name.clone(), Dtype::F32, &shape, move |out| {
        let scale = (3.0 / spec.shape.iter().skip(1).product::<usize>() as f32).sqrt();
        let mut state = seed << 32 | 1;
        let mut left = spec.numel();
        while left > 0 {
            let n = left.min(1 << 16);
            let piece: Vec<u8> = (0..n).flat_map(|_| (uniform(&mut state) * scale).to_le_bytes()).collect();
            out.write_all(&piece).map_err(|source| Error::Copy { name: name.clone(), source })?;
            left -= n;
        }
        Ok(())
    })
}

/// A number in -1..1 (SplitMix64): quicker than the disk, which is all that is asked of it.
fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
}
