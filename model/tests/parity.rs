//! The networks, interpreted by `Reference`, against what diffusers and transformers compute.

mod common;

use common::Fixture;
use pleach_model::{
    architecture::Architecture,
    backend::{Backend, Constant},
    checkpoint::{Checkpoint, Spelling},
    clip::{ClipText, ClipTextConfig},
    counter::{self, At},
    error::Result,
    params::Params,
    reference::{Reference, Value, Weights},
    sentence::{SentenceConfig, SentenceEncoder},
    sites::{Pass, Site, Sites},
    tensor::TensorSpec,
    unet::{UNet, UNetConfig},
    vae::{Decoder, Encoder, VaeConfig},
};
use std::{cell::RefCell, collections::BTreeMap, fs, path::PathBuf};

const SMALL: At = At { height: 8, width: 8, tokens: 77 };

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

fn config(folder: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(fixture(folder).join("config.json")).unwrap()).unwrap()
}

/// Builds a network from the checkpoint in a folder and hands it on.
fn with<T>(folder: &str, tensors: &[TensorSpec], spelling: Spelling, run: impl FnOnce(&Params<Reference>) -> T) -> T {
    let checkpoint = Checkpoint::open(&fixture(folder)).unwrap();
    let bound = checkpoint.bind(tensors, spelling).unwrap();
    let (reference, weights) = (Reference::default(), Weights::new(&bound));
    run(&Params::new(&reference, &weights))
}

fn with_unet<T>(variant: &str, run: impl FnOnce(&Pass<Reference>, &UNet<Reference>) -> T) -> T {
    let folder = format!("{variant}/pipeline/unet");
    let config = UNetConfig::from_json(&config(&folder)).unwrap();
    let tensors = counter::unet(&config, &Architecture::full(), SMALL).unwrap().tensors;
    with(&folder, &tensors, Spelling::Unet, |params| {
        run(&Pass::plain(params.backend()), &UNet::new(&config, &Architecture::full(), params).unwrap())
    })
}

fn floats(b: &Reference, file: &Fixture, name: &str) -> Value {
    b.constant(Constant::F32(file.f32(name)), &file.shape(name)).unwrap()
}

fn whole(b: &Reference, file: &Fixture, name: &str) -> Value {
    b.constant(Constant::I64(file.i64(name)), &file.shape(name)).unwrap()
}

/// At most 1e-4 from the fixture's values, everywhere.
fn assert_near(found: &Value, file: &Fixture, name: &str) {
    assert_eq!(found.shape(), file.shape(name), "{name}");
    let worst = found.floats().unwrap().iter().zip(file.f32(name)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-4, "{name} is {worst:e} away");
}

/// Collects the blocks' outputs.
#[derive(Default)]
struct Blocks(RefCell<BTreeMap<String, Value>>);

impl Sites<Reference> for Blocks {
    fn site(&self, _: &Reference, path: &str, site: Site<'_, Value>, value: Value) -> Result<Value> {
        if matches!(site, Site::Block) {
            self.0.borrow_mut().insert(path.to_owned(), value.clone());
        }
        Ok(value)
    }
}

#[test]
fn unets_and_each_of_their_blocks_agree_with_diffusers() {
    for variant in ["sd1", "sd2", "sd2v"] {
        let file = Fixture::open(&format!("{variant}/reference.safetensors"));
        with_unet(variant, |pass, unet| {
            let blocks = Blocks::default();
            let timesteps = file.i64("unet.timestep").into_iter().map(|t| t as f32).collect::<Vec<_>>();
            let timesteps = pass.constant(Constant::F32(timesteps), &[3]).unwrap();
            let context = floats(pass, &file, "unet.encoder_hidden_states");
            let sample = floats(pass, &file, "unet.sample");
            let out = unet.forward(&Pass::new(&**pass, &blocks), &sample, &timesteps, &context).unwrap();
            assert_near(&out, &file, "unet.out");
            let blocks = blocks.0.into_inner();
            assert_eq!(blocks.len(), file.names("").iter().filter(|name| name.contains("block")).count());
            for (path, value) in &blocks {
                assert_near(value, &file, &format!("unet.{path}"));
            }
        });
    }
}

#[test]
fn latents_that_are_not_square_or_of_odd_size_agree_with_diffusers() {
    let odd = Fixture::open("odd_sizes.safetensors");
    for variant in ["sd1", "sd2", "sd2v"] {
        let file = Fixture::open(&format!("{variant}/reference.safetensors"));
        with_unet(variant, |pass, unet| {
            let context = floats(pass, &file, "unet.encoder_hidden_states").floats().unwrap().to_vec();
            let width = file.shape("unet.encoder_hidden_states")[2];
            let context = pass.constant(Constant::F32(context[..77 * width].to_vec()), &[1, 77, width]).unwrap();
            let timestep = pass.constant(Constant::F32(vec![250.0]), &[1]).unwrap();
            let out = unet.forward(pass, &floats(pass, &file, "unet.rect.sample"), &timestep, &context).unwrap();
            assert_near(&out, &file, "unet.rect.out");
            let [sample, timestep, context] =
                ["sample", "timestep", "context"].map(|name| floats(pass, &odd, &format!("{variant}.{name}")));
            assert_near(&unet.forward(pass, &sample, &timestep, &context).unwrap(), &odd, &format!("{variant}.out"));
        });
    }
}

#[test]
fn autoencoders_agree_with_diffusers_both_ways() {
    let odd = Fixture::open("odd_sizes.safetensors");
    for variant in ["sd1", "sd2", "sd2v"] {
        let file = Fixture::open(&format!("{variant}/reference.safetensors"));
        let folder = format!("{variant}/pipeline/vae");
        let config = VaeConfig::from_json(&config(&folder)).unwrap();
        with(&folder, &counter::vae_tensors(&config).unwrap(), Spelling::AutoencoderKl, |params| {
            let pass = Pass::plain(params.backend());
            let encoder = Encoder::new(&config, params).unwrap();
            let moments = encoder.forward(&pass, &floats(&pass, &file, "vae.image")).unwrap();
            let (mean, logvar) = pass.halves(&moments, 1).unwrap();
            assert_near(&mean, &file, "vae.mean");
            assert_near(&logvar, &file, "vae.logvar");
            let decoder = Decoder::new(&config, params).unwrap();
            assert_near(&decoder.forward(&pass, &floats(&pass, &file, "vae.latent")).unwrap(), &file, "vae.decoded");
            let latent = floats(&pass, &odd, &format!("{variant}.latent"));
            assert_near(&decoder.forward(&pass, &latent).unwrap(), &odd, &format!("{variant}.decoded"));
        });
    }
}

#[test]
fn text_encoders_agree_with_transformers() {
    for variant in ["sd1", "sd2", "sd2v"] {
        let file = Fixture::open(&format!("{variant}/reference.safetensors"));
        let folder = format!("{variant}/pipeline/text_encoder");
        let config = ClipTextConfig::from_json(&config(&folder)).unwrap();
        let tensors = counter::clip_text(&config, 77).unwrap().tensors;
        with(&folder, &tensors, Spelling::ClipText, |params| {
            let pass = Pass::plain(params.backend());
            let text = ClipText::new(&config, params).unwrap();
            let hidden = text.forward(&pass, &whole(&pass, &file, "text.input_ids")).unwrap();
            assert_near(&hidden, &file, "text.last_hidden_state");
        });
    }
}

/// Sentences of 290, 5 and 64 tokens, padded to one length, so that near, far and hidden positions all matter.
#[test]
fn mpnet_agrees_with_transformers() {
    let file = Fixture::open("mpnet/reference.safetensors");
    let config = SentenceConfig::from_json(&config("mpnet")).unwrap();
    let tensors = counter::sentence(&config, 8).unwrap().tensors;
    with("mpnet", &tensors, Spelling::Mpnet, |params| {
        let pass = Pass::plain(params.backend());
        let encoder = SentenceEncoder::new(&config, params).unwrap();
        let out = encoder.forward(&pass, &whole(&pass, &file, "ids"), &whole(&pass, &file, "mask")).unwrap();
        assert_near(&out, &file, "embedding");
    });
}
