//! NudeNet 3.4.2 against its Python package. The detector is under AGPL-3.0 and comes with
//! `cargo xtask setup --instruments nudenet`; without it, these tests say so and pass.

use image::RgbImage;
use pleach_evaluator::{
    decode::decode_file,
    instrument::{Channels, Description, Found, Instrument, Observation},
};
use pleach_runtime::engine::{Engine, EngineOptions};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What the package says: `nudenet.json`.
#[derive(Deserialize)]
struct Reference {
    detections: BTreeMap<String, Vec<Detection>>,
}

#[derive(Deserialize)]
struct Detection {
    class: String,
    score: f32,
    #[serde(rename = "box")]
    bounds: [f32; 4],
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of the detector, where it is installed.
fn installed() -> Option<PathBuf> {
    let folder = root().join(".native/nudenet");
    if folder.join("320n.onnx").is_file() {
        return Some(folder);
    }
    // Past the harness, which keeps what tests that pass print.
    let skipped = "skipped: nudenet is not there; `cargo xtask setup --instruments nudenet` fetches it";
    let _ = writeln!(std::io::stderr(), "{skipped}");
    None
}

fn open(description: &Description, folder: &Path) -> Instrument {
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    Instrument::open(&engine, description, folder).unwrap()
}

fn references() -> Vec<(String, RgbImage, Vec<Detection>)> {
    let folder = root().join("tests/fixtures/nudenet");
    let reference: Reference = serde_json::from_slice(&std::fs::read(folder.join("nudenet.json")).unwrap()).unwrap();
    let load = |(name, detections): (String, Vec<Detection>)| {
        let picture = decode_file(&folder.join(&name)).unwrap();
        (name, picture, detections)
    };
    reference.detections.into_iter().map(load).collect()
}

fn boxes(observation: &Observation) -> &[Found] {
    let Observation::Boxes(boxes) = observation else { panic!("{observation:?}") };
    boxes
}

#[test]
fn labels_scores_and_boxes_are_the_packages() {
    let Some(folder) = installed() else { return };
    let mut nudenet = open(&Description::builtin("nudenet").unwrap(), &folder);
    let mut found_any = 0;
    for (name, picture, expected) in references() {
        let observations = nudenet.look(&[&picture]).unwrap();
        let found = boxes(&observations[0]);
        let labels = |found: &[Found]| found.iter().map(|found| found.label.clone()).collect::<Vec<_>>();
        assert_eq!(labels(found), expected.iter().map(|found| found.class.clone()).collect::<Vec<_>>(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found.score - expected.score).abs() <= 1e-3, "{name}: {found:?} for {}", expected.score);
            let furthest = found.bounds.iter().zip(&expected.bounds).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest <= 1.0, "{name}: {found:?} for {:?}", expected.bounds);
            found_any += 1;
        }
    }
    assert_eq!(found_any, 5);
}

#[test]
fn the_order_of_the_channels_matters_and_is_part_of_its_identity() {
    let Some(folder) = installed() else { return };
    let description = Description::builtin("nudenet").unwrap();
    let mut rgb = description.clone();
    rgb.instrument.input_mut().unwrap().channels = Channels::Rgb;
    let (mut package, mut rgb) = (open(&description, &folder), open(&rgb, &folder));
    assert_eq!(package.identity().files, rgb.identity().files);
    assert_ne!(package.identity().sha256, rgb.identity().sha256);
    let (_, picture, _) = references().into_iter().find(|(name, ..)| name == "astronaut.png").unwrap();
    assert_ne!(package.look(&[&picture]).unwrap(), rgb.look(&[&picture]).unwrap());
}

#[test]
fn a_picture_says_the_same_in_any_company() {
    let Some(folder) = installed() else { return };
    let mut nudenet = open(&Description::builtin("nudenet").unwrap(), &folder);
    let references = references();
    let pictures: Vec<&RgbImage> = references.iter().map(|(_, picture, _)| picture).collect();
    let together = nudenet.look(&pictures).unwrap();
    let mut reversed = nudenet.look(&pictures.iter().rev().copied().collect::<Vec<_>>()).unwrap();
    reversed.reverse();
    assert_eq!(together, reversed);
    for (picture, expected) in pictures.iter().zip(&together) {
        assert_eq!(nudenet.look(&[picture]).unwrap(), std::slice::from_ref(expected));
    }
}

/// Prints how many pictures of 512 x 512 pixels it looks at in a second: `cargo test --release --test nudenet -- --ignored --nocapture`,
/// with `NUDENET_THREADS` set or not.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "it is there to be read")]
fn rate() {
    let Some(folder) = installed() else { return };
    let threads = std::env::var("NUDENET_THREADS").ok().map(|threads| threads.parse().unwrap());
    let engine = Engine::start(&EngineOptions { threads, ..EngineOptions::default() }).unwrap();
    let mut nudenet = Instrument::open(&engine, &Description::builtin("nudenet").unwrap(), &folder).unwrap();
    let (_, picture, _) = references().into_iter().find(|(name, ..)| name == "astronaut.png").unwrap();
    nudenet.look(&[&picture; 5]).unwrap();
    let mut rates = Vec::new();
    for _ in 0..7 {
        let (start, mut looked) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(1) {
            nudenet.look(&[&picture]).unwrap();
            looked += 1;
        }
        rates.push(f64::from(looked) / start.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    eprintln!("{:?} threads: {:.1} pictures per second ({:.1} to {:.1})", threads, rates[3], rates[0], rates[6]);
}
