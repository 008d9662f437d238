use super::*;
use pleach_model::{checkpoint::Checkpoint, pipeline::PipelineFolder};
use std::path::Path;

fn pipeline() -> (CheckpointPipeline, Checkpoint) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sd2");
    let reference = Checkpoint::open(&folder.join("reference.safetensors")).unwrap();
    (PipelineFolder::open(&folder.join("pipeline")).unwrap().checkpoint().unwrap(), reference)
}

fn worst(found: &Tensor, expected: &[f32]) -> f32 {
    let found = Value::try_from(found.shallow_clone()).unwrap().to_f32().unwrap();
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn captions_are_embedded_as_transformers_embeds_them() {
    let (pipeline, reference) = pipeline();
    let encoder = TextEncoder::open(&pipeline, Device::Cpu, Dtype::F32).unwrap();
    let prompts: Vec<String> = serde_json::from_str(&reference.metadata()["prompts"]).unwrap();
    let embeddings = encoder.encode(&prompts).unwrap();
    assert_eq!(embeddings.size(), [3, 77, 32]);
    assert_eq!(encoder.shape(), [77, 32]);
    let difference = worst(&embeddings, &reference.get("text.last_hidden_state").unwrap().to_f32().unwrap());
    assert!(difference < 1e-4, "{difference}");
    assert!(!embeddings.requires_grad());
}

#[test]
fn moments_are_those_of_diffusers() {
    let (pipeline, reference) = pipeline();
    let encoder = LatentEncoder::open(&pipeline, Device::Cpu, Dtype::F32).unwrap();
    let values = |name: &str| reference.get(name).unwrap().to_f32().unwrap();
    let pictures = Tensor::from_slice(&values("vae.image")).reshape([2, 3, 16, 16]).set_requires_grad(true);
    let moments = encoder.moments(&pictures).unwrap();
    assert_eq!(moments.size(), [2, 8, 8, 8]);
    assert!(!moments.requires_grad());
    let (mean, log_variance) = halves(&moments).unwrap();
    for (found, expected) in [(mean, "vae.mean"), (log_variance, "vae.logvar")] {
        let difference = worst(&found, &values(expected));
        assert!(difference < 1e-4, "{expected}: {difference}");
    }
}

#[test]
fn only_the_log_variance_is_clamped() {
    let moments = Tensor::from_slice(&[-40.0_f32, 40.0, -40.0, 40.0]).reshape([1, 4, 1, 1]);
    let clamped = Value::try_from(clamped(&moments).unwrap()).unwrap().to_f32().unwrap();
    assert_eq!(clamped, [-40.0, 40.0, -30.0, 20.0]);
}
