//! A quick look at what a network draws: a classifier reads its pictures, and what it finds is counted.

use crate::{
    encoders::build,
    run::Result,
    torch::{Torch, Value},
};
use image::RgbImage;
use pleach_model::{
    checkpoint::Spelling,
    counter,
    pipeline::Network,
    sites::Pass,
    tensor::Dtype,
    vision::{Head, Vision, VisionConfig},
};
use serde::Serialize;
use std::{collections::BTreeMap, path::Path};
use tch::{Device, Tensor, no_grad};

/// A classifier of pictures, in libtorch.
pub struct Judge {
    torch: Torch,
    config: VisionConfig,
    network: Vision<Torch>,
}

/// For each head, the classes that should be found: `{"style": ["striped"], "shape": ["star", "ring"]}`.
pub type Labels = BTreeMap<String, Vec<String>>;

/// What was found of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The class.
    pub class: String,
    /// Pictures that should show it.
    pub asked: usize,
    /// Those of them that do.
    pub found: usize,
    /// Pictures that show it though they should not.
    pub unasked: usize,
}

/// What was found by a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeadCount {
    /// The head.
    pub head: String,
    /// Pictures that it was asked of.
    pub asked: usize,
    /// Those that show what they should, and nothing else.
    pub exact: usize,
    /// Each class that was asked of any picture, or found in one.
    pub classes: Vec<ClassCount>,
}

impl Judge {
    /// The classifier in a folder: `config.json` and weights.
    ///
    /// # Errors
    /// A configuration that is not one, weights that do not fit.
    pub fn open(folder: &Path, device: Device) -> Result<Self> {
        let network = Network::open(folder)?;
        let config = VisionConfig::from_json(&network.config)?;
        let torch = Torch::new(device, Dtype::F32)?;
        let side = 4 * config.factor();
        let tensors = counter::vision(&config, [side; 2])?.tensors;
        let network = build(&torch, &network, &tensors, Spelling::Vision, |p| Vision::new(&config, p))?;
        Ok(Self { torch, config, network })
    }

    /// What it distinguishes.
    pub fn heads(&self) -> &[Head] {
        &self.config.heads
    }

    /// For each picture and head the classes that are found, by their numbers. The pictures have one size.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn look(&self, pictures: &[RgbImage]) -> Result<Vec<Vec<Vec<usize>>>> {
        let Some(first) = pictures.first() else { return Ok(Vec::new()) };
        let (width, height) = first.dimensions();
        let planes = |picture: &RgbImage| -> Result<Tensor> {
            let bytes = Tensor::f_from_slice(picture.as_raw().as_slice())?;
            Ok(bytes.f_reshape([i64::from(height), i64::from(width), 3])?.f_permute([2, 0, 1])?)
        };
        let planes = pictures.iter().map(planes).collect::<Result<Vec<_>>>()?;
        let scores = no_grad(|| -> Result<Vec<Vec<f32>>> {
            let batch = Tensor::f_stack(&planes, 0)?.f_to_kind(tch::Kind::Float)?.f_to_device(self.torch.device())?;
            let batch = batch.f_div_scalar(127.5)?.f_sub_scalar(1.0)?;
            let seen = self.network.forward(&Pass::plain(&self.torch), &Value::try_from(batch)?)?;
            seen.heads.iter().map(|head| Ok(head.to_f32()?)).collect()
        })?;
        let row = |picture: usize| {
            let heads = self.config.heads.iter().zip(&scores);
            let found = |(head, scores): (&Head, &Vec<f32>)| {
                let n = head.classes.len();
                head.found(scores.get(picture * n..(picture + 1) * n).unwrap_or_default())
            };
            heads.map(found).collect()
        };
        Ok((0..pictures.len()).map(row).collect())
    }
}

/// What a head should have found in a picture, where it was asked, and what it found.
struct Row<'a> {
    asked: Option<Vec<usize>>,
    found: &'a Vec<usize>,
}

/// Counts what was found in pictures, with the labels of each.
pub fn count(heads: &[Head], pictures: &[(&Labels, Vec<Vec<usize>>)]) -> Vec<HeadCount> {
    let count = |(i, head): (usize, &Head)| {
        let asked = |labels: &Labels| -> Option<Vec<usize>> {
            let words = labels.get(&head.name)?;
            Some((0..head.classes.len()).filter(|&class| words.contains(&head.classes[class])).collect())
        };
        let rows: Vec<Row<'_>> = pictures
            .iter()
            .filter_map(|(labels, found)| Some(Row { asked: asked(labels), found: found.get(i)? }))
            .collect();
        let of = |is: &dyn Fn(&Row<'_>) -> bool| rows.iter().filter(|row| is(row)).count();
        let class = |class: usize| {
            let wanted = |row: &Row<'_>| row.asked.as_ref().is_some_and(|asked| asked.contains(&class));
            let found = |row: &Row<'_>| row.found.contains(&class);
            ClassCount {
                class: head.classes[class].clone(),
                asked: of(&wanted),
                found: of(&|row| wanted(row) && found(row)),
                unasked: of(&|row| !wanted(row) && found(row)),
            }
        };
        let classes = (0..head.classes.len()).map(class).filter(|count| count.asked + count.unasked > 0);
        HeadCount {
            head: head.name.clone(),
            asked: of(&|row| row.asked.is_some()),
            exact: of(&|row| row.asked.as_ref() == Some(row.found)),
            classes: classes.collect(),
        }
    };
    heads.iter().enumerate().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::vision::Choice;

    #[test]
    fn what_is_found_is_counted_with_and_without_having_been_asked() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let head =
            |name: &str, choice| Head { name: name.into(), classes: words(&["flat", "striped", "dotted"]), choice };
        let heads = [head("style", Choice::OneOf), head("shape", Choice::AnyOf)];
        let labels = |style: &str| Labels::from([("style".to_owned(), words(&[style]))]);
        let (flat, striped) = (labels("flat"), labels("striped"));
        let pictures =
            [(&flat, vec![vec![0], vec![]]), (&striped, vec![vec![1], vec![2]]), (&striped, vec![vec![0], vec![]])];
        let [style, shape] = &count(&heads, &pictures)[..] else { panic!("two heads") };
        assert_eq!((style.asked, style.exact), (3, 2));
        let class = |class: &str, asked, found, unasked| ClassCount { class: class.into(), asked, found, unasked };
        assert_eq!(style.classes, [class("flat", 1, 1, 1), class("striped", 2, 1, 0)]);
        assert_eq!((shape.asked, shape.exact), (0, 0));
        assert_eq!(shape.classes, [class("dotted", 0, 0, 1)]);
    }
}
