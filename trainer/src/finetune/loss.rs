//! The loss of fine-tuning with distillation ("Efficient Fine-Tuning and Concept Suppression for Pruned Diffusion Models", equations
//! 1 to 4): denoising, the teacher's output, and the outputs of its blocks.

use crate::{
    run::{Loss, Result},
    torch::{Torch, Value},
};
use pleach_model::{
    self as model,
    sites::{Pass, Site, Sites},
    unet::UNet,
};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use tch::{Kind, Tensor};

/// How the losses of the blocks become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// As the paper writes it.
    Sum,
    /// As the released code computes it.
    Mean,
}

/// Weights of the losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossRecipe {
    /// Weight of the denoising loss.
    pub diffusion: f64,
    /// Weight of the mean squared error between the outputs of student and teacher.
    pub output: f64,
    /// Weight of the mean squared errors between the outputs of their blocks.
    pub features: f64,
    /// How those become one.
    pub reduce: Reduce,
    /// Gamma of the Min-SNR weight of the denoising loss; 0 for none.
    pub min_snr: f64,
}

impl Default for LossRecipe {
    fn default() -> Self {
        Self::code()
    }
}

impl LossRecipe {
    /// As the paper states it.
    pub fn paper() -> Self {
        Self { diffusion: 1.0, output: 2.0, features: 0.1, reduce: Reduce::Sum, min_snr: 0.0 }
    }

    /// As the released code has it.
    pub fn code() -> Self {
        Self { reduce: Reduce::Mean, min_snr: 5.0, ..Self::paper() }
    }

    /// Whether a teacher is needed.
    pub fn distils(&self) -> bool {
        self.output != 0.0 || self.features != 0.0
    }
}

/// Collects the outputs of a network's blocks as they come by.
#[derive(Debug, Default)]
pub struct Blocks(RefCell<Vec<(String, Tensor)>>);

impl Blocks {
    /// Path and output `[B, C, H, W]` of each down block, the middle block and each up block, after its sampler.
    pub fn into_outputs(self) -> Vec<(String, Tensor)> {
        self.0.into_inner()
    }
}

impl Sites<Torch> for Blocks {
    fn site(&self, _: &Torch, path: &str, site: Site<'_, Value>, value: Value) -> model::error::Result<Value> {
        if matches!(site, Site::Block) {
            self.0.borrow_mut().push((path.to_owned(), value.tensor().shallow_clone()));
        }
        Ok(value)
    }
}

/// A network's output and those of its blocks.
#[derive(Debug)]
pub struct Outputs {
    /// `[B, C, H, W]`.
    pub prediction: Tensor,
    /// Path and output of each block.
    pub blocks: Vec<(String, Tensor)>,
}

/// What a network gives for `sample`, `timesteps` and `context`, with a hook of its own.
pub(crate) fn outputs(
    torch: &Torch,
    network: &UNet<Torch>,
    hook: impl Sites<Torch>,
    [sample, timesteps, context]: [&Value; 3],
) -> Result<Outputs> {
    let hooks = (hook, Blocks::default());
    let output = network.forward(&Pass::new(torch, &hooks), sample, timesteps, context)?;
    Ok(Outputs { prediction: output.tensor().shallow_clone(), blocks: hooks.1.into_outputs() })
}

/// The whole loss. `diffusion` is the denoising loss; a part whose weight is 0 is not computed.
///
/// # Errors
/// Networks that have no block in common, and what libtorch says.
pub fn distillation(
    recipe: &LossRecipe,
    diffusion: Tensor,
    student: &Outputs,
    teacher: Option<&Outputs>,
) -> Result<Loss> {
    let mut total = diffusion.f_mul_scalar(recipe.diffusion)?;
    let mut parts = vec![("diffusion", diffusion)];
    if let Some(teacher) = teacher {
        if recipe.output != 0.0 {
            let output = squared_error(&student.prediction, &teacher.prediction)?;
            total = total.f_add(&output.f_mul_scalar(recipe.output)?)?;
            parts.push(("output", output));
        }
        if recipe.features != 0.0 {
            let features = block_losses(recipe.reduce, &student.blocks, &teacher.blocks)?;
            total = total.f_add(&features.f_mul_scalar(recipe.features)?)?;
            parts.push(("features", features));
        }
    }
    Ok(Loss { total, parts })
}

/// Over the blocks that both have, at one size: a student may lack the middle block or a level, and its sampler with it.
fn block_losses(reduce: Reduce, student: &[(String, Tensor)], teacher: &[(String, Tensor)]) -> Result<Tensor> {
    let teachers = |path: &str| teacher.iter().find(|(name, _)| name == path).map(|(_, tensor)| tensor);
    let pairs = student.iter().filter_map(|(path, s)| Some((s, teachers(path)?)));
    let pairs = pairs.filter(|(s, t)| s.size() == t.size());
    let losses = pairs.map(|(s, t)| squared_error(s, t)).collect::<Result<Vec<_>>>()?;
    if losses.is_empty() {
        return Err(crate::torch::Error::Torch("student and teacher have no block in common".into()).into());
    }
    let losses = Tensor::f_stack(&losses, 0)?;
    Ok(match reduce {
        Reduce::Sum => losses.f_sum(Kind::Float)?,
        Reduce::Mean => losses.f_mean(Kind::Float)?,
    })
}

/// Mean squared error over all elements, in f32.
fn squared_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let difference = a.f_to_kind(Kind::Float)?.f_sub(&b.f_detach()?.f_to_kind(Kind::Float)?)?;
    Ok(difference.f_square()?.f_mean(Kind::Float)?)
}
