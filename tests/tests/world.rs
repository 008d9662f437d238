//! The small world's base model as it is shipped, exported and drawn in ONNX Runtime: the judge knows the world, and the model draws
//! what it is asked for. The full measurement (600 captions) is the README's; this one must fail where an export or the weights break.

use anyhow::{Context, Result};
use image::RgbImage;
use pleach_evaluator::judge::{Asked, Classifier, HeadScore, Seen, score};
use pleach_exporter::export::{Input, Options, export};
use pleach_runtime::{
    bundle::Bundle,
    engine::Engine,
    pipeline::{Picture, Pipeline, Request},
};
use pleach_tests::world::{asked, base};
use pleach_trainer::world::{Sample, Scene, sample, sample_single};
use std::path::Path;

/// The guidance that is chosen for this model: see the README.
const GUIDANCE: f64 = 2.0;
/// Seed of scenes that no training used.
const FRESH: u64 = 0x0074_6573_7400;

fn exported(part: &Path, out: &Path) -> Result<()> {
    export(&Input::checkpoint(part), out, &Options::default(), &())?;
    Ok(())
}

/// What the judge finds in pictures of scenes.
fn judged(engine: &Engine, folder: &Path, scenes: &[Scene], pictures: &[RgbImage]) -> Result<Vec<HeadScore>> {
    exported(&base().join("judge"), folder)?;
    let mut judge = Classifier::open(engine, folder)?;
    let asked: Vec<Asked> = scenes
        .iter()
        .map(|scene| asked(scene, judge.heads()).context("the judge has a head that scenes have no labels for"))
        .collect::<Result<_>>()?;
    let mut seen: Vec<Seen> = Vec::new();
    for part in pictures.chunks(50) {
        seen.extend(judge.look(&part.iter().collect::<Vec<_>>())?);
    }
    Ok(score(judge.heads(), &asked.iter().zip(seen).collect::<Vec<_>>())?)
}

#[test]
fn the_judge_is_right_about_renderings() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::start(&Default::default())?;
    let scenes: Vec<Scene> = (0..300).map(|index| sample(FRESH, index).scene).collect();
    let pictures: Vec<RgbImage> = scenes.iter().map(Scene::draw).collect();
    for head in judged(&engine, &folder.path().join("judge"), &scenes, &pictures)? {
        assert!(head.exact.rate >= 0.95, "{}: right about {} of {}", head.head, head.exact.count, head.exact.of);
    }
    Ok(())
}

#[test]
fn the_base_model_draws_what_it_is_asked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::start(&Default::default())?;
    let bundle = folder.path().join("bundle");
    exported(&base(), &bundle)?;
    let samples: Vec<Sample> = (0..24).map(|index| sample_single(FRESH, index)).collect();
    let pictures = samples.iter().zip(0..).map(|(sample, seed)| Picture { prompt: sample.caption.clone(), seed });
    let request = Request { pictures: pictures.collect(), guidance: GUIDANCE, batch: 8, ..Request::default() };
    let drawn = Pipeline::open(Bundle::open(&bundle)?, &engine, Default::default())?.generate(&request, &mut ())?;
    let drawn: Option<Vec<RgbImage>> =
        drawn.iter().map(|image| RgbImage::from_raw(image.width(), image.height(), image.rgb().to_vec())).collect();
    let scenes: Vec<Scene> = samples.into_iter().map(|sample| sample.scene).collect();
    for head in judged(&engine, &folder.path().join("judge"), &scenes, &drawn.context("not a picture")?)? {
        assert!(head.found.rate >= 0.8, "{}: found in {} of {}", head.head, head.found.count, head.found.of);
    }
    Ok(())
}
