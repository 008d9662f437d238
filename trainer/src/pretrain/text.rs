//! The text encoder, trained as CLIP is (Radford et al. 2021): captions and pictures that belong together point the same way.

use super::{Examples, JudgeRecipe, world::MEMBERS};
use crate::{
    learn::Variable,
    run::{LoopSettings, Loss, Result, Task},
    torch::{Initial, Torch, Value, Variables},
    world::{SIDE, tokenizer},
};
use pleach_model::{
    backend::{Backend, Constant},
    clip::ClipTextConfig,
    op::Unary,
    params::Params,
    sites::Pass,
    tokenizer::Tokenizer,
    towers::{HEAD, ImageTower, ImageTowerConfig, TextTower, TextTowerConfig},
    vision::{Choice, Head, VisionConfig},
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// The text encoder's part of the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextRecipe {
    /// Features of each position.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Features in which captions and pictures meet.
    pub shared: usize,
    /// Families of siblings in a batch, see [`sibling`](crate::world::sibling). What tells the pairs of a batch apart is what is learnt:
    /// each thing that a caption can say must be the only difference between some of them.
    pub families: usize,
    /// The loop.
    #[serde(rename = "loop")]
    pub settings: LoopSettings,
}

impl Default for TextRecipe {
    fn default() -> Self {
        Self {
            width: 128,
            layers: 4,
            heads: 4,
            shared: 64,
            families: 12,
            settings: super::loop_settings(1600, 1e-3, Some(0.99)),
        }
    }
}

impl TextRecipe {
    /// The text encoder's configuration.
    pub fn config(&self) -> ClipTextConfig {
        ClipTextConfig {
            vocab_size: tokenizer::size(),
            hidden_size: self.width,
            intermediate_size: 4 * self.width,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            max_position_embeddings: 77,
            hidden_act: Unary::Gelu,
            layer_norm_eps: 1e-5,
        }
    }

    /// The image tower's configuration: the judge's, with two more channels that tell where in the picture a pixel is.
    pub fn tower(&self, judge: &JudgeRecipe) -> ImageTowerConfig {
        let classes = (0..self.shared).map(|i| i.to_string()).collect();
        let heads = vec![Head { name: HEAD.to_owned(), classes, choice: Choice::AnyOf }];
        let judge = judge.config();
        let vision = VisionConfig { in_channels: judge.in_channels + 2, heads, ..judge };
        ImageTowerConfig { vision, side: SIDE as usize }
    }
}

pub(super) struct TextTask<'a> {
    torch: &'a Torch,
    recipe: &'a TextRecipe,
    seed: u64,
    examples: &'a Examples,
    tokenizer: &'a Tokenizer,
    text: TextTower<Torch>,
    tower: ImageTower<Torch>,
    scale: Value,
    variables: Vec<Variable>,
}

/// Prefix of the image tower's tensors.
pub(super) const TOWER: &str = "tower.";
/// Logarithm of the largest factor of similarities, as in CLIP: ln 100.
const MOST: f64 = 4.605_170_185_988_092;

impl<'a> TextTask<'a> {
    pub fn new(
        torch: &'a Torch,
        recipe: &'a TextRecipe,
        tower: &ImageTowerConfig,
        seed: u64,
        examples: &'a Examples,
        tokenizer: &'a Tokenizer,
    ) -> Result<Self> {
        let source = Variables::new(Initial { seed });
        let params = Params::new(torch, &source);
        let text = TextTower::new(&TextTowerConfig { text: recipe.config(), shared: recipe.shared }, &params)?;
        let tower = ImageTower::new(tower, &params.at("tower"))?;
        // A weight of one element starts at 1; CLIP starts at ln(1 / 0.07) = 2.66, and gets there soon.
        let scale = params.at("logit_scale").get("weight", &[1])?;
        let variables = source.into_list();
        Ok(Self { torch, recipe, seed, examples, tokenizer, text, tower, scale, variables })
    }

    /// Lets the image tower start as the judge, blind to places: from nothing, so few steps teach it shapes alone, and then no word but
    /// those for shapes.
    pub fn start_as(&mut self, judge: &[(String, Tensor)]) -> Result<()> {
        for (name, start) in judge {
            let named = format!("{TOWER}{name}");
            let Some(variable) = self.variables.iter().find(|(name, _)| *name == named) else { continue };
            tch::no_grad(|| -> Result<()> {
                let mut tensor = variable.1.tensor().shallow_clone();
                if start.dim() == 4 {
                    let _ = tensor.f_zero_()?;
                    tensor = tensor.f_narrow(1, 0, start.size()[1])?;
                }
                tensor.f_copy_(start)?;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Captions at unit length, `[B, shared]`.
    fn captions(&self, chosen: &[usize]) -> Result<Tensor> {
        let captions = chosen.iter().map(|&index| self.tokenizer.encode(&self.examples.sample(index).caption));
        let tokens = captions.collect::<Result<Vec<_>, _>>()?;
        // Attention is causal: what follows the longest caption changes nothing.
        let longest = tokens.iter().map(|tokens| tokens.length).max().unwrap_or(1);
        let ids = tokens.iter().flat_map(|tokens| tokens.ids.iter().take(longest)).map(|&id| i64::from(id)).collect();
        let ids = self.torch.constant(Constant::I64(ids), &[tokens.len(), longest])?;
        Ok(self.text.forward(&Pass::plain(self.torch), &ids)?.tensor().shallow_clone())
    }

    /// Pictures at unit length, `[B, shared]`.
    fn pictures(&self, chosen: &[usize]) -> Result<Tensor> {
        let pictures = Value::try_from(self.examples.pictures(chosen)?)?;
        Ok(self.tower.forward(&Pass::plain(self.torch), &pictures)?.tensor().shallow_clone())
    }
}

impl Task for TextTask<'_> {
    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn loss(&mut self, micro: u64) -> Result<Loss> {
        let chosen = self.examples.choose(self.recipe.families * MEMBERS as usize, self.seed, micro);
        let (captions, pictures) = (self.captions(&chosen)?, self.pictures(&chosen)?);
        let scale = self.scale.tensor().f_clamp_max(MOST)?.f_exp()?;
        let similarity = captions.f_matmul(&pictures.f_transpose(0, 1)?)?.f_mul(&scale)?;
        let own = Tensor::f_arange(chosen.len() as i64, (Kind::Int64, self.torch.device()))?;
        let entropy = |scores: &Tensor| -> Result<Tensor> {
            Ok(scores.f_cross_entropy_loss(&own, None::<Tensor>, Reduction::Mean, -100, 0.0)?)
        };
        let total = entropy(&similarity)?.f_add(&entropy(&similarity.f_transpose(0, 1)?)?)?.f_mul_scalar(0.5)?;
        let right = similarity.f_argmax(1, false)?.f_eq_tensor(&own)?.f_to_kind(Kind::Float)?.f_mean(Kind::Float)?;
        Ok(Loss { total, parts: vec![("matched", right)] })
    }
}
