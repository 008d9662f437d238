//! How much the units of a network matter, for pruners that rank them.

use crate::{
    diffusion::Diffusion,
    finetune::{Batches, Latents, Making, Teacher},
    run::{Result, number, streams},
    torch::{Torch, Value, Variables, Weights, kind},
};
use pleach_model::{
    architecture::Architecture,
    cut::{Coupled, Coupling},
    params::Params,
    sites::Pass,
    tensor::Dtype,
    unet::UNet,
    vector::VectorLayout,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tch::{Device, Kind, Tensor, no_grad};

/// Sums over everything that belongs to each unit in a parameter, `[units]`, and how many channels of it a unit has.
fn unit_sums(coupled: Coupled<'_>, values: &Tensor) -> Result<(Vec<f64>, usize)> {
    let Coupled { axis, times, units, .. } = coupled;
    let channels = values.size().get(axis).copied().unwrap_or(0) as usize / units;
    let rows = values.f_movedim_int(axis as i64, 0)?.f_reshape([times as i64, units as i64, -1])?;
    let sums = rows.f_sum_dim_intlist([0_i64, 2].as_slice(), false, Kind::Double)?;
    Ok((Vec::try_from(&sums.f_to_device(Device::Cpu)?)?, channels))
}

/// Scores for the width entries, out of those of each site's units.
fn entries(layout: &VectorLayout, mut scores: HashMap<String, Vec<f64>>) -> Vec<f64> {
    let of = |(site, units): (&String, usize)| scores.remove(site).unwrap_or_else(|| vec![0.0; units]);
    layout.widths.iter().map(|width| (&width.site, width.entries.len())).flat_map(of).collect()
}

/// Group magnitude, as torch-pruning has it (Fang et al. 2023, p = 2): of each weight that belongs to a unit the sum of the squares, a mean
/// over the unit's channels, then over the weights; divided by the mean of its site, so that sites can be ranked against each other.
/// Biases and norms do not count.
///
/// # Errors
/// Weights that cannot be read.
pub fn magnitude(teacher: &Teacher, layout: &VectorLayout) -> Result<Vec<f64>> {
    let coupling = Coupling::new(teacher.config())?;
    let torch = Torch::new(Device::Cpu, Dtype::F32)?;
    let mut groups: HashMap<String, (Vec<f64>, f64)> = HashMap::new();
    teacher.bound(|bound| {
        let weights = Weights::new(bound);
        let params = Params::new(&torch, &weights);
        for spec in bound.specs().iter().filter(|spec| spec.shape.len() > 1) {
            let Some(coupled) = coupling.of(&spec.name) else { continue };
            let weight = params.get(&spec.name, &spec.shape)?;
            let (sums, channels) = unit_sums(coupled, &weight.tensor().f_square()?)?;
            let (total, count) =
                groups.entry(coupled.site.to_owned()).or_insert_with(|| (vec![0.0; coupled.units], 0.0));
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum / channels as f64);
            *count += 1.0;
        }
        Ok(())
    })?;
    let scores = groups.into_iter().map(|(site, (mut scores, count))| {
        scores.iter_mut().for_each(|score| *score /= count);
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        scores.iter_mut().for_each(|score| *score /= mean.max(f64::MIN_POSITIVE));
        (site, scores)
    });
    Ok(entries(layout, scores.collect()))
}

/// How SPDM's importance is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaylorRecipe {
    /// Latents in the one batch that is looked at.
    pub batch: usize,
    /// Timesteps from one that is looked at to the next.
    pub every: usize,
    /// Timesteps count until the loss falls below this share of the largest one.
    pub threshold: f64,
}

impl Default for TaylorRecipe {
    fn default() -> Self {
        Self { batch: 32, every: 1, threshold: 0.05 }
    }
}

/// What SPDM's importance is measured on.
pub struct Sample {
    /// Latents `[B, C, H, W]`.
    pub latents: Tensor,
    /// Noise of the same shape, for all timesteps.
    pub noise: Tensor,
    /// Embeddings `[B, N, D]`.
    pub context: Tensor,
}

impl Sample {
    /// The next batch, with noise for the seed of `making`.
    ///
    /// # Errors
    /// What the data say.
    pub fn next(batches: &mut Batches, making: &Making<'_>) -> Result<Self> {
        let Latents { latents, context, .. } = no_grad(|| batches.next(0, making))?;
        let noise = streams::noise(making.seed, streams::Use::Noise, 0).randn(latents.numel());
        let noise = Tensor::f_from_slice(&noise)?.f_reshape(latents.size())?.f_to_device(making.device)?;
        Ok(Self { latents, noise, context })
    }
}

/// Importance by first-order Taylor expansion (SPDM, Fang et al. 2023): of everything that belongs to a unit the sum of `|w g|`, where `g`
/// is the gradient of the denoising loss, summed up from timestep 0 on until the loss is small. `done` is called with each timestep and
/// its loss.
///
/// # Errors
/// Weights that do not fit, and what libtorch says.
pub fn taylor(
    teacher: &Teacher,
    layout: &VectorLayout,
    diffusion: &Diffusion,
    sample: &Sample,
    recipe: TaylorRecipe,
    done: &dyn Fn(usize, f64),
) -> Result<Vec<f64>> {
    let device = sample.latents.device();
    let torch = Torch::new(device, Dtype::F32)?;
    let (unet, variables) = teacher.bound(|bound| {
        let source = Variables::new(Weights::new(bound));
        let unet = UNet::new(teacher.config(), &Architecture::full(), &Params::new(&torch, &source))?;
        Ok((unet, source.into_list()))
    })?;
    let value = |tensor: &Tensor| -> Result<Value> { Ok(Value::try_from(tensor.f_to_kind(kind(Dtype::F32))?)?) };
    let context = value(&sample.context)?;
    let batch = sample.latents.size().first().copied().unwrap_or(0) as usize;
    let mut largest = 0.0;
    for timestep in (0..diffusion.timesteps()).step_by(recipe.every.max(1)) {
        let noised = diffusion.add(&sample.latents, &sample.noise, &vec![timestep as i64; batch])?;
        let inputs = (value(&noised.sample)?, value(&noised.timesteps)?);
        let prediction = unet.forward(&Pass::plain(&torch), &inputs.0, &inputs.1, &context)?;
        let loss = diffusion.loss(prediction.tensor(), &noised)?;
        let found = number(&loss)?;
        largest = f64::max(largest, found);
        if found < recipe.threshold * largest {
            break;
        }
        loss.f_backward()?;
        done(timestep, found);
    }
    let coupling = Coupling::new(teacher.config())?;
    let mut scores: HashMap<String, Vec<f64>> = HashMap::new();
    for (name, variable) in &variables {
        let (Some(coupled), gradient) = (coupling.of(name), variable.tensor().f_grad()?) else { continue };
        if !gradient.defined() {
            continue;
        }
        let (sums, _) = unit_sums(coupled, &variable.tensor().f_detach()?.f_mul(&gradient)?.f_abs()?)?;
        let total = scores.entry(coupled.site.to_owned()).or_insert_with(|| vec![0.0; coupled.units]);
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    Ok(entries(layout, scores))
}
