//! What the judge makes of pictures.

use super::{UNSEEN, asked};
use anyhow::{Context, Result};
use image::RgbImage;
use pleach_evaluator::{
    frechet::{Gaussian, frechet_distance},
    judge::{Asked, Classifier, Seen, score},
};
use pleach_exporter::export::{self, Input, export};
use pleach_runtime::engine::{Engine, EngineOptions};
use pleach_trainer::world;
use std::{collections::BTreeMap, path::Path};

/// Seed of the rendered pictures that others are compared with.
const RENDERED: u64 = 0x7265_6e64_6572;
/// How many there are.
const COUNT: u64 = 2000;
/// Pictures looked at together.
const TOGETHER: usize = 64;

/// The judge, and what is needed to hold its findings against the truth.
pub struct Looker {
    classifier: Classifier,
    rendered: Gaussian,
    asked: Vec<Asked>,
}

/// What was found in pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Frechet distance to rendered pictures, over the judge's features.
    pub frechet: f64,
    /// For each head, the share of pictures in which it finds what was asked and nothing else.
    pub exact: BTreeMap<String, f64>,
}

impl Looker {
    /// The judge beside a pipeline's parts, exported into `work`, for so many unseen captions.
    ///
    /// # Errors
    /// A judge that cannot be exported or opened.
    pub fn open(base: &Path, work: &Path, drawn: usize) -> Result<Self> {
        let folder = work.join("judge");
        let options = export::Options { overwrite: true, ..Default::default() };
        export(&Input::checkpoint(base.join("judge")), &folder, &options, &())?;
        let engine = Engine::start(&EngineOptions::default())?;
        let mut classifier = Classifier::open(&engine, &folder)?;
        let pictures: Vec<RgbImage> = (0..COUNT).map(|index| world::sample(RENDERED, index).scene.draw()).collect();
        let rendered = gaussian(&look(&mut classifier, &pictures)?)?;
        let asked = (0..drawn as u64).map(|index| asked(&world::sample(UNSEEN, index).scene, classifier.heads()));
        let asked =
            asked.collect::<Option<_>>().context("the judge has other heads than the small world has labels")?;
        Ok(Self { classifier, rendered, asked })
    }

    /// Looks at a picture for each of these captions.
    ///
    /// # Errors
    /// Too few pictures for a distribution.
    pub fn look(&mut self, captions: &[usize], pictures: &[RgbImage]) -> Result<Found> {
        let seen = look(&mut self.classifier, pictures)?;
        let frechet = frechet_distance(&gaussian(&seen)?, &self.rendered)?;
        let asked = captions.iter().filter_map(|&number| self.asked.get(number));
        let judged: Vec<(&Asked, Seen)> = asked.zip(seen).collect();
        let heads = score(self.classifier.heads(), &judged)?;
        Ok(Found { frechet, exact: heads.into_iter().map(|head| (head.head, head.exact.rate)).collect() })
    }
}

fn look(classifier: &mut Classifier, pictures: &[RgbImage]) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for part in pictures.chunks(TOGETHER) {
        seen.extend(classifier.look(&part.iter().collect::<Vec<_>>())?);
    }
    Ok(seen)
}

fn gaussian(seen: &[Seen]) -> Result<Gaussian> {
    let features: Vec<f32> = seen.iter().flat_map(|seen| &seen.features).copied().collect();
    Ok(Gaussian::of_features(&features, features.len() / seen.len().max(1))?)
}
