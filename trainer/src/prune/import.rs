//! Families that APTP's authors published: predictor, codebook and experts as separate safetensors files.

use super::LearntExpert;
use crate::run::{Error, Result};
use pleach_model::{
    architecture::Architecture,
    checkpoint::{Checkpoint, Spelling, TensorView},
    counter,
    family::GATES,
    gating::Relaxation,
    router::{RouterConfig, RoutingNoise},
    tensor::TensorSpec,
    unet::UNetConfig,
    vector::VectorLayout,
};
use std::{collections::HashMap, path::Path};
use tch::Tensor;

/// A router that was published.
pub struct Published {
    /// Sizes and rules.
    pub config: RouterConfig,
    /// The predictor's tensors, and the codes' logits where they are there.
    pub tensors: Vec<(String, Tensor)>,
    /// The experts' gates, in the order of the codes.
    pub experts: Vec<LearntExpert>,
}

/// The codes' logits, which routing does without.
const CODES: &str = "embedding.weight";

/// Reads a predictor (`mh_fc.*`) and a codebook (`embedding_gs`) for the network of `config`.
///
/// # Errors
/// Files that are no safetensors, tensors that are missing or of another network.
pub fn published(
    config: &UNetConfig,
    predictor: &Path,
    codebook: &Path,
    relaxation: Relaxation,
    noise: RoutingNoise,
) -> Result<Published> {
    let layout = VectorLayout::of(config)?;
    let (predictor, codebook) = (Checkpoint::open(predictor)?, Checkpoint::open(codebook)?);
    let rows = |checkpoint: &Checkpoint, name: &str, axis: usize| -> Result<usize> {
        let shape = checkpoint.get(name)?.shape;
        shape.get(axis).copied().filter(|_| shape.len() == 2).ok_or_else(|| Error::Import {
            path: checkpoint.path().to_owned(),
            reason: format!("{name} has the shape {shape:?}, not that of a matrix"),
        })
    };
    let features = rows(&predictor, "mh_fc.0.weight", 1)?;
    let experts = rows(&codebook, GATES, 0)?;
    let config = RouterConfig { features, experts, relaxation, noise };
    let (codes, layers): (Vec<TensorSpec>, Vec<TensorSpec>) =
        counter::router(&config, &layout)?.tensors.into_iter().partition(|spec| spec.name == GATES);
    let bound = predictor.bind(&layers, Spelling::Router)?;
    let mut tensors: Vec<(String, Tensor)> =
        layers.iter().map(|spec| Ok((spec.name.clone(), tensor(&bound.get(&spec.name)?)?))).collect::<Result<_>>()?;
    if let Ok(logits) = codebook.get(CODES) {
        tensors.push((CODES.to_owned(), tensor(&logits)?));
    }
    let gates = codebook.bind(&codes, Spelling::Router)?.get(GATES)?.to_f32()?;
    let expert = |gates: &[f32]| {
        let open: Vec<bool> = gates.iter().map(|gate| *gate >= 0.5).collect();
        Ok(LearntExpert { gates: gates.to_vec(), architecture: layout.architecture(&open)? })
    };
    Ok(Published { config, tensors, experts: gates.chunks(layout.len()).map(expert).collect::<Result<_>>()? })
}

fn tensor(view: &TensorView<'_>) -> Result<Tensor> {
    let shape: Vec<i64> = view.shape.iter().map(|&dim| dim as i64).collect();
    Ok(Tensor::f_from_slice(&view.to_f32()?)?.f_reshape(shape)?)
}

/// What is left of an expert, as its tensors' shapes tell; where its code is known, exactly that, if it has these shapes.
///
/// # Errors
/// [`Error::Import`] where code and shapes are of two networks; shapes of none.
pub fn inferred(config: &UNetConfig, expert: &Checkpoint, code: Option<&Architecture>) -> Result<Architecture> {
    let stored: HashMap<String, &str> = expert.names().map(|name| (Spelling::Unet.canonical(name), name)).collect();
    let shape = |name: &str| Some(expert.get(stored.get(name)?).ok()?.shape.to_vec());
    let found = Architecture::inferred(config, shape)?;
    let Some(code) = code else { return Ok(found) };
    for width in VectorLayout::of(config)?.widths {
        let units = width.entries.len();
        let (found, expected) = (found.left(&width.site, units), code.left(&width.site, units));
        if found != expected {
            return Err(Error::Import {
                path: expert.path().to_owned(),
                reason: format!("it has {found} of {units} units at {}, its code says {expected}", width.site),
            });
        }
    }
    Ok(code.clone())
}
