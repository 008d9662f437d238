//! A pruned student exported with everything else from the pipeline that it was cut out of.

use pleach_exporter::{
    error::Error,
    export::{Input, Options, export},
};
use pleach_model::{
    architecture::Architecture,
    checkpoint::{NewTensor, write_safetensors},
    counter::{self, At},
    noise::Generator,
    pipeline::PipelineFolder,
    student::Student,
    tensor::{Dtype, TensorSpec},
    unet::UNetConfig,
};
use pleach_runtime::{bundle::Bundle, engine::Engine};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn world() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/world")
}

/// Half of the small world's UNet with random weights, in `folder/unet`; its parameters.
fn write(folder: &Path) -> u64 {
    let pipeline = PipelineFolder::open(&world()).unwrap().checkpoint().unwrap();
    let config = UNetConfig::from_json(&pipeline.unet.config).unwrap();
    let architecture = Architecture::uniform(&counter::unet_sites(&config).unwrap(), 0.5);
    let report = counter::unet(&config, &architecture, At { height: 16, width: 16, tokens: 77 }).unwrap();
    let mut draw = Generator::new(3);
    let parameters = report.parameters();
    let mut numbers = |spec: &TensorSpec| -> Vec<u8> {
        draw.randn(spec.shape.iter().product()).into_iter().flat_map(|x| (0.1 * x).to_le_bytes()).collect()
    };
    let bytes: Vec<Vec<u8>> = report.tensors.iter().map(&mut numbers).collect();
    let stored = report.tensors.iter().zip(&bytes);
    let tensors = stored.map(|(spec, bytes)| NewTensor::new(&spec.name, Dtype::F32, &spec.shape, bytes)).collect();
    let unet = folder.join("unet");
    fs::create_dir_all(&unet).unwrap();
    write_safetensors(&unet.join("diffusion_pytorch_model.safetensors"), tensors, &BTreeMap::new()).unwrap();
    fs::write(unet.join("config.json"), config.to_json().to_string()).unwrap();
    fs::write(unet.join("architecture.json"), serde_json::to_vec(&architecture).unwrap()).unwrap();
    parameters
}

#[test]
fn a_student_is_a_bundle_of_one_expert() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("student");
    let parameters = write(&root);
    let engine = Engine::start(&Default::default()).unwrap();
    let options = Options { verify: true, engine: Some(engine), overwrite: true, ..Options::default() };
    let out = folder.path().join("bundle");
    // The student's folder, and that of its UNet.
    for place in [root.clone(), root.join("unet")] {
        let student = Student::find(&place).unwrap().unwrap();
        let exported = export(&Input::Student(Box::new(student), world()), &out, &options, &()).unwrap();
        assert!(exported.folder.is_some());
        assert!(exported.differences.iter().any(|difference| difference.file.starts_with("unet/")));
        let manifest = exported.manifest().unwrap();
        let [expert] = &manifest.components.unet[..] else { panic!("one expert") };
        assert_eq!((expert.component.parameters, expert.default), (parameters, true));
        assert!(manifest.components.router.is_none() && manifest.provenance.family.is_none());
        let files: Vec<&str> = manifest.provenance.checkpoint.iter().map(|entry| entry.file.as_str()).collect();
        assert!(files.contains(&"unet/diffusion_pytorch_model.safetensors"), "{files:?}");
        Bundle::open(&out).unwrap();
    }
}

#[test]
fn a_student_of_another_pipeline_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let student = Student::find(folder.path()).unwrap().unwrap();
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sd2/pipeline");
    let out = folder.path().join("bundle");
    let error = export(&Input::Student(Box::new(student.clone()), other), &out, &Options::default(), &()).unwrap_err();
    assert!(error.to_string().contains("was not cut out of the UNet of"), "{error}");
    let options = Options { experts: Some(vec!["small".into()]), ..Options::default() };
    let error = export(&Input::Student(Box::new(student), world()), &out, &options, &()).unwrap_err();
    assert!(matches!(error, Error::NoFamily { .. }), "{error}");
    assert!(Student::find(&world()).unwrap().is_none());
}

#[test]
fn a_family_or_a_checkpoint_is_not_overwritten_by_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let family = folder.path().join("family");
    fs::create_dir(&family).unwrap();
    fs::write(family.join("pleach.json"), r#"{"schema": 1, "kind": "family"}"#).unwrap();
    let options = Options { overwrite: true, ..Options::default() };
    let error = export(&Input::checkpoint(world()), &family, &options, &()).unwrap_err();
    assert!(matches!(error, Error::Trained { .. }), "{error}");
    assert!(family.join("pleach.json").is_file());
    let checkpoint = folder.path().join("checkpoint");
    fs::create_dir(&checkpoint).unwrap();
    fs::copy(world().join("model_index.json"), checkpoint.join("model_index.json")).unwrap();
    let unet = || Options { only: Some(vec!["unet".to_owned()]), overwrite: true, ..Options::default() };
    let error = export(&Input::checkpoint(world()), &checkpoint, &unet(), &()).unwrap_err();
    assert!(matches!(error, Error::Trained { .. }), "{error}");
    // What it wrote itself goes.
    let alone = folder.path().join("alone");
    for _ in 0..2 {
        export(&Input::checkpoint(world()), &alone, &unet(), &()).unwrap();
    }
}
