//! A family as a bundle: routed as the trainer routes it, drawn by its experts, within memory, and refused where something is missing.

use anyhow::Result;
use pleach_exporter::export::{Exported, Input, Layout, Options, export};
use pleach_model::{family::FamilyFolder, manifest::Precision};
use pleach_runtime::{
    bundle::Bundle,
    engine::{Engine, GraphFile, HostCache, NetworkOptions},
    image::Image,
    pipeline::{self, Event, Observer, Picture, Pipeline, Request, Router, Size},
};
use pleach_tests::{family, world};
use pleach_trainer::{
    prune::PromptRouter,
    world::{sample, sample_single},
};
use std::{collections::BTreeSet, fs, num::NonZeroUsize, path::Path, path::PathBuf};
use tch::Device;
use tempfile::{TempDir, tempdir};

fn engine() -> Engine {
    Engine::start(&Default::default()).unwrap()
}

/// A family and its bundle; none, said so, where the sentence encoder is missing.
struct Made {
    _folder: TempDir,
    family: FamilyFolder,
    bundle: PathBuf,
}

impl Made {
    #[allow(clippy::print_stderr, reason = "says that it did nothing")]
    fn new() -> Option<Self> {
        let folder = tempdir().unwrap();
        let Some(family) = family::write(&folder.path().join("family")).unwrap() else {
            eprintln!("skipped: the sentence encoder is not there; `cargo xtask setup` fetches it");
            return None;
        };
        let bundle = folder.path().join("bundle");
        exported(&family, &bundle, &Options::default()).unwrap();
        Some(Self { _folder: folder, family, bundle })
    }

    fn pipeline(&self, options: pipeline::Options) -> Pipeline {
        Pipeline::open(Bundle::open(&self.bundle).unwrap(), &engine(), options).unwrap()
    }
}

fn exported(family: &FamilyFolder, to: &Path, options: &Options) -> pleach_exporter::error::Result<Exported> {
    export(&Input::Family(Box::new(family.clone()), world::base()), to, options, &())
}

fn captions(count: u64) -> Vec<String> {
    (0..count).map(|index| sample(0x726f_7574, index).caption).collect()
}

fn request(prompts: &[String]) -> Request {
    let pictures = prompts.iter().map(|prompt| Picture { prompt: prompt.clone(), seed: 5 }).collect();
    Request { pictures, steps: 2, guidance: 2.0, ..Request::default() }
}

#[test]
fn prompts_go_where_the_trainer_sends_them() {
    let Some(made) = Made::new() else { return };
    let trained = PromptRouter::open(&made.family, Device::Cpu).unwrap().unwrap();
    let bundle = Bundle::open(&made.bundle).unwrap();
    let mut router = Router::open(&bundle, &engine(), &NetworkOptions::default()).unwrap().unwrap();
    assert_eq!(router.experts(), family::EXPERTS.map(|(name, _)| name));
    let mut prompts = captions(120);
    // Another script, nothing, and more than the encoder reads.
    prompts.extend(["星の絵".to_owned(), String::new(), "a red star ".repeat(400)]);
    let mut met = BTreeSet::new();
    for prompt in &prompts {
        let expected = &trained.routes(std::slice::from_ref(prompt)).unwrap()[0];
        let found = router.route(prompt).unwrap();
        let apart = expected.scores.iter().zip(&found.scores).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= 1e-5 && (expected.margin - found.margin).abs() <= 2e-5, "{prompt}: {expected:?}, {found:?}");
        assert_eq!(expected.expert, found.expert, "{prompt}");
        met.insert(found.expert);
    }
    assert_eq!(met.len(), 3, "the router sends everything to {met:?}");
}

#[test]
fn a_router_between_some_of_the_experts() {
    let Some(made) = Made::new() else { return };
    let to = made.bundle.with_file_name("some");
    let options = Options { experts: Some(vec!["middle".into(), "small".into()]), ..Options::default() };
    let manifest = exported(&made.family, &to, &options).unwrap().manifest().cloned().unwrap();
    let names: Vec<&str> = manifest.components.unet.iter().map(|expert| expert.name.as_str()).collect();
    assert_eq!((names, manifest.default_expert().unwrap().name.as_str()), (vec!["small", "middle"], "middle"));
    let bundle = Bundle::open(&to).unwrap();
    let mut some = Router::open(&bundle, &engine(), &NetworkOptions::default()).unwrap().unwrap();
    let all = Bundle::open(&made.bundle).unwrap();
    let mut all = Router::open(&all, &engine(), &NetworkOptions::default()).unwrap().unwrap();
    for prompt in captions(20) {
        let (some, all) = (some.route(&prompt).unwrap(), all.route(&prompt).unwrap());
        assert!((some.scores[0] - all.scores[0]).abs() < 1e-6 && (some.scores[1] - all.scores[2]).abs() < 1e-6);
        assert_eq!(some.expert, usize::from(all.scores[2] > all.scores[0]));
    }
    // One expert needs no router.
    let options = Options { experts: Some(vec!["small".into()]), overwrite: true, ..Options::default() };
    let manifest = exported(&made.family, &to, &options).unwrap().manifest().cloned().unwrap();
    assert!(manifest.components.router.is_none() && !to.join("router").exists());
    let options = Options { experts: Some(vec!["huge".into()]), overwrite: true, ..Options::default() };
    let error = exported(&made.family, &to, &options).unwrap_err().to_string();
    assert!(error.ends_with("has no expert \"huge\"; it has: small, large, middle"), "{error}");
}

#[test]
fn what_experts_share_is_stored_once() {
    let Some(made) = Made::new() else { return };
    let bundle = Bundle::open(&made.bundle).unwrap();
    let experts = &bundle.manifest().unwrap().components.unet;
    let default = experts.iter().find(|expert| expert.default).unwrap();
    assert_eq!((default.name.as_str(), default.component.graphs[0].file.as_str()), ("large", "unet/model.onnx"));
    // The default expert stands alone; the others have at least their first convolution from it.
    assert_eq!(default.component.weights.len(), 1);
    for expert in experts.iter().filter(|expert| !expert.default) {
        assert!(expert.component.weights.contains(&default.component.weights[0]), "{}", expert.name);
        let own = expert.component.weights.iter().find(|entry| entry.file.contains(&expert.name)).unwrap();
        assert!(own.bytes < 4 * expert.component.parameters, "{} shares nothing", expert.name);
    }
}

/// Hears which experts are opened.
#[derive(Default)]
struct Opened(Vec<String>);

impl Observer for Opened {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Opening { expert: Some(expert), .. } = event {
            self.0.push(expert.to_owned());
        }
    }
}

/// Two prompts for each expert, in turn.
fn prompts_of_each(pipeline: &mut Pipeline) -> Vec<String> {
    let mut found: [Vec<String>; 3] = Default::default();
    for prompt in captions(200) {
        let expert = pipeline.route(&prompt).unwrap().unwrap().expert;
        if found[expert].len() < 2 {
            found[expert].push(prompt);
        }
    }
    (0..2).flat_map(|i| found.iter().map(move |prompts| prompts[i].clone())).collect()
}

#[test]
fn a_batch_is_drawn_expert_by_expert() {
    let Some(made) = Made::new() else { return };
    let mut pipeline = made.pipeline(pipeline::Options::default());
    let prompts = prompts_of_each(&mut pipeline);
    let names: Vec<Option<String>> =
        pipeline.recipes(&request(&prompts)).unwrap().into_iter().map(|recipe| recipe.model.expert).collect();
    let turn = family::EXPERTS.map(|(name, _)| Some(name.to_owned()));
    assert_eq!(names, [turn.clone(), turn].concat());
    let mut opened = Opened::default();
    let mut drawn: Vec<Option<Image>> = vec![None; prompts.len()];
    let keep = |one: pipeline::Drawn| -> pipeline::Result<()> {
        drawn[one.index] = Some(one.image);
        Ok(())
    };
    pipeline.generate_each(&request(&prompts), &mut opened, keep).unwrap();
    assert_eq!(opened.0, ["small", "large", "middle"]);
    // Each picture is what its expert draws alone.
    for (i, (prompt, image)) in prompts.iter().zip(&drawn).enumerate() {
        let expert = Some(family::EXPERTS[i % 3].0.to_owned());
        let mut alone = made.pipeline(pipeline::Options { expert, ..Default::default() });
        let pictures = alone.generate(&request(std::slice::from_ref(prompt)), &mut ()).unwrap();
        assert!(Some(&pictures[0]) == image.as_ref(), "{prompt}");
    }
}

#[test]
fn the_experts_used_last_stay_open() {
    let Some(made) = Made::new() else { return };
    for (resident, expected) in [
        (1, vec!["small", "large", "small", "middle", "small"]),
        (2, vec!["small", "large", "middle"]),
        (3, vec!["small", "large", "middle"]),
    ] {
        let mut pipeline =
            made.pipeline(pipeline::Options { max_resident: NonZeroUsize::new(resident), ..Default::default() });
        let prompts = prompts_of_each(&mut pipeline);
        let mut opened = Opened::default();
        // small, large, small, middle, small: with two the one that was used last but one is closed.
        for expert in [0, 1, 0, 2, 0] {
            let mut prompt = request(&prompts[expert..=expert]);
            prompt.steps = 1;
            pipeline.generate_each::<pipeline::Error>(&prompt, &mut opened, |_| Ok(())).unwrap();
        }
        assert_eq!(opened.0, expected, "{resident} resident");
    }
}

#[test]
fn many_prompts_with_memory_for_one_expert() {
    let Some(made) = Made::new() else { return };
    let mut pipeline = made.pipeline(pipeline::Options::default());
    let prompts: Vec<String> = (0..64).map(|index| sample_single(9, index).caption).collect();
    let size = Size { width: 64, height: 64 };
    let small = Request { size: Some(size), steps: 1, guidance: 1.0, ..request(&prompts) };
    let expected = |pipeline: &mut Pipeline| {
        let mut images: Vec<Option<Image>> = vec![None; prompts.len()];
        let mut opened = Opened::default();
        let keep = |one: pipeline::Drawn| -> pipeline::Result<()> {
            images[one.index] = Some(one.image);
            Ok(())
        };
        pipeline.generate_each(&small, &mut opened, keep).map(|()| (images, opened.0))
    };
    let (free, _) = expected(&mut pipeline).unwrap();
    let mut short = made.pipeline(pipeline::Options { max_memory: Some(1), ..Default::default() });
    let pipeline::Error::Memory(error) = expected(&mut short).unwrap_err() else { panic!("one byte is enough") };
    // The least that does: one network at a time, and every expert is opened once for each round of pictures.
    let mut tight = made.pipeline(pipeline::Options { max_memory: Some(error.least), ..Default::default() });
    let (images, opened) = expected(&mut tight).unwrap();
    assert!(images == free);
    let experts: BTreeSet<&String> = opened.iter().collect();
    assert!(opened.len() <= experts.len() + prompts.len() / 16, "{opened:?}");
}

#[test]
fn what_is_missing_is_named() {
    let Some(made) = Made::new() else { return };
    let open = || Pipeline::open(Bundle::open(&made.bundle)?, &engine(), pipeline::Options::default()).map(drop);
    let refused = |file: &str| {
        let (path, kept) = (made.bundle.join(file), made.bundle.with_file_name("kept"));
        fs::rename(&path, &kept).unwrap();
        let message = open().unwrap_err().to_string();
        fs::rename(&kept, &path).unwrap();
        assert!(message.contains(&path.display().to_string()), "{message}");
    };
    for file in ["unet/small.cpu.onnx", "unet/small.onnx_data", "router/tokenizer.json", "router/model.onnx_data"] {
        refused(file);
    }
    open().unwrap();
    let weights = made.bundle.join("unet/middle.onnx_data");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[1..]).unwrap();
    let error = open().unwrap_err();
    assert!(error.is_integrity() && error.to_string().starts_with("unet/middle.onnx_data has "), "{error}");
    fs::write(&weights, whole).unwrap();
    let manifest = made.bundle.join("pleach.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("\"schema\": 1", "\"schema\": 2", 1)).unwrap();
    let message = open().unwrap_err().to_string();
    assert!(message.ends_with("schema 2 is newer than this version reads (1): update pleach"), "{message}");
}

/// A damaged expert is found out when it is to draw, not before: what it weighs is not read until then.
#[test]
fn an_expert_is_hashed_when_it_is_needed() {
    let Some(made) = Made::new() else { return };
    let weights = made.bundle.join("unet/small.onnx_data");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[100] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let mut pipeline = made.pipeline(pipeline::Options::default());
    let prompts = prompts_of_each(&mut pipeline);
    let whole = request(&prompts[1..2]);
    assert_eq!(pipeline.generate(&whole, &mut ()).unwrap().len(), 1);
    let error = pipeline.generate(&request(&prompts[..1]), &mut ()).unwrap_err();
    assert!(error.is_integrity() && error.to_string().contains("unet/small.onnx_data has the SHA-256"), "{error}");
}

#[test]
fn fewer_bits_draw_nearly_the_same() -> Result<()> {
    let folder = tempdir()?;
    let prompts: Vec<String> = (0..6).map(|index| sample_single(3, index).caption).collect();
    let calibration = pleach_exporter::quantize::calibrate::Options { prompts, steps: 6, guidance: 2.0 };
    let mut sizes = Vec::new();
    for precision in [Precision::F32, Precision::Int8, Precision::Int4] {
        let options = Options {
            precision,
            verify: true,
            pictures: 5,
            engine: Some(engine()),
            calibration: calibration.clone(),
            ..Options::default()
        };
        let to = folder.path().join(precision.to_string());
        let exported = export(&Input::checkpoint(world::base()), &to, &options, &())?;
        assert_eq!(exported.folder.as_deref(), Some(to.as_path()), "{precision}: {:?}", exported.differences);
        let unet = &exported.manifest().unwrap().components.unet[0].component;
        assert_eq!(unet.precision, precision);
        sizes.push(unet.weights[0].bytes as f64 / unet.parameters as f64);
        // Nothing is left of what was written meanwhile.
        assert_eq!(fs::read_dir(folder.path())?.count(), sizes.len());
        if precision == Precision::F32 {
            assert!(exported.drawn.is_empty() && exported.calibrated.is_empty());
            continue;
        }
        // Half of the pictures: where noise might have become this or that, a little may decide.
        let mut decibels: Vec<f64> = exported.drawn.iter().map(|drawn| drawn.psnr.unwrap_or(f64::INFINITY)).collect();
        decibels.sort_by(f64::total_cmp);
        assert!(decibels.len() == 5 && decibels[2] > 25.0, "{precision}: {decibels:?}");
        let layers = &exported.calibrated[0].layers;
        let kept = |bits| layers.iter().filter(|layer| layer.kept == bits).count();
        assert!(kept(32) > 0 && kept(32) < layers.len() / 3, "{precision}: {} of {} wide", kept(32), layers.len());
        assert!((kept(4) > 0) == (precision == Precision::Int4));
        // The first and the last layer, and what tells the timestep, are in no list.
        assert!(!layers.iter().any(|layer| ["conv_in", "conv_out"].contains(&layer.layer.as_str())));
        assert!(!layers.iter().any(|layer| layer.layer.starts_with("time_embedding")));
    }
    let [single, int8, int4] = sizes[..] else { unreachable!() };
    assert!((single - 4.0).abs() < 0.1 && int8 < 1.6 && int4 < int8, "bytes for each parameter: {sizes:?}");
    Ok(())
}

#[test]
fn a_bundle_of_one_size_draws_that_alone() {
    let folder = tempdir().unwrap();
    let to = folder.path().join("bundle");
    let options = Options { size: Some([96, 64]), ..Options::default() };
    export(&Input::checkpoint(world::base()), &to, &options, &()).unwrap();
    let mut pipeline = Pipeline::open(Bundle::open(&to).unwrap(), &engine(), Default::default()).unwrap();
    let prompts = ["a red star".to_owned()];
    let image = pipeline.generate(&request(&prompts), &mut ()).unwrap().remove(0);
    assert_eq!((image.width(), image.height()), (96, 64));
    // Two pictures go through it one by one.
    assert_eq!(pipeline.generate(&request(&[prompts[0].clone(), String::new()]), &mut ()).unwrap().len(), 2);
    let other = Request { size: Some(Size { width: 64, height: 64 }), ..request(&prompts) };
    let error = pipeline.generate(&other, &mut ()).unwrap_err().to_string();
    assert!(error.contains(".onnx is made for pictures of 96x64 and no others: 64x64"), "{error}");
    // The same picture as a bundle of any size draws.
    let any = folder.path().join("any");
    export(&Input::checkpoint(world::base()), &any, &Options::default(), &()).unwrap();
    let mut pipeline = Pipeline::open(Bundle::open(&any).unwrap(), &engine(), Default::default()).unwrap();
    let wide = Request { size: Some(Size { width: 96, height: 64 }), ..request(&prompts) };
    let same = pipeline.generate(&wide, &mut ()).unwrap().remove(0);
    assert!(image.rgb().iter().zip(same.rgb()).all(|(a, b)| a.abs_diff(*b) <= 1));
    let options = Options { size: Some([97, 64]), ..Options::default() };
    let error = export(&Input::checkpoint(world::base()), &folder.path().join("no"), &options, &()).unwrap_err();
    assert_eq!(error.to_string(), "a picture of 97x64 cannot be drawn: both sides must be multiples of 4");
}

#[test]
fn graphs_in_the_format_of_onnx_runtime() {
    let folder = tempdir().unwrap();
    let to = folder.path().join("bundle");
    let without = Options { ort_format: true, ..Options::default() };
    let error = export(&Input::checkpoint(world::base()), &to, &without, &()).unwrap_err().to_string();
    assert!(error.ends_with("which was not started"), "{error}");
    let options = Options { engine: Some(engine()), ..without };
    let exported = export(&Input::checkpoint(world::base()), &to, &options, &()).unwrap();
    let manifest = exported.manifest().unwrap();
    for (name, component) in exported.components() {
        let entry = manifest.files.iter().find(|entry| entry.file == format!("{name}/model.ort")).unwrap();
        // Weights and all, and the mark of the format.
        assert!(entry.bytes > component.weights[0].bytes, "{name}");
        assert_eq!(&fs::read(to.join(&entry.file)).unwrap()[4..8], b"ORTM");
    }
    Bundle::open(&to).unwrap();
}

#[test]
fn some_networks_are_no_bundle() {
    let folder = tempdir().unwrap();
    let to = folder.path().join("some");
    let only = |names: &[&str]| Options {
        only: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        overwrite: true,
        ..Options::default()
    };
    let exported = export(&Input::checkpoint(world::base()), &to, &only(&["unet"]), &()).unwrap();
    assert!(exported.manifest().is_none());
    assert_eq!(exported.components().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["unet"]);
    assert!(to.join("unet/model.onnx").is_file() && !to.join("text_encoder").exists());
    let without = only(&["text_encoder", "unet", "vae_decoder"]);
    let exported = export(&Input::checkpoint(world::base()), &to, &without, &()).unwrap();
    assert!(exported.manifest().unwrap().components.vae_encoder.is_none());
    Bundle::open(&to).unwrap();
    let error = export(&Input::checkpoint(world::base()), &to, &only(&["router"]), &()).unwrap_err().to_string();
    assert!(error.ends_with("there are: text_encoder, unet, vae_decoder, vae_encoder"), "{error}");
}

#[test]
fn a_repository_for_triton() {
    let Some(made) = Made::new() else { return };
    let to = made.bundle.with_file_name("repository");
    let options = Options { layout: Layout::Triton, overwrite: true, ..Options::default() };
    for _ in 0..2 {
        exported(&made.family, &to, &options).unwrap();
    }
    let mut models: Vec<String> =
        fs::read_dir(&to).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    models.sort();
    let expected =
        ["client", "router", "text_encoder", "unet_large", "unet_middle", "unet_small", "vae_decoder", "vae_encoder"];
    assert_eq!(models, expected);
    for name in &expected[1..] {
        // Every graph opens in its version's folder, where all its weights are.
        let version = to.join(name).join("1");
        GraphFile::open(&version, "model.onnx", None, &HostCache::off()).unwrap();
        let config = fs::read_to_string(to.join(name).join("config.pbtxt")).unwrap();
        assert!(config.starts_with(&format!("name: \"{name}\"\nplatform: \"onnxruntime_onnx\"\nmax_batch_size: 0\n")));
    }
    let router = fs::read_to_string(to.join("router/config.pbtxt")).unwrap();
    assert!(router.contains("{ name: \"attention_mask\", data_type: TYPE_INT64, dims: [ -1, -1 ] }"), "{router}");
    assert!(router.contains("{ name: \"expert\", data_type: TYPE_INT64, dims: [ -1 ] }"), "{router}");
    assert!(to.join("client/router/tokenizer.json").is_file() && to.join("client/tokenizer").is_dir());
}

#[test]
fn whole_numbers_need_something_to_run_them() {
    let folder = tempdir().unwrap();
    let options = Options { precision: Precision::Int8, ..Options::default() };
    let error = export(&Input::checkpoint(world::base()), &folder.path().join("b"), &options, &()).unwrap_err();
    assert!(error.to_string().starts_with("int8 weights need ONNX Runtime"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
