//! The judge: which style, shapes and colours a picture shows. It learns from renderings and from what the autoencoder makes of them,
//! because the pictures that it will judge come out of that autoencoder.

use super::Examples;
use crate::{
    learn::Variable,
    run::{
        LoopSettings, Loss, Result, Task,
        streams::{Use, choices},
    },
    torch::{Initial, Torch, Value, Variables},
    world::{Colour, Scene, Shape, Style},
};
use pleach_model::{
    params::Params,
    sites::Pass,
    vision::{Choice, Head, Seen, Vision, VisionConfig},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Reduction, Tensor, no_grad};

/// The judge's part of the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeRecipe {
    /// Channels of each level.
    pub channels: Vec<usize>,
    /// Features of the penultimate layer.
    pub features: usize,
    /// Pictures in a batch.
    pub batch: usize,
    /// The loop.
    #[serde(rename = "loop")]
    pub settings: LoopSettings,
}

impl Default for JudgeRecipe {
    fn default() -> Self {
        Self {
            channels: vec![32, 64, 96, 128],
            features: 128,
            batch: 48,
            settings: super::loop_settings(3000, 2e-3, Some(0.995)),
        }
    }
}

impl JudgeRecipe {
    /// The network's configuration.
    pub fn config(&self) -> VisionConfig {
        fn head(name: &str, choice: Choice, classes: impl Iterator<Item = &'static str>) -> Head {
            Head { name: name.to_owned(), classes: classes.map(str::to_owned).collect(), choice }
        }
        VisionConfig {
            in_channels: 3,
            block_out_channels: self.channels.clone(),
            layers_per_block: 1,
            norm_num_groups: 16,
            features: self.features,
            heads: vec![
                head("style", Choice::OneOf, Style::ALL.iter().map(|style| style.word())),
                head("shape", Choice::AnyOf, Shape::ALL.iter().map(|shape| shape.word())),
                head("colour", Choice::AnyOf, Colour::ALL.iter().map(|colour| colour.word())),
            ],
        }
    }
}

pub(super) struct JudgeTask<'a> {
    torch: &'a Torch,
    recipe: &'a JudgeRecipe,
    seed: u64,
    examples: &'a Examples,
    network: Vision<Torch>,
    variables: Vec<Variable>,
}

impl<'a> JudgeTask<'a> {
    pub fn new(torch: &'a Torch, recipe: &'a JudgeRecipe, seed: u64, examples: &'a Examples) -> Result<Self> {
        let source = Variables::new(Initial { seed });
        let network = Vision::new(&recipe.config(), &Params::new(torch, &source))?;
        Ok(Self { torch, recipe, seed, examples, network, variables: source.into_list() })
    }

    fn look(&self, pictures: Tensor) -> Result<Seen<Value>> {
        Ok(self.network.forward(&Pass::plain(self.torch), &Value::try_from(pictures)?)?)
    }

    /// The pictures, each a little too bright or dark, as generated ones are.
    fn inputs(&self, chosen: &[usize], micro: u64) -> Result<Tensor> {
        let all = self.examples.pictures(chosen)?;
        let mut random = choices(self.seed, Use::Dropout, micro);
        let mut jitter = |spread: f32| (random.bits() >> 40) as f32 * 2f32.powi(-23) * spread - spread;
        let gains: Vec<f32> = chosen.iter().map(|_| 1.0 + jitter(0.1)).collect();
        let shifts: Vec<f32> = chosen.iter().map(|_| jitter(0.06)).collect();
        let each = |values: &[f32]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?.f_reshape([-1, 1, 1, 1])?.f_to_device(self.torch.device())?)
        };
        Ok(all.f_mul(&each(&gains)?)?.f_add(&each(&shifts)?)?)
    }
}

/// Truth of each head: the style's number `[B]`, and whether each shape and colour is there, `[B, classes]`.
fn truth(scenes: &[&Scene], torch: &Torch) -> Result<[Tensor; 3]> {
    let styles: Vec<i64> = scenes.iter().map(|scene| index(Style::ALL, &scene.style)).collect();
    let shapes = scenes.iter().map(|scene| {
        Shape::ALL.iter().map(|shape| f32::from(u8::from(scene.objects.iter().any(|o| o.shape == *shape))))
    });
    let colours = scenes.iter().map(|scene| {
        Colour::ALL.iter().map(|colour| f32::from(u8::from(scene.objects.iter().any(|o| o.colour == *colour))))
    });
    let table = |values: Vec<f32>| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(&values)?.f_reshape([scenes.len() as i64, -1])?.f_to_device(torch.device())?)
    };
    Ok([
        Tensor::f_from_slice(&styles)?.f_to_device(torch.device())?,
        table(shapes.flatten().collect())?,
        table(colours.flatten().collect())?,
    ])
}

fn index<T: PartialEq>(all: &[T], one: &T) -> i64 {
    all.iter().position(|other| other == one).unwrap_or(0) as i64
}

impl Task for JudgeTask<'_> {
    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let chosen = self.examples.choose(self.recipe.batch, self.seed, micro);
        let seen = self.look(self.inputs(&chosen, micro)?)?;
        let scenes: Vec<&Scene> = chosen.iter().map(|&index| &self.examples.sample(index).scene).collect();
        let truth = truth(&scenes, self.torch)?;
        let mut parts = Vec::new();
        for (i, (name, head)) in ["style", "shape", "colour"].into_iter().zip(&seen.heads).enumerate() {
            let loss = if i == 0 {
                head.tensor().f_cross_entropy_loss(&truth[i], None::<Tensor>, Reduction::Mean, -100, 0.0)?
            } else {
                let none = None::<Tensor>;
                // Summed over classes, so that it weighs as much as a choice among them.
                let classes = truth[i].size().last().copied().unwrap_or(1) as f64;
                let loss = head.tensor().f_binary_cross_entropy_with_logits(
                    &truth[i],
                    none,
                    None::<Tensor>,
                    Reduction::Mean,
                )?;
                loss.f_mul_scalar(classes)?
            };
            parts.push((name, loss));
        }
        let total = parts.iter().map(|(_, loss)| loss).try_fold(None, |sum: Option<Tensor>, loss| {
            Ok::<_, tch::TchError>(Some(match sum {
                Some(sum) => sum.f_add(loss)?,
                None => loss.shallow_clone(),
            }))
        })?;
        let total = total.ok_or_else(|| crate::torch::Error::Torch("the judge has no heads".into()))?;
        Ok(Loss { total, parts })
    }
}

/// How often a judge is right on pictures: for each head, the share in which all that it says is right (the most likely style; all
/// shapes and colours with a score above one half, and no others).
pub(super) fn accuracy(network: &Vision<Torch>, torch: &Torch, fresh: &Examples) -> Result<BTreeMap<String, f64>> {
    let mut right = [0.0; 3];
    let all: Vec<usize> = (0..fresh.len()).collect();
    for part in all.chunks(64) {
        let pictures = fresh.pictures(part)?;
        let seen = no_grad(|| {
            network.forward(&Pass::plain(torch), &Value::try_from(pictures)?).map_err(crate::run::Error::from)
        })?;
        let scenes: Vec<&Scene> = part.iter().map(|&index| &fresh.sample(index).scene).collect();
        for (i, (truth, head)) in truth(&scenes, torch)?.iter().zip(&seen.heads).enumerate() {
            let good = if i == 0 {
                head.tensor().f_argmax(1, false)?.f_eq_tensor(truth)?
            } else {
                head.tensor().f_gt(0.0)?.f_eq_tensor(&truth.f_gt(0.5)?)?.f_all_dim(1, false)?
            };
            right[i] += good.f_sum(Kind::Int64)?.f_double_value(&[])?;
        }
    }
    let names = ["style", "shape", "colour"].into_iter();
    Ok(names.zip(right).map(|(name, count)| (name.to_owned(), count / fresh.len().max(1) as f64)).collect())
}
