//! Which expert each caption of a data set goes to.

use crate::{
    data::{Dataset, Part},
    encoders::Sentences,
    run::{Error, Result},
    torch::{Torch, Value, Weights},
};
use pleach_model::{
    checkpoint::{Checkpoint, Spelling},
    counter,
    family::{ENCODER, FamilyFolder, ROUTER},
    files,
    params::Params,
    router::{Route, Router},
    tensor::Dtype,
    vector::VectorLayout,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, path::Path};
use tch::{Device, no_grad};

/// A family's router, in libtorch.
pub struct PromptRouter {
    torch: Torch,
    sentences: Sentences,
    router: Router<Torch>,
}

impl PromptRouter {
    /// The router of a family; none where it has none.
    ///
    /// # Errors
    /// Weights that do not fit, a sentence encoder that cannot be opened.
    pub fn open(family: &FamilyFolder, device: Device) -> Result<Option<Self>> {
        let Some(entry) = family.router() else { return Ok(None) };
        let layout = VectorLayout::of(family.config())?;
        let torch = Torch::new(device, Dtype::F32)?;
        let checkpoint = Checkpoint::open(&family.root().join(ROUTER))?;
        let tensors = counter::router(&entry.config, &layout)?.tensors;
        let bound = checkpoint.bind(&tensors, Spelling::Router)?;
        let router = Router::new(&entry.config, &layout, &Params::new(&torch, &Weights::new(&bound)))?;
        let sentences = Sentences::open(&family.root().join(ENCODER), device)?;
        Ok(Some(Self { torch, sentences, router }))
    }

    /// Where each prompt goes. Each is a function of the prompt alone: what else is in the list changes nothing but rounding.
    ///
    /// # Errors
    /// What the tokenizer or libtorch says.
    pub fn routes(&self, prompts: &[String]) -> Result<Vec<Route>> {
        let embeddings = Value::try_from(self.sentences.encode(prompts)?)?;
        let scores = no_grad(|| self.router.forward(&self.torch, &embeddings))?;
        let experts = scores.tensor().size().last().copied().unwrap_or(1).max(1) as usize;
        Ok(scores.to_f32()?.chunks(experts).map(Route::of).collect())
    }
}

/// A caption's way, a line of `routes.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routed {
    /// What the data set calls the picture.
    pub file_name: String,
    /// The caption.
    pub text: String,
    /// Name of the expert.
    pub expert: String,
    /// Its score less the next one's.
    pub margin: f32,
    /// Score of each expert, in the order of the manifest.
    pub scores: Vec<f32>,
}

/// Writes routes, one JSON object in each line.
///
/// # Errors
/// The file cannot be written.
pub fn write_routes(path: &Path, routes: &[Routed]) -> Result<()> {
    let mut bytes = Vec::new();
    for route in routes {
        serde_json::to_writer(&mut bytes, route).map_err(|error| Error::Routes { reason: error.to_string() })?;
        bytes.push(b'\n');
    }
    Ok(files::write(path, &bytes)?)
}

/// Reads what [`write_routes`] wrote.
///
/// # Errors
/// The file cannot be read; a line that is no route.
pub fn read_routes(path: &Path) -> Result<Vec<Routed>> {
    let bytes = files::read_bounded(path, MAX_ROUTES)?;
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let read = |(number, line): (usize, &[u8])| {
        files::json_object(line).map_err(|error| Error::Routes {
            reason: format!("line {} of {} is none: {error}", number + 1, path.display()),
        })
    };
    lines.map(read).collect()
}

/// Some hundred bytes for each of several million captions.
const MAX_ROUTES: u64 = 4 << 30;
/// Captions routed at once.
const AT_ONCE: usize = 64;

/// Routes every caption of a data set; `done` is called with the number of those that are.
///
/// # Errors
/// What the router says.
pub fn route(
    dataset: &dyn Dataset,
    router: &PromptRouter,
    names: &[String],
    done: &dyn Fn(usize),
) -> Result<Vec<Routed>> {
    let captions = (0..dataset.len()).flat_map(|index| {
        let name = dataset.name(index).into_owned();
        dataset.captions(index).iter().map(|text| (name.clone(), text.clone())).collect::<Vec<_>>()
    });
    let captions: Vec<(String, String)> = captions.collect();
    let mut routed = Vec::with_capacity(captions.len());
    for part in captions.chunks(AT_ONCE) {
        let texts: Vec<String> = part.iter().map(|(_, text)| text.clone()).collect();
        for ((file_name, text), route) in part.iter().cloned().zip(router.routes(&texts)?) {
            let expert = names.get(route.expert).cloned().unwrap_or_default();
            routed.push(Routed { file_name, text, expert, margin: route.margin, scores: route.scores });
        }
        done(routed.len());
    }
    Ok(routed)
}

/// The part of a data set that goes to one expert.
///
/// # Errors
/// [`Error::Routes`] where a caption has no route, or none goes there.
pub fn part_of(dataset: &dyn Dataset, routes: &[Routed], expert: &str) -> Result<Part> {
    let known: HashMap<(&str, &str), &str> =
        routes.iter().map(|route| ((&*route.file_name, &*route.text), &*route.expert)).collect();
    let of = |index: usize| {
        let name = dataset.name(index);
        let captions = dataset.captions(index);
        let mut kept = Vec::new();
        for (number, text) in captions.iter().enumerate() {
            match known.get(&(&*name, &**text)) {
                Some(found) if *found == expert => kept.push(number),
                Some(_) => {}
                None => {
                    return Err(Error::Routes {
                        reason: format!("{name} with the caption {text:?} is not among them"),
                    });
                }
            }
        }
        Ok(kept)
    };
    let part = Part::new((0..dataset.len()).map(of).collect::<Result<Vec<_>>>()?);
    if part.is_empty() {
        return Err(Error::Idle { expert: expert.to_owned() });
    }
    Ok(part)
}

#[cfg(test)]
mod tests;
