//! libtorch and the reference interpreter compute what diffusers and transformers compute.

use anyhow::Result;
use pleach_model::tokenizer::Tokenizer;
use pleach_model::{
    checkpoint::{Checkpoint, Spelling},
    counter,
    params::Params,
    reference::Reference,
    sentence::{SentenceConfig, SentenceEncoder},
    sites::Pass,
    tensor::Dtype,
};
use pleach_tests::{
    fixtures::{self, VARIANTS, Values},
    networks::{Engine, Interpreted, Networks},
    parity,
    tensor::Tensor,
};
use pleach_trainer::torch::{Device, Torch};

fn torch() -> Torch {
    Torch::new(Device::Cpu, Dtype::F32).unwrap()
}

/// Runs a check on every variant in both interpreters.
fn everywhere(check: impl Fn(&mut dyn Networks, &str) -> Result<()>) {
    for variant in VARIANTS {
        let pipeline = fixtures::pipeline(variant).unwrap();
        check(&mut Interpreted::open(torch(), &pipeline).unwrap(), variant).unwrap();
        check(&mut Interpreted::open(Reference::default(), &pipeline).unwrap(), variant).unwrap();
    }
}

#[test]
fn text_encoder() {
    everywhere(parity::text);
}

#[test]
fn unet() {
    everywhere(parity::unet);
}

#[test]
fn vae() {
    everywhere(parity::vae);
}

#[test]
fn guided_run() {
    everywhere(parity::guided_run);
}

#[test]
fn unet_blocks() {
    for variant in VARIANTS {
        blocks(torch(), variant).unwrap();
        blocks(Reference::default(), variant).unwrap();
    }
}

fn blocks<B: Engine>(engine: B, variant: &str) -> Result<()> {
    let networks = Interpreted::open(engine, &fixtures::pipeline(variant)?)?;
    let [[sample, timestep, context, _], _] = parity::unet_cases(&Values::of(variant)?)?;
    parity::blocks(&networks.unet_blocks(&sample, &timestep, &context)?.1, variant)
}

#[test]
#[allow(clippy::print_stderr, reason = "says that it did nothing")]
fn sentence_embeddings() {
    match fixtures::sentence_encoder() {
        Some(folder) => {
            sentence(&torch(), &folder).unwrap();
            sentence(&Reference::default(), &folder).unwrap();
        }
        None => eprintln!("skipped: the sentence encoder is not there; `cargo xtask setup` fetches it"),
    }
}

fn sentence<B: Engine>(engine: &B, folder: &std::path::Path) -> Result<()> {
    let values = Values::open("sentence.safetensors")?;
    let config = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    let config = SentenceConfig::from_json(&config)?;
    let checkpoint = Checkpoint::open(folder)?;
    let bound = checkpoint.bind(&counter::sentence(&config, 8)?.tensors, Spelling::Bert)?;
    let encoder = SentenceEncoder::new(&config, &Params::new(engine, &*B::weights(&bound)))?;
    let tokenizer = Tokenizer::sentence(&folder.join("tokenizer.json"), values.metadata("max_length")?)?;
    let embed = |ids: &Tensor<i64>, mask: Vec<i64>| -> Result<Tensor> {
        let mask = engine.give_ids(&Tensor::new(&ids.shape, mask))?;
        engine.take(&encoder.forward(&Pass::plain(engine), &engine.give_ids(ids)?, &mask)?)
    };
    for (i, prompt) in values.metadata::<Vec<String>>("prompts")?.iter().enumerate() {
        let (ids, expected) = (values.ids(&format!("{i}.input_ids"))?, values.floats(&format!("{i}.embedding"))?);
        let found: Vec<i64> = tokenizer.encode(prompt)?.ids.into_iter().map(i64::from).collect();
        assert_eq!(found, ids.data, "{prompt}");
        parity::within(prompt, &embed(&ids, vec![1; ids.data.len()])?, &expected, 1e-5);
        // Padding changes nothing.
        let padding = 5;
        let padded = Tensor::new(&[1, found.len() + padding], [found.clone(), vec![0; padding]].concat());
        let mask = [vec![1; found.len()], vec![0; padding]].concat();
        parity::within(prompt, &embed(&padded, mask)?, &expected, 1e-5);
    }
    Ok(())
}
