//! Instruments and distances against the packages' own code.

mod support;

use image::RgbImage;
use pleach_evaluator::{
    instrument::{Description, Found, Kind, Observation},
    kid::{Subsets, kernel_distance},
};
use pleach_runtime::onnx::NodeProto;
use safetensors::SafeTensors;
use std::fs;
use support::{INPUT, always, describe, features, fixtures, open, save};

/// The references: tensors by name, and the packages' detections.
fn references() -> (Vec<u8>, serde_json::Value) {
    let read = |name: &str| fs::read(fixtures().join("instruments").join(name)).unwrap();
    (read("references.safetensors"), serde_json::from_slice(&read("references.json")).unwrap())
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    file.tensor(name).unwrap().data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// A graph that gives its input back, flat, shows how pictures are prepared.
#[test]
fn pictures_are_prepared_as_the_packages_do_it() {
    let (bytes, _) = references();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, reference, side) in [
        ("nudenet", "nudenet", 32),
        ("nudenet-3.0.8", "nudenet-3.0.8", 32),
        ("clip-vit-base-patch32", "clip", 32),
        ("csd", "clip", 32),
        ("q16", "clip", 32),
        ("inception", "inception", 29),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let nodes = vec![NodeProto::new("Flatten", "flatten", &["picture"], &["flat"])];
        save(folder.path(), nodes, Vec::new(), &[1, 3, side, side], &["flat"]);
        let mut input = Description::builtin(name).unwrap().instrument.input().unwrap().clone();
        (input.width, input.height) = (side as u32, side as u32);
        let mut description = describe("kind = \"embedding\"\ngraph = \"model.onnx\"", INPUT);
        *description.instrument.input_mut().unwrap() = input;
        let mut instrument = open(&description, folder.path()).unwrap();
        for picture in ["wide", "tall", "square", "odd"] {
            let source = file.tensor(&format!("source.{picture}")).unwrap();
            let (height, width) = (source.shape()[0] as u32, source.shape()[1] as u32);
            let source = RgbImage::from_raw(width, height, source.data().to_vec()).unwrap();
            let found = instrument.look(&[&source]).unwrap();
            let expected = tensor(&file, &format!("{reference}.{picture}"));
            assert_eq!(features(&found[0]).len(), expected.len());
            for (found, expected) in features(&found[0]).iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-6, "{name}, {picture}: {found} for {expected}");
            }
        }
    }
}

/// Boxes that the network says, through NMS and clipping to pixels, by both packages' own code.
#[test]
fn boxes_are_made_as_the_packages_do_it() {
    let (bytes, json) = references();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let output = tensor(&file, "output");
    for name in ["nudenet", "nudenet-3.0.8"] {
        let folder = tempfile::tempdir().unwrap();
        always(folder.path(), &[1, 22, 300], &output);
        let mut description = Description::builtin(name).unwrap();
        description.files.clear();
        let Kind::Yolo(yolo) = &mut description.instrument else { panic!() };
        yolo.graph = "model.onnx".into();
        let mut instrument = open(&description, folder.path()).unwrap();
        for (size, expected) in json["detections"].as_object().unwrap() {
            let (width, height) = size.split_once('x').unwrap();
            let picture = RgbImage::new(width.parse().unwrap(), height.parse().unwrap());
            let Observation::Boxes(found) = instrument.look(&[&picture]).unwrap().remove(0) else { panic!() };
            let expected: Vec<Found> = expected[name]
                .as_array()
                .unwrap()
                .iter()
                .map(|found| Found {
                    label: found["class"].as_str().unwrap().into(),
                    score: found["score"].as_f64().unwrap() as f32,
                    bounds: [0, 1, 2, 3].map(|i| found["box"][i].as_i64().unwrap() as f32),
                })
                .collect();
            assert_eq!(found, expected, "{name}, {size}");
        }
    }
}

#[test]
fn kernel_distances_agree_with_numpy() {
    let (_, json) = references();
    let bytes = fs::read(fixtures().join("frechet.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, expected) in json["kernel_distances"].as_object().unwrap() {
        let set = |side: &str| {
            let tensor = file.tensor(&format!("{name}.{side}")).unwrap();
            let values: Vec<f64> = tensor.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
            (values, tensor.shape()[1])
        };
        let ((a, dimensions), (b, _)) = (set("a"), set("b"));
        let (found, expected) = (kernel_distance(&a, &b, dimensions).unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{name}: {found} for {expected}");
        // The mean over subsets does not depend on their size.
        let kid = Subsets { count: 200, size: 12, seed: 1 }.kernel_distance(&a, &b, dimensions).unwrap();
        assert!((kid.mean - expected).abs() < 4.0 * kid.spread / 200f64.sqrt(), "{name}: {kid:?} for {expected}");
    }
}
