//! The base model of the small world, as it is shipped: exported, it draws what it is asked for, and its judge sees what is there.

use pleach_evaluator::judge::{Asked, Classifier, score};
use pleach_exporter::export::{Options, export};
use pleach_model::{samplers::SamplerKind, tensor::Dtype};
use pleach_runtime::{
    bundle::Bundle,
    engine::{Engine, HostCache},
    pipeline::{self, Picture, Pipeline, Request},
};
use pleach_trainer::world::{self, Sample, Scene};
use std::path::{Path, PathBuf};

/// Pictures and captions that were not learnt from.
const SEED: u64 = 0x7465_7374;

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/world")
}

fn exported(part: &str, to: &Path, engine: &Engine) {
    let verify = Some(engine.clone());
    let options = Options { precision: Dtype::F32, variant: None, overwrite: false, verify };
    let exported = export(&assets().join(part), to, &options, &()).unwrap();
    assert!(exported.folder.is_some(), "{part}: {:?}", exported.differences);
}

fn asked(scene: &Scene, judge: &Classifier) -> Asked {
    let labels = scene.labels();
    let classes = judge.heads().iter().map(|head| {
        let words = &labels[&head.name];
        Some((0..head.classes.len()).filter(|&class| words.contains(&head.classes[class])).collect())
    });
    Asked { classes: classes.collect() }
}

/// How often, at least, each head finds what is asked and nothing else.
fn least(judge: &mut Classifier, samples: &[Sample], pictures: &[image::RgbImage]) -> f64 {
    let mut judged = Vec::new();
    let asked: Vec<Asked> = samples.iter().map(|sample| asked(&sample.scene, judge)).collect();
    for (asked, pictures) in asked.chunks(50).zip(pictures.chunks(50)) {
        judged.extend(asked.iter().zip(judge.look(&pictures.iter().collect::<Vec<_>>()).unwrap()));
    }
    let heads = score(judge.heads(), &judged).unwrap();
    assert_eq!(heads.iter().map(|head| head.head.as_str()).collect::<Vec<_>>(), ["style", "shape", "colour"]);
    heads.iter().map(|head| head.exact.rate).fold(1.0, f64::min)
}

#[test]
fn the_judge_sees_what_is_there_and_the_base_draws_what_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(&Default::default()).unwrap();
    exported("judge", &folder.path().join("judge"), &engine);
    let mut judge = Classifier::open(&engine, &folder.path().join("judge")).unwrap();
    let fresh: Vec<Sample> = (0..300).map(|index| world::sample(SEED, index)).collect();
    let rendered: Vec<image::RgbImage> = fresh.iter().map(|sample| sample.scene.draw()).collect();
    let rate = least(&mut judge, &fresh, &rendered);
    assert!(rate >= 0.95, "the judge is right on {rate} of rendered pictures");
    // It looks at the pictures: with those of others it is hardly ever right.
    let shifted: Vec<image::RgbImage> = (1..301).map(|i| rendered[i % 300].clone()).collect();
    assert!(least(&mut judge, &fresh, &shifted) < 0.5);

    exported("", &folder.path().join("bundle"), &engine);
    let samples: Vec<Sample> = (0..24).map(|index| world::sample_single(SEED, index)).collect();
    let request = Request {
        pictures: samples.iter().map(|sample| Picture { prompt: sample.caption.clone(), seed: 3 }).collect(),
        negative: String::new(),
        steps: 15,
        guidance: 3.0,
        sampler: Some(SamplerKind::Dpmpp2m),
        size: None,
        batch: 8,
    };
    let bundle = Bundle::open(&folder.path().join("bundle")).unwrap();
    let options = pipeline::Options { expert: None, max_memory: None, cache: HostCache::off() };
    let mut pipeline = Pipeline::open(bundle, &engine, options).unwrap();
    let drawn = pipeline.generate(&request, &mut ()).unwrap();
    let drawn: Vec<image::RgbImage> = drawn
        .into_iter()
        .map(|image| image::RgbImage::from_raw(image.width(), image.height(), image.rgb().to_vec()).unwrap())
        .collect();
    let rate = least(&mut judge, &samples, &drawn);
    assert!(rate >= 0.8, "what was asked is found in {rate} of the pictures drawn");
}
