//! Concepts edited in closed form: keys and values of cross-attention are changed so that a concept is read as its guide, and everything
//! else as it was (UCE, Gandikota et al. 2024). Nothing is trained.

use super::concept::{has, normal};
use crate::{
    encoders::TextEncoder,
    run::{Error, Result},
};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

/// Which of a prompt's token vectors are edited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edited {
    /// The last token of the phrase (the authors' present script).
    #[default]
    Last,
    /// From the last token of the phrase to the end of the padding, concept and guide side by side (the authors' first script, which the
    /// paper used).
    FromLast,
    /// Every token, concept and guide side by side: for whole prompts whose guides are as long. What they share is preserved.
    All,
}

/// What the edited vectors of a concept become, for each matrix W.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Technique {
    /// What the guide's become: `W g`.
    #[default]
    Replace,
    /// The same less its projection on what the concept's were, `W g - <W g, W c> / <W c, W c> W c`, over all tokens of a phrase together
    /// (an option of the authors' first script).
    Tensor,
}

/// How concepts are edited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UceRecipe {
    /// Weight of what the matrices are: lambda.
    pub lambda: f64,
    /// Weight of what is erased.
    pub erase_scale: f64,
    /// Weight of what is preserved; without one, 1, or where `edited` is `from_last`, as in the authors' first script, the larger of 0.1 and
    /// one for all of them together.
    pub preserve_scale: Option<f64>,
    /// Prompts that are read as before.
    pub preserve: Vec<String>,
    /// Which token vectors are edited.
    pub edited: Edited,
    /// What its token vectors become.
    pub technique: Technique,
    /// What a concept without an anchor becomes.
    pub guide: String,
}

impl Default for UceRecipe {
    fn default() -> Self {
        Self {
            lambda: 0.5,
            erase_scale: 1.0,
            preserve_scale: None,
            preserve: Vec::new(),
            edited: Edited::default(),
            technique: Technique::default(),
            guide: String::new(),
        }
    }
}

impl UceRecipe {
    /// # Errors
    /// The first key with a value that no edit can have, and a prompt to be preserved that is in the name of a concept, or has one in it.
    pub fn check(&self, erased: &[String]) -> Result<()> {
        let wrong = |key, value: f64, expected| Err(Error::Setting { key, value: value.to_string(), expected });
        // Without it what no prompt reaches is undetermined.
        if !(self.lambda > 0.0 && self.lambda.is_finite()) {
            return wrong("uce.lambda", self.lambda, "a number above 0");
        }
        if !(self.erase_scale >= 0.0 && self.erase_scale.is_finite()) {
            return wrong("uce.erase_scale", self.erase_scale, "a number, at least 0");
        }
        if let Some(scale) = self.preserve_scale.filter(|scale| !(*scale >= 0.0 && scale.is_finite())) {
            return wrong("uce.preserve_scale", scale, "a number, at least 0");
        }
        for preserved in &self.preserve {
            let entry = normal(preserved);
            if let Some(name) =
                erased.iter().map(|name| normal(name)).find(|name| has(&entry, name) || has(name, &entry))
            {
                let reason = format!(
                    "it is to be erased, and the list of what is preserved has {preserved:?}: take one of them out"
                );
                return Err(Error::Concept { name, reason });
            }
        }
        Ok(())
    }

    fn preserve_scale(&self) -> f64 {
        match (self.preserve_scale, self.edited) {
            (Some(scale), _) => scale,
            (None, Edited::Last | Edited::All) => 1.0,
            (None, Edited::FromLast) => (1.0 / self.preserve.len().max(1) as f64).max(0.1),
        }
    }
}

/// Token vectors that are read as others, `[n, D]` each, with weights `[n]`, all in f64.
pub struct Edits {
    from: Tensor,
    to: Tensor,
    weights: Tensor,
    /// How many vectors each concept has that becomes only what of its guide it was not: the first ones.
    projected: Vec<i64>,
}

impl Edits {
    /// `from` should be read as `to`, each with its weight.
    ///
    /// # Errors
    /// What libtorch says, such as of lists of different lengths.
    pub fn new(from: &Tensor, to: &Tensor, weights: &[f64]) -> Result<Self> {
        let double = |tensor: &Tensor| tensor.f_to_kind(Kind::Double);
        Ok(Self {
            from: double(from)?,
            to: double(to)?,
            weights: Tensor::f_from_slice(weights)?.f_to_device(from.device())?,
            projected: Vec::new(),
        })
    }

    /// The same, where the first vectors are those of concepts, so many of each, and become what [`Technique::Tensor`] says.
    #[must_use]
    pub fn projected(self, concepts: Vec<i64>) -> Self {
        Self { projected: concepts, ..self }
    }

    /// The edits of phrases and the phrases that they become, and of what is preserved.
    ///
    /// # Errors
    /// A phrase that the tokenizer cuts; what it or libtorch says.
    pub fn of(phrases: &[(String, String)], recipe: &UceRecipe, text: &TextEncoder) -> Result<Self> {
        let (mut from, mut to, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut add = |[old, new]: [Tensor; 2], scale: f64| {
            let length = old.size().first().copied().unwrap_or(0);
            weights.extend(std::iter::repeat_n(scale, length as usize));
            from.push(old);
            to.push(new);
            length
        };
        let mut projected = Vec::new();
        for (phrase, guide) in phrases {
            // As the scripts have it: what has no guide becomes a space.
            let guide = if guide.trim().is_empty() { " " } else { guide };
            let length = add(tokens([phrase, guide], recipe.edited, text)?, recipe.erase_scale);
            if recipe.technique == Technique::Tensor {
                projected.push(length);
            }
        }
        for preserved in &recipe.preserve {
            let rows = match recipe.edited {
                Edited::Last => tokens([preserved, preserved], Edited::Last, text)?,
                Edited::FromLast | Edited::All => {
                    let all = text.encode(std::slice::from_ref(preserved))?.f_select(0, 0)?;
                    [all.shallow_clone(), all]
                }
            };
            add(rows, recipe.preserve_scale());
        }
        if from.is_empty() {
            return Err(Error::Setting { key: "concepts", value: "empty".into(), expected: "at least one concept" });
        }
        Ok(Self::new(&Tensor::f_cat(&from, 0)?, &Tensor::f_cat(&to, 0)?, &weights)?.projected(projected))
    }

    /// The same on a device.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn on(&self, device: Device) -> Result<Self> {
        let [from, to, weights] = [&self.from, &self.to, &self.weights].map(|tensor| tensor.f_to_device(device));
        Ok(Self { from: from?, to: to?, weights: weights?, projected: self.projected.clone() })
    }

    /// Each matrix `[rows, D]`, edited: `(lambda W + sum s W g c^T) (lambda I + sum s c c^T)^-1` over the vectors c that should be read as g.
    /// The matrix that is inverted is the same for all, so it is factored once.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn apply(&self, matrices: &[Tensor], lambda: f64) -> Result<Vec<Tensor>> {
        no_grad(|| {
            let weighed = self.from.f_mul(&self.weights.f_unsqueeze(1)?)?;
            let width = self.from.size().last().copied().unwrap_or(0);
            let identity = Tensor::f_eye(width, (Kind::Double, self.from.device()))?;
            let all = identity.f_mul_scalar(lambda)?.f_add(&self.from.f_transpose(0, 1)?.f_matmul(&weighed)?)?;
            let factor = all.f_linalg_cholesky(false)?;
            let change = |to: &Tensor| -> Result<Tensor> { Ok(to.f_transpose(0, 1)?.f_matmul(&weighed)?) };
            let replaced = change(&self.to)?;
            let edit = |matrix: &Tensor| -> Result<Tensor> {
                let old = matrix.f_to_kind(Kind::Double)?;
                let change = match &self.projected[..] {
                    [] => replaced.shallow_clone(),
                    concepts => change(&self.without_themselves(concepts, &old)?)?,
                };
                let right = old.f_mul_scalar(lambda)?.f_add(&old.f_matmul(&change)?)?;
                // X A = R, and A is symmetric: A X^T = R^T.
                let new = right.f_transpose(0, 1)?.f_cholesky_solve(&factor, false)?.f_transpose(0, 1)?;
                Ok(new.f_to_kind(matrix.f_kind()?)?.f_contiguous()?)
            };
            matrices.iter().map(edit).collect()
        })
    }

    /// What vectors become, where those of concepts lose what a matrix makes of them now.
    fn without_themselves(&self, concepts: &[i64], matrix: &Tensor) -> Result<Tensor> {
        let to = self.to.f_detach_copy()?;
        let mut first = 0;
        for length in concepts {
            let [old, new] = [&self.from, &self.to].map(|rows| rows.f_narrow(0, first, *length));
            let (old, mut row) = (old?, to.f_narrow(0, first, *length)?);
            let read = |rows: &Tensor| rows.f_matmul(&matrix.f_transpose(0, 1)?);
            let (was, becomes) = (read(&old)?, read(&new?)?);
            // A matrix that reads nothing of the concept has nothing to take away.
            let size = was.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
            let common = was.f_mul(&becomes)?.f_sum(Kind::Double)?.f_double_value(&[])?;
            if size > 0.0 {
                let _ = row.f_sub_(&old.f_mul_scalar(common / size)?)?;
            }
            first += length;
        }
        Ok(to)
    }
}

/// The token vectors of a phrase and of what it becomes that are edited, `[n, D]` each.
fn tokens(phrases: [&str; 2], edited: Edited, text: &TextEncoder) -> Result<[Tensor; 2]> {
    let mut last = [0; 2];
    for (phrase, last) in phrases.into_iter().zip(&mut last) {
        let tokens = text.tokenizer().encode(phrase)?;
        if tokens.dropped > 0 {
            let reason = format!("the tokenizer keeps {} ids and cuts {} of its tokens", tokens.length, tokens.dropped);
            return Err(Error::Concept { name: phrase.to_owned(), reason });
        }
        // The end token comes after the phrase; of an empty one the first token of all is taken.
        *last = tokens.length.saturating_sub(2) as i64;
    }
    let rows = text.encode(&phrases.map(str::to_owned))?;
    let length = match edited {
        Edited::Last => 1,
        Edited::FromLast => text.shape()[0] as i64 - last[0].max(last[1]),
        Edited::All => {
            last = [0; 2];
            text.shape()[0] as i64
        }
    };
    let [old, new] = [0, 1].map(|i| rows.f_select(0, i as i64)?.f_narrow(0, last[i], length));
    Ok([old?, new?])
}

/// Whether a parameter is a matrix that UCE edits.
pub fn is_edited(name: &str) -> bool {
    name.ends_with("attn2.to_k.weight") || name.ends_with("attn2.to_v.weight")
}

/// A network's parameters, with those edited that read prompts. The others are the same.
///
/// # Errors
/// A network that reads no prompts; what libtorch says.
pub fn edited(parameters: &[(String, Tensor)], edits: &Edits, lambda: f64) -> Result<Vec<(String, Tensor)>> {
    let matrices: Vec<Tensor> =
        parameters.iter().filter(|(name, _)| is_edited(name)).map(|(_, tensor)| tensor.shallow_clone()).collect();
    if matrices.is_empty() {
        return Err(crate::torch::Error::Torch("the network has no cross-attention to edit".into()).into());
    }
    let mut new = edits.apply(&matrices, lambda)?.into_iter();
    let take = |(name, tensor): &(String, Tensor)| {
        let edited = is_edited(name).then(|| new.next()).flatten();
        (name.clone(), edited.unwrap_or_else(|| tensor.shallow_clone()))
    };
    Ok(parameters.iter().map(take).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(shape: &[i64], seed: u64) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        let values = pleach_model::noise::Generator::new(seed).randn(count);
        Tensor::from_slice(&values).reshape(shape).to_kind(Kind::Double)
    }

    fn largest(tensor: &Tensor) -> f64 {
        tensor.abs().max().double_value(&[])
    }

    #[test]
    fn what_is_only_preserved_changes_nothing() {
        let (w, c) = (random(&[5, 8], 1), random(&[3, 8], 2));
        let new = Edits::new(&c, &c, &[1.0, 0.3, 2.0]).unwrap().apply(&[w.shallow_clone()], 0.5).unwrap();
        assert!(largest(&(&new[0] - &w)) < 1e-12);
    }

    #[test]
    fn with_no_weight_on_the_old_matrix_a_concept_is_its_guide() {
        let (w, c, g) = (random(&[5, 8], 1), random(&[1, 8], 2), random(&[1, 8], 3));
        let new = Edits::new(&c, &g, &[1.0]).unwrap().apply(&[w.shallow_clone()], 1e-9).unwrap();
        let (found, wanted) = (new[0].matmul(&c.transpose(0, 1)), w.matmul(&g.transpose(0, 1)));
        assert!(largest(&(found - wanted)) < 1e-7);
    }

    #[test]
    fn what_is_orthogonal_to_all_of_them_is_read_as_before() {
        let (w, c, g) = (random(&[5, 8], 1), random(&[2, 8], 2), random(&[2, 8], 3));
        let edits = Edits::new(&c, &g, &[1.0, 1.0]).unwrap();
        let new = &edits.apply(&[w.shallow_clone()], 0.5).unwrap()[0];
        // x less its projection on the concepts
        let x = random(&[8, 1], 4);
        let projection = c.transpose(0, 1).matmul(&c.matmul(&c.transpose(0, 1)).inverse()).matmul(&c).matmul(&x);
        let x = x - projection;
        assert!(largest(&(new.matmul(&x) - w.matmul(&x))) < 1e-12);
        // and nothing else is
        assert!(largest(&(new - &w)) > 0.1);
    }

    #[test]
    fn the_formula_by_hand() {
        // W = [2, 3], c = (1, 0), g = (0, 1), lambda 1: ([2, 3] + 3 (1, 0)) diag(2, 1)^-1 = [2.5, 3].
        let row = |values: [f64; 2]| Tensor::from_slice(&values).reshape([1, 2]);
        let edits = Edits::new(&row([1.0, 0.0]), &row([0.0, 1.0]), &[1.0]).unwrap();
        let new = &edits.apply(&[row([2.0, 3.0])], 1.0).unwrap()[0];
        assert!(largest(&(new - row([2.5, 3.0]))) < 1e-15);
        let f32s = edits.apply(&[row([2.0, 3.0]).to_kind(Kind::Float)], 1.0).unwrap();
        assert_eq!((f32s[0].kind(), f32s[0].device()), (Kind::Float, Device::Cpu));
    }

    #[test]
    fn the_projected_formula_by_hand() {
        // One concept of two tokens, c = (1, 0) and (0, 1), towards g = (1, 1) and (0, 0), W = [2, 1]: W c = 2, 1 and W g = 3, 0, so
        // 6 / 5 of W c is taken away, 0.6 and -1.2 are left. With lambda 0 in the limit W c becomes just that.
        let rows = |values: [f64; 4]| Tensor::from_slice(&values).reshape([2, 2]);
        let w = Tensor::from_slice(&[2.0, 1.0]).reshape([1, 2]);
        let edits = || Edits::new(&rows([1.0, 0.0, 0.0, 1.0]), &rows([1.0, 1.0, 0.0, 0.0]), &[1.0, 1.0]).unwrap();
        let new = |edits: Edits| edits.apply(&[w.shallow_clone()], 1e-12).unwrap().remove(0);
        let projected = new(edits().projected(vec![2]));
        assert!(largest(&(&projected - Tensor::from_slice(&[0.6, -1.2]))) < 1e-9, "{projected}");
        // Two concepts of one token each: 3 less 3 / 2 of 2, and 0, which is left.
        let apart = new(edits().projected(vec![1, 1]));
        assert!(largest(&apart) < 1e-9, "{apart}");
        let replaced = new(edits());
        assert!(largest(&(&replaced - Tensor::from_slice(&[3.0, 0.0]))) < 1e-9, "{replaced}");
    }

    #[test]
    fn what_is_erased_cannot_be_preserved() {
        let recipe = |preserve: &[&str]| UceRecipe {
            preserve: preserve.iter().map(|entry| (*entry).to_owned()).collect(),
            ..UceRecipe::default()
        };
        let erased = ["van Gogh".to_owned()];
        assert!(recipe(&["Claude Monet", "Gogan"]).check(&erased).is_ok());
        for overlapping in ["Vincent Van Gogh", "gogh", "VAN  GOGH"] {
            let error = recipe(&["Claude Monet", overlapping]).check(&erased).unwrap_err().to_string();
            assert!(error.contains("van gogh") && error.contains(overlapping), "{error}");
        }
    }

    #[test]
    fn preserved_prompts_weigh_as_the_scripts_have_it() {
        let recipe = |edited, n: usize| UceRecipe { edited, preserve: vec![String::new(); n], ..UceRecipe::default() };
        assert_eq!(recipe(Edited::Last, 4).preserve_scale(), 1.0);
        assert_eq!(recipe(Edited::All, 4).preserve_scale(), 1.0);
        assert_eq!(recipe(Edited::FromLast, 4).preserve_scale(), 0.25);
        assert_eq!(recipe(Edited::FromLast, 1734).preserve_scale(), 0.1);
    }
}
