//! Neurons that draw a concept, found and cut (ConceptPrune, Chavhan et al. 2024): weights of the second layer of feed-forwards that matter
//! more for prompts with the concept than for the same prompts without it. Nothing is trained.

use crate::{
    run::{Error, Result},
    sampling::{Denoiser, Sampling, Start},
    torch::{Torch, Value},
};
use pleach_model::{
    self as model,
    checkpoint::{self, NewTensor},
    samplers::SamplerKind,
    sites::{Site, Sites},
    tensor::Dtype,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    path::Path,
};
use tch::{Kind, Tensor, no_grad};

/// How they are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeuronsRecipe {
    /// Share of each row's weights that are looked at: those with the highest scores for prompts with the concept.
    pub ratio: f64,
    /// Calls of the network that are looked at, from the first: later ones draw details.
    pub calls: usize,
    /// Share of those calls in which a weight must be found, or more.
    pub select_ratio: f64,
    /// Pairs of prompts: without the concept and with it.
    pub pairs: Vec<[String; 2]>,
    /// Sampler; without one, the pipeline's own.
    pub sampler: Option<String>,
    /// Denoising steps.
    pub steps: usize,
    /// Scale of the guidance.
    pub guidance: f64,
    /// Seed of the noise, the same for every prompt.
    pub seed: u64,
}

impl Default for NeuronsRecipe {
    fn default() -> Self {
        Self {
            ratio: 0.01,
            calls: 10,
            select_ratio: 0.0,
            pairs: Vec::new(),
            sampler: None,
            steps: 50,
            guidance: 7.5,
            seed: 0,
        }
    }
}

impl NeuronsRecipe {
    /// # Errors
    /// The first key with a value that cannot be used.
    pub fn check(&self) -> Result<()> {
        let wrong = |key, value: String, expected| Err(Error::Setting { key, value, expected });
        if !(self.ratio > 0.0 && self.ratio <= 1.0) {
            return wrong("neurons.ratio", self.ratio.to_string(), "above 0, at most 1");
        }
        if !(0.0..1.0).contains(&self.select_ratio) {
            return wrong("neurons.select_ratio", self.select_ratio.to_string(), "in 0..1");
        }
        if self.calls == 0 {
            return wrong("neurons.calls", "0".into(), "at least 1");
        }
        if self.pairs.is_empty() {
            return wrong("neurons.pairs", "empty".into(), "pairs of prompts, without the concept and with it");
        }
        Ok(())
    }
}

/// For each feed-forward, in the order in which the network runs, and each call: the squares of its hidden activations, each token's made a
/// unit vector, summed over tokens and prompts. `[width]`.
#[derive(Debug, Default)]
pub struct Activity {
    order: RefCell<Vec<String>>,
    sums: RefCell<HashMap<String, Vec<Tensor>>>,
    seen: RefCell<HashMap<String, usize>>,
}

impl Activity {
    /// Begins a prompt: the next call of the network is the first one.
    pub fn begin(&self) {
        self.seen.borrow_mut().clear();
    }

    fn add(&self, path: &str, hidden: &Tensor) -> Result<(), tch::TchError> {
        let width = hidden.size().last().copied().unwrap_or(0);
        let rows = hidden.f_to_kind(Kind::Float)?.f_reshape([-1, width])?;
        let squares = rows.f_square()?;
        let norms = squares.f_sum_dim_intlist([1_i64].as_slice(), true, Kind::Float)?.f_clamp_min(1e-24)?;
        let sum = squares.f_div(&norms)?.f_sum_dim_intlist([0_i64].as_slice(), false, Kind::Float)?;
        let mut seen = self.seen.borrow_mut();
        let call = seen.entry(path.to_owned()).or_default();
        let mut sums = self.sums.borrow_mut();
        if !sums.contains_key(path) {
            self.order.borrow_mut().push(path.to_owned());
        }
        let calls = sums.entry(path.to_owned()).or_default();
        match calls.get(*call) {
            Some(before) => calls[*call] = before.f_add(&sum)?,
            None => calls.push(sum),
        }
        *call += 1;
        Ok(())
    }

    /// Paths of the feed-forwards.
    pub fn paths(&self) -> Vec<String> {
        self.order.borrow().clone()
    }

    /// The norm of each column over tokens and prompts, in a call.
    fn norms(&self, path: &str, call: usize) -> Result<Option<Tensor>> {
        let sums = self.sums.borrow();
        Ok(sums.get(path).and_then(|calls| calls.get(call)).map(Tensor::f_sqrt).transpose()?)
    }
}

impl Sites<Torch> for Activity {
    fn site(&self, _: &Torch, path: &str, site: Site<'_, Value>, value: Value) -> model::error::Result<Value> {
        if matches!(site, Site::FeedForwardHidden) {
            self.add(path, value.tensor())
                .map_err(|error| model::error::Error::Parameter { name: path.to_owned(), reason: error.to_string() })?;
        }
        Ok(value)
    }
}

/// What a network does for prompts, one after the other with the same noise: `embeddings [P, N, D]`, against `null [1, N, D]`.
///
/// # Errors
/// What libtorch or the sampler says.
pub fn observe(
    denoiser: &Denoiser<'_>,
    (embeddings, null): (&Tensor, &Tensor),
    latents: [i64; 3],
    kind: SamplerKind,
    recipe: &NeuronsRecipe,
    done: &dyn Fn(usize),
) -> Result<Activity> {
    let activity = Activity::default();
    let prompts = embeddings.size().first().copied().unwrap_or(0);
    for prompt in 0..prompts {
        activity.begin();
        let embeddings = embeddings.f_narrow(0, prompt, 1)?;
        let start = Start { latents, embeddings: &embeddings, null, seed: recipe.seed, first: 0 };
        let sampling = Sampling { kind, steps: recipe.steps, guidance: recipe.guidance };
        let _ = denoiser.watched(&activity).denoise(&start, sampling, Some(recipe.calls))?;
        done(prompt as usize + 1);
    }
    Ok(activity)
}

/// Weights that are cut: for each matrix `[rows, columns]` a mask of the same shape, bool.
pub type Masks = BTreeMap<String, Tensor>;

/// The weights that matter more with the concept than without it, in any of the first calls or in more than a share of them.
///
/// # Errors
/// Activities of other networks; what libtorch says.
pub fn masks(
    parameters: &[(String, Tensor)],
    without: &Activity,
    with: &Activity,
    recipe: &NeuronsRecipe,
) -> Result<Masks> {
    let mut masks = Masks::new();
    for path in with.paths() {
        let name = format!("{path}.net.2.weight");
        let weight = parameters.iter().find(|(other, _)| *other == name).map(|(_, tensor)| tensor);
        let weight = weight.ok_or_else(|| crate::torch::Error::Torch(format!("the network has no {name}")))?;
        let mut found = weight.f_zeros_like()?.f_to_kind(Kind::Float)?;
        let mut calls = 0;
        while calls < recipe.calls
            && let (Some(base), Some(target)) = (without.norms(&path, calls)?, with.norms(&path, calls)?)
        {
            found = found.f_add(&mask(weight, &base, &target, recipe.ratio)?)?;
            calls += 1;
        }
        masks.insert(name, found.f_gt(recipe.select_ratio * calls as f64)?);
    }
    Ok(masks)
}

/// 1 where a weight is among the `ratio` of its row with the highest scores `|w| n` for `target`, and its score for `base` is lower.
fn mask(weight: &Tensor, base: &Tensor, target: &Tensor, ratio: f64) -> Result<Tensor> {
    no_grad(|| {
        let weight = weight.f_to_kind(Kind::Float)?.f_abs()?;
        let score = |norms: &Tensor| weight.f_mul(&norms.f_to_device(weight.device())?);
        let (base, target) = (score(base)?, score(target)?);
        let columns = weight.size().last().copied().unwrap_or(0);
        let kept = ((ratio * columns as f64) as i64).max(1);
        let (_, indices) = target.f_topk(kept, 1, true, true)?;
        let top = target.f_zeros_like()?.f_scatter_value(1, &indices, 1.0)?;
        Ok(top.f_mul(&target.f_gt_tensor(&base)?.f_to_kind(Kind::Float)?)?)
    })
}

/// A network's parameters, with zeros where the masks are. The others are the same.
///
/// # Errors
/// What libtorch says.
pub fn cut(parameters: &[(String, Tensor)], masks: &Masks) -> Result<Vec<(String, Tensor)>> {
    let cut = |(name, tensor): &(String, Tensor)| {
        let tensor = match masks.get(name) {
            Some(mask) => no_grad(|| tensor.f_masked_fill(mask, 0.0))?,
            None => tensor.shallow_clone(),
        };
        Ok((name.clone(), tensor))
    };
    parameters.iter().map(cut).collect()
}

/// How many weights are cut.
///
/// # Errors
/// What libtorch says.
pub fn count(masks: &Masks) -> Result<u64> {
    masks.values().map(|mask| Ok(crate::run::number(&mask.f_sum(Kind::Int64)?)? as u64)).sum()
}

/// Writes the masks as safetensors: for each matrix the row and the column of each weight that is cut, i32 `[n, 2]`.
///
/// # Errors
/// The file cannot be written.
pub fn write_masks(path: &Path, masks: &Masks) -> Result<()> {
    let places = masks.iter().map(|(name, mask)| {
        let places = mask.f_nonzero()?.f_to_kind(Kind::Int)?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
        let mut bytes = vec![0; places.numel() * 4];
        places.f_copy_data_u8(&mut bytes, places.numel())?;
        Ok((name, places.size()[0] as usize, bytes))
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    let tensors = places.iter().map(|(name, count, bytes)| NewTensor::new(*name, Dtype::I32, &[*count, 2], bytes));
    checkpoint::write_safetensors(path, tensors.collect(), &Default::default())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(calls: &[[f32; 4]]) -> Activity {
        let activity = Activity::default();
        activity.order.borrow_mut().push("ff".into());
        let sums = calls.iter().map(|norms| Tensor::from_slice(norms).square()).collect();
        activity.sums.borrow_mut().insert("ff".into(), sums);
        activity
    }

    fn found(recipe: &NeuronsRecipe, without: &[[f32; 4]], with: &[[f32; 4]]) -> Vec<bool> {
        let weight = Tensor::from_slice(&[1.0f32, 2.0, -3.0, 1.0, 4.0, 1.0, 1.0, -5.0]).reshape([2, 4]);
        let parameters = [("ff.net.2.weight".to_owned(), weight)];
        let masks = masks(&parameters, &activity(without), &activity(with), recipe).unwrap();
        let masked = cut(&parameters, &masks).unwrap();
        let zeros: Vec<bool> = Vec::try_from(masked[0].1.eq(0.0).flatten(0, -1)).unwrap();
        assert_eq!(count(&masks).unwrap() as usize, zeros.iter().filter(|zero| **zero).count());
        zeros
    }

    #[test]
    fn the_highest_scores_of_each_row_that_rise_with_the_concept() {
        // Scores with: 1 2 6 1 / 4 1 2 5; without: 1 2 3 1 / 4 1 1 10. One of four in each row.
        let recipe = NeuronsRecipe { ratio: 0.25, ..NeuronsRecipe::default() };
        let (without, with) = ([[1.0, 1.0, 1.0, 2.0]], [[1.0, 1.0, 2.0, 1.0]]);
        assert_eq!(found(&recipe, &without, &with), [false, false, true, false, false, false, false, false]);
        // Half of each row: 6 and 2; 5 and 4, neither of which rises.
        let recipe = NeuronsRecipe { ratio: 0.5, ..recipe };
        assert_eq!(found(&recipe, &without, &with), [false, false, true, false, false, false, false, false]);
    }

    #[test]
    fn a_share_that_gives_none_gives_one() {
        let recipe = NeuronsRecipe { ratio: 0.01, ..NeuronsRecipe::default() };
        let zeros = found(&recipe, &[[1.0; 4]], &[[2.0; 4]]);
        assert_eq!(zeros, [false, false, true, false, false, false, false, true]);
    }

    #[test]
    fn in_any_call_or_in_more_than_a_share_of_them() {
        let (without, first, second) = ([1.0; 4], [2.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 2.0]);
        // Row 0 never: 3 stays 3. Row 1: call 0 raises 4 to 8, call 1 raises 5 to 10.
        let recipe = NeuronsRecipe { ratio: 0.25, ..NeuronsRecipe::default() };
        let any = found(&recipe, &[without; 2], &[first, second]);
        assert_eq!(any, [false, false, false, false, true, false, false, true]);
        let both = NeuronsRecipe { select_ratio: 0.5, ..recipe.clone() };
        assert_eq!(found(&both, &[without; 2], &[first, second]), [false; 8]);
        let first_only = NeuronsRecipe { calls: 1, ..recipe };
        let found = found(&first_only, &[without; 2], &[first, second]);
        assert_eq!(found, [false, false, false, false, true, false, false, false]);
    }

    #[test]
    fn each_token_counts_alike() {
        let activity = Activity::default();
        let hidden = Tensor::from_slice(&[3.0f32, 4.0, 0.0, 1000.0]).reshape([1, 2, 2]);
        activity.add("ff", &hidden).unwrap();
        activity.add("ff", &hidden).unwrap();
        activity.begin();
        activity.add("ff", &hidden).unwrap();
        let norm = |call| Vec::<f32>::try_from(activity.norms("ff", call).unwrap().unwrap()).unwrap();
        // (0.6, 0.8) and (0, 1): 0.36 and 1.64, twice in the first call.
        for (found, wanted) in norm(0).into_iter().zip([0.72f32.sqrt(), 3.28f32.sqrt()]) {
            assert!((found - wanted).abs() < 1e-6);
        }
        for (found, wanted) in norm(1).into_iter().zip([0.6f32, 1.64f32.sqrt()]) {
            assert!((found - wanted).abs() < 1e-6);
        }
    }
}
