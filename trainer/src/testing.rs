//! What tests learn from: the random pipeline of the fixtures, whose latents are half as wide as its pictures, a few pictures of the small
//! world, and a sentence encoder that has learnt nothing.

use crate::{
    data::{ImageFolder, Loader, LoaderOptions, Position, Transform},
    encoders::{LatentEncoder, Sentences, TextEncoder},
    finetune::{Batches, Teacher},
    run::{self, Event, Watch, write_weights},
    torch::{Initial, Torch},
    world,
};
use pleach_model::{
    counter,
    files::Overwrite,
    params::Source,
    pipeline::{CheckpointPipeline, PipelineFolder},
    schedule::Schedule,
    sentence::SentenceConfig,
    tensor::Dtype,
    vae::VaeConfig,
};
use serde_json::{Map, json};
use std::{
    cell::Cell,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};
use tch::{Device, Tensor};
use tempfile::{TempDir, tempdir};

/// Side of the pictures.
pub const SIDE: usize = 16;

/// Where the fixtures' pipeline is.
pub fn pipeline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sd2/pipeline")
}

/// Stops a run after so many looks.
pub struct Stop(pub Cell<u64>);

impl Watch for Stop {
    fn event(&self, _: Event<'_>) {}

    fn interrupted(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

/// A pipeline and data to learn from.
pub struct Bench {
    pub pipeline: CheckpointPipeline,
    pub teacher: Teacher,
    pub schedule: Schedule,
    data: TempDir,
}

impl Bench {
    /// Six pictures of one object each.
    pub fn new() -> Self {
        let pipeline = PipelineFolder::open(&pipeline()).unwrap().checkpoint().unwrap();
        let data = tempdir().unwrap();
        let request = world::folder::Request { count: 6, seed: 1, one_object: true, ..Default::default() };
        let go_on = || ControlFlow::Continue(());
        world::folder::write(&data.path().join("world"), &request, Overwrite::Never, &go_on).unwrap();
        let teacher = Teacher::new(pipeline.unet.clone()).unwrap();
        let schedule = Schedule::from_config(&pipeline.common.scheduler).unwrap();
        Self { pipeline, teacher, schedule, data }
    }

    /// Folder of the pictures.
    pub fn pictures(&self) -> PathBuf {
        self.data.path().join("world")
    }

    pub fn scaling(&self) -> f64 {
        VaeConfig::from_json(&self.pipeline.vae.config).unwrap().scaling_factor
    }

    /// Embedding of the empty caption.
    pub fn null(&self) -> Tensor {
        TextEncoder::open(&self.pipeline, Device::Cpu, Dtype::F32).unwrap().encode(&[String::new()]).unwrap()
    }

    /// Batches of so many, from any position.
    pub fn batches(&self, batch: usize, seed: u64) -> impl FnMut(Position) -> run::Result<Batches> + '_ {
        let dataset = Arc::new(ImageFolder::open(&self.pictures(), None).unwrap());
        move |position| {
            let options = LoaderOptions { batch, seed, workers: 2, prefetch: 2 };
            Ok(Batches::Fresh {
                loader: Box::new(Loader::start(dataset.clone(), Transform::center(SIDE), options, position)?),
                latents: Box::new(LatentEncoder::open(&self.pipeline, Device::Cpu, Dtype::F32)?),
                text: Box::new(TextEncoder::open(&self.pipeline, Device::Cpu, Dtype::F32)?),
                side: SIDE,
                warn: Box::new(|line| panic!("{line}")),
            })
        }
    }

    /// Folder of a small BERT with random weights that knows the words of the pictures' captions.
    pub fn sentence_encoder(&self) -> PathBuf {
        let folder = self.data.path().join("sentences");
        if folder.is_dir() {
            return folder;
        }
        fs::create_dir(&folder).unwrap();
        let captions = fs::read_to_string(self.pictures().join("metadata.jsonl")).unwrap();
        let letters = |c: char| !c.is_alphabetic();
        let mut vocab = Map::new();
        for word in
            ["[CLS]", "[SEP]", "[UNK]"].into_iter().chain(captions.split(letters).filter(|word| !word.is_empty()))
        {
            let id = vocab.len();
            vocab.entry(word.to_lowercase()).or_insert_with(|| json!(id));
        }
        let config = json!({
            "model_type": "bert", "vocab_size": vocab.len(), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 64,
        });
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": { "type": "Lowercase" },
            "pre_tokenizer": { "type": "Whitespace" }, "decoder": null,
            "post_processor": { "type": "BertProcessing", "cls": ["[cls]", 0], "sep": ["[sep]", 1] },
            "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "[unk]" },
        });
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let sizes = SentenceConfig::from_json(&config).unwrap();
        let torch = Torch::new(Device::Cpu, Dtype::F32).unwrap();
        let random = Initial { seed: 3 };
        let tensors = counter::sentence(&sizes, sizes.max_tokens()).unwrap().tensors;
        let weights: Vec<(String, Tensor)> = tensors
            .into_iter()
            .map(|spec| {
                let value = random.parameter(&torch, &spec).unwrap();
                (spec.name, value.tensor().shallow_clone())
            })
            .collect();
        write_weights(&folder.join("model.safetensors"), &weights, Dtype::F32).unwrap();
        folder
    }

    pub fn sentences(&self) -> Sentences {
        Sentences::open(&self.sentence_encoder(), Device::Cpu).unwrap()
    }
}
