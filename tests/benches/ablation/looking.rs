//! What the judge makes of pictures.

use super::{
    Cli,
    learning::{UNSEEN, judge},
    report::Outcome,
};
use anyhow::{Context, Result};
use image::RgbImage;
use pleach_evaluator::{
    frechet::{Gaussian, frechet_distance},
    judge::{Asked, Classifier, Seen, score},
};
use pleach_exporter::export::{self, export};
use pleach_model::tensor::Dtype;
use pleach_runtime::engine::{Engine, EngineOptions};
use pleach_tests::world::asked;
use pleach_trainer::world;

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

impl Looker {
    pub fn open(cli: &Cli) -> Result<Self> {
        let folder = cli.work.join("judge");
        let options = export::Options { precision: Dtype::F32, variant: None, overwrite: true, verify: None };
        export(&judge(cli), &folder, &options, &())?;
        let engine = Engine::start(&EngineOptions::default())?;
        let mut classifier = Classifier::open(&engine, &folder)?;
        let pictures: Vec<RgbImage> = (0..COUNT).map(|index| world::sample(RENDERED, index).scene.draw()).collect();
        let rendered = gaussian(&look(&mut classifier, &pictures)?)?;
        let asked = (0..cli.drawn as u64).map(|index| asked(&world::sample(UNSEEN, index).scene, classifier.heads()));
        let asked =
            asked.collect::<Option<_>>().context("the judge has other heads than the small world has labels")?;
        Ok(Self { classifier, rendered, asked })
    }

    pub fn look(&mut self, name: &str, seed: u64, step: u64, pictures: &[RgbImage]) -> Result<Outcome> {
        let seen = look(&mut self.classifier, pictures)?;
        let frechet = frechet_distance(&gaussian(&seen)?, &self.rendered)?;
        let judged: Vec<(&Asked, Seen)> = self.asked.iter().zip(seen).collect();
        let heads = score(self.classifier.heads(), &judged)?;
        let found = heads.into_iter().map(|head| (head.head, head.exact.rate)).collect();
        Ok(Outcome { name: name.to_owned(), seed, step, frechet, found })
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
