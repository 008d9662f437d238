//! From pictures to a fine-tuned student, as a person types it.

use pleach_model::{
    architecture::Architecture,
    checkpoint::{Checkpoint, Spelling},
    counter::{self, At},
    unet::UNetConfig,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::tempdir;

fn pipeline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sd2/pipeline")
}

fn train(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pleach-train")).args(arguments).args(["--quiet"]).output().unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = train(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_cached_student_is_trained_and_lies_as_an_expert_does() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, cache, out) = (path("data"), path("cache"), path("run"));
    let teacher = pipeline().to_str().unwrap().to_owned();
    done(&["world", "--out", &data, "--count", "6", "--seed", "3"]);
    done(&["cache", &data, "--checkpoint", &teacher, "--resolution", "16", "--out", &cache, "--device", "cpu"]);

    let sets = [format!("teacher={teacher}"), format!("data={data}"), format!("cache={cache}")];
    let mut arguments = vec!["finetune", "--out", &out, "--device", "cpu", "--preset", "paper", "--json"];
    arguments.extend(["--set", "resolution=16", "--set", "student={uniform=0.5}", "--set", "train.loop.steps=4"]);
    arguments.extend(["--set", "train.loop.sample_every=2", "--set", "samples.steps=3"]);
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let report: serde_json::Value = serde_json::from_str(&done(&arguments)).unwrap();

    let unet = Path::new(&out).join("student/unet");
    let read = |name: &str| serde_json::from_slice(&fs::read(unet.join(name)).unwrap()).unwrap();
    let config = UNetConfig::from_json(&read("config.json")).unwrap();
    let architecture: Architecture = serde_json::from_value(read("architecture.json")).unwrap();
    let expected = counter::unet(&config, &architecture, At { height: 8, width: 8, tokens: 77 }).unwrap();
    Checkpoint::open(&unet).unwrap().bind(&expected.tensors, Spelling::Unet).unwrap();
    assert_eq!(report["parameters"], expected.parameters());
    assert_eq!(report["macs"], expected.macs().exact);
    assert!((0.3..0.8).contains(&report["macs_ratio"].as_f64().unwrap()), "{report}");

    // Six captions in rows of four, with gaps of two pixels.
    for step in ["000002", "000004"] {
        let sample = image::open(Path::new(&out).join(format!("samples/{step}.png"))).unwrap();
        assert_eq!((sample.width(), sample.height()), (4 * 16 + 5 * 2, 2 * 16 + 3 * 2));
    }

    // The same data at another size are not what the cache holds.
    let other = path("other");
    arguments[2] = &other;
    arguments.extend(["--set", "resolution=32"]);
    let output = train(&arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && message.contains("resolution"), "{message}");
    assert!(!Path::new(&other).exists());
}

#[test]
fn recipes_that_cannot_be_followed() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run").to_str().unwrap().to_owned();
    let complaint = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let output = train(&[&["finetune", "--out", &out, "--device", "cpu"][..], &sets.collect::<Vec<_>>()].concat());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let nobody = complaint(&[]);
    let wanted =
        "no `teacher` is named, in the recipe or with --set teacher=PIPELINE: a pipeline's folder or a Hugging Face id";
    assert!(nobody.contains(wanted), "{nobody}");
    let teacher = format!("teacher={}", pipeline().display());
    let share = complaint(&[&teacher, "student={uniform=1.5}"]);
    assert!(share.contains("`student.uniform` is 1.5; it must be in (0, 1]"), "{share}");
    let loss = complaint(&[&teacher, "train.loss.reduce=median"]);
    assert!(loss.contains("`train.loss.reduce`: `median` is none of sum, mean"), "{loss}");
    assert!(!Path::new(&out).exists());
}
