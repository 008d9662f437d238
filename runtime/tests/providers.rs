//! Providers as they are asked for, and bundles made for one size.

use pleach_runtime::{
    bundle::Bundle,
    engine::{Engine, EngineOptions, HostCache, Providers},
    onnx::{DimensionValue, Message as _, ModelProto, TypeValue},
    pipeline::{Options, Picture, Pipeline, Request, placements},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/optimum_sd2")
}

fn engine() -> Engine {
    Engine::start(&EngineOptions::default()).unwrap()
}

fn pipeline(folder: &Path) -> Pipeline {
    let options = Options { cache: HostCache::off(), ..Options::default() };
    Pipeline::open(Bundle::open(folder).unwrap(), &engine(), options).unwrap()
}

fn request(size: &str) -> Request {
    let pictures = vec![Picture { prompt: "a red star".into(), seed: 1 }];
    Request { pictures, steps: 2, size: Some(size.parse().unwrap()), ..Request::default() }
}

/// The fixture, whose UNet takes latents of 8x8 and no others: pictures of 16x16.
fn made_for_one_size(folder: &Path) {
    copy(&fixture(), folder);
    let file = folder.join("unet/model.onnx");
    let mut model = ModelProto::decode(&*fs::read(&file).unwrap()).unwrap();
    let sample = model.graph.as_mut().unwrap().input.iter_mut().find(|input| input.name == "sample").unwrap();
    let Some(TypeValue::TensorType(tensor)) = &mut sample.r#type.as_mut().unwrap().value else { panic!("no tensor") };
    for (dim, size) in tensor.shape.as_mut().unwrap().dim.iter_mut().zip([1, 4, 8, 8]) {
        dim.value = Some(DimensionValue::DimValue(size));
    }
    fs::write(&file, model.encode_to_vec()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &place) } else { fs::copy(&path, &place).map(drop).unwrap() }
    }
}

#[test]
fn a_bundle_made_for_one_size_draws_no_other() {
    let folder = tempfile::tempdir().unwrap();
    made_for_one_size(folder.path());
    let mut fixed = pipeline(folder.path());
    assert_eq!(
        fixed.generate(&request("32x16"), &mut ()).unwrap_err().to_string(),
        "unet/model.onnx is made for pictures of 16x16 and no others: 32x16 needs a bundle whose sizes are open"
    );
    let images = fixed.generate(&request("16x16"), &mut ()).unwrap();
    assert_eq!(images, pipeline(&fixture()).generate(&request("16x16"), &mut ()).unwrap());

    let bundle = Bundle::open(folder.path()).unwrap();
    let asked = placements(&bundle, &engine(), &Providers::default(), Some("32x16".parse().unwrap()));
    assert!(asked.unwrap_err().to_string().starts_with("unet/model.onnx is made for pictures of 16x16"));
}

#[test]
fn every_network_says_where_its_nodes_are() {
    let bundle = Bundle::open(&fixture()).unwrap();
    let placed = placements(&bundle, &engine(), &Providers::default(), None).unwrap();
    let names: Vec<_> = placed.iter().map(|one| (one.component, one.expert.as_deref(), one.graph.as_str())).collect();
    let graphs = ["text_encoder", "unet", "vae_decoder"].map(|name| (name, None, format!("{name}/model.onnx")));
    assert_eq!(names, graphs.iter().map(|(name, expert, file)| (*name, *expert, file.as_str())).collect::<Vec<_>>());
    for one in placed {
        assert!(one.placement.total() > 50, "{}: {}", one.component, one.placement);
        assert_eq!(one.placement.to_string(), format!("{} nodes on cpu", one.placement.total()));
    }
}
