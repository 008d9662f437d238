use super::*;
use crate::torch::{Device, Torch, Value, Weights};
use pleach_model::{
    architecture::Architecture,
    backend::{Backend, Constant},
    checkpoint::Spelling,
    counter,
    cut::Cuts,
    gating::{Entries, Gating, Relaxation},
    noise::Generator,
    params::Params,
    pipeline::{CheckpointPipeline, PipelineFolder},
    sites::Pass,
    tensor::Dtype,
    unet::{UNet, UNetConfig},
    vector::VectorLayout,
};
use std::path::Path;
use tch::{Kind, Tensor};

fn pipeline(fixture: &str) -> CheckpointPipeline {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(fixture).join("pipeline");
    PipelineFolder::open(&folder).unwrap().checkpoint().unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Value::try_from(tensor.detach()).unwrap().to_f32().unwrap()
}

fn parts(torch: &Torch, layout: &VectorLayout, vector: &Tensor) -> Entries<Value> {
    let gating = Gating::new(torch, layout, Relaxation::default()).unwrap();
    gating.parts(torch, &Value::try_from(vector.shallow_clone()).unwrap()).unwrap()
}

fn layout(config: &UNetConfig) -> VectorLayout {
    VectorLayout::of(config).unwrap()
}

#[test]
fn transport_gives_every_code_its_share() {
    // All prompts are nearest to code 0; prompts 2 and 3 lose least by going to code 1.
    let similarities = Tensor::from_slice(&[0.9_f32, 0.1, 0.8, 0.1, 0.7, 0.6, 0.7, 0.65]).reshape([4, 2]);
    let codes: Vec<i64> = sinkhorn_codes(&similarities, Transport::default()).unwrap().try_into().unwrap();
    assert_eq!(codes, [0, 0, 1, 1]);
    // By hand for two prompts and two codes: Q = exp(s / 0.05), rows to 1/2, columns to 1/2.
    let equal = Tensor::from_slice(&[0.5_f32, 0.4, 0.5, 0.4]).reshape([2, 2]);
    let codes: Vec<i64> = sinkhorn_codes(&equal, Transport::default()).unwrap().try_into().unwrap();
    assert_eq!(codes[0], codes[1], "prompts that are alike cannot be told apart");
}

#[test]
fn the_contrastive_loss_by_hand() {
    // Two orthogonal prompts: Z = softmax([1, 0] / 0.03) is [1, 0] up to e^-33. Architectures with cosine c:
    // A = [p, 1 - p], p = 1 / (1 + e^((c - 1) / 0.03)); the loss is the mean of -log p and -log(1 - (1 - p)), both -log p.
    let prompts = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0]).reshape([2, 2]);
    let cosine = 0.98_f64;
    let architectures =
        Tensor::from_slice(&[1.0_f32, 0.0, cosine as f32, (1.0 - cosine * cosine).sqrt() as f32]).reshape([2, 2]);
    let found = contrastive_loss(&architectures, &prompts, 0.03).unwrap().double_value(&[]);
    let p = 1.0 / (1.0 + ((cosine - 1.0) / 0.03).exp());
    assert!((found + p.ln()).abs() < 1e-5, "{found} is not {}", -p.ln());
}

/// A network with closed gates computes what the network computes that is cut out of it.
#[test]
fn masked_is_cut() {
    for fixture in ["sd1", "sd2", "sd2v"] {
        masked_is_cut_in(&pipeline(fixture));
    }
}

fn masked_is_cut_in(pipeline: &CheckpointPipeline) {
    let config = UNetConfig::from_json(&pipeline.unet.config).unwrap();
    let layout = layout(&config);
    let torch = Torch::new(Device::Cpu, Dtype::F32).unwrap();
    let checkpoint = pipeline.unet.weights(None).unwrap();
    let at = counter::At { height: 8, width: 8, tokens: 77 };
    let tensors = counter::unet(&config, &Architecture::full(), at).unwrap().tensors;
    let bound = checkpoint.bind(&tensors, Spelling::Unet).unwrap();
    let weights = Weights::new(&bound);
    let whole = UNet::new(&config, &Architecture::full(), &Params::new(&torch, &weights)).unwrap();
    let mut generator = Generator::new(5);
    let mut normal =
        |shape: &[usize]| torch.constant(Constant::F32(generator.randn(shape.iter().product())), shape).unwrap();
    let sample = normal(&[2, config.in_channels, 8, 8]);
    let context = normal(&[2, 5, config.cross_attention_dim]);
    let timestep = torch.constant(Constant::F32(vec![3.0, 700.0]), &[2]).unwrap();
    for seed in 0..12 {
        let mut random = crate::random::Random::new(&[seed]);
        // From nearly whole to hardly anything left, and every other one with skipped modules.
        let share = 0.95 - 0.08 * seed as f64;
        let open: Vec<bool> = (0..layout.len())
            .map(|entry| {
                random.chance(if entry < layout.width() {
                    share
                } else if seed % 2 == 0 {
                    1.0
                } else {
                    0.6
                })
            })
            .collect();
        let architecture = layout.architecture(&open).unwrap();
        // A site of which nothing is open keeps its first unit, in the mask too.
        let mut gates: Vec<f32> = open.iter().map(|&open| f32::from(u8::from(open))).collect();
        for width in &layout.widths {
            if gates[width.entries.clone()].iter().all(|gate| *gate == 0.0) {
                gates[width.entries.start] = 1.0;
            }
        }
        let gates = parts(&torch, &layout, &Tensor::from_slice(&gates).reshape([1, -1]));
        let masks = Masks::new(&layout, &gates, Placement::Hidden, Dtype::F32).unwrap();
        let masked = whole.forward(&Pass::new(&torch, &masks), &sample, &timestep, &context).unwrap();
        let cuts = Cuts::new(&config, &architecture).unwrap();
        let cut = crate::torch::CutWeights::new(&bound, &cuts);
        let cut = UNet::new(&config, &architecture, &Params::new(&torch, &cut)).unwrap();
        let expected = cut.forward(&Pass::plain(&torch), &sample, &timestep, &context).unwrap();
        let apart = (masked.tensor() - expected.tensor()).abs().max().double_value(&[]);
        assert!(apart < 1e-4, "seed {seed}: {apart} apart");
        // The released placement differs, where a ResNet lost groups.
        let masks = Masks::new(&layout, &gates, Placement::AptpCompat, Dtype::F32).unwrap();
        let compat = whole.forward(&Pass::new(&torch, &masks), &sample, &timestep, &context).unwrap();
        let apart = (compat.tensor() - expected.tensor()).abs().max().double_value(&[]);
        assert!(apart > 1e-4, "seed {seed}: only {apart} apart");
    }
}

/// Gates have the same gradients where what is inside ResNets and transformers is computed again.
#[test]
fn gates_learn_through_what_is_computed_again() {
    let pipeline = pipeline("sd2");
    let config = UNetConfig::from_json(&pipeline.unet.config).unwrap();
    let layout = layout(&config);
    let checkpoint = pipeline.unet.weights(None).unwrap();
    let at = counter::At { height: 8, width: 8, tokens: 77 };
    let tensors = counter::unet(&config, &Architecture::full(), at).unwrap().tensors;
    let bound = checkpoint.bind(&tensors, Spelling::Unet).unwrap();
    let [kept, again] = [false, true].map(|recomputes| {
        let torch = Torch::new(Device::Cpu, Dtype::F32).unwrap().recomputing(recomputes);
        let weights = Weights::new(&bound);
        let unet = UNet::new(&config, &Architecture::full(), &Params::new(&torch, &weights)).unwrap();
        let constant = |shape: &[usize]| {
            let numbers = Generator::new(2).randn(shape.iter().product());
            torch.constant(Constant::F32(numbers), shape).unwrap()
        };
        let gates =
            Tensor::full([1, layout.len() as i64], 0.7, (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let entries = parts(&torch, &layout, &gates);
        let masks = Masks::new(&layout, &entries, Placement::Hidden, Dtype::F32).unwrap();
        let sample = constant(&[1, config.in_channels, 8, 8]);
        let context = constant(&[1, 5, config.cross_attention_dim]);
        let timestep = torch.constant(Constant::F32(vec![300.0]), &[1]).unwrap();
        let output = unet.forward(&Pass::new(&torch, &masks), &sample, &timestep, &context).unwrap();
        output.tensor().square().mean(Kind::Float).backward();
        numbers(&gates.grad())
    });
    assert!(kept.iter().filter(|gradient| **gradient != 0.0).count() * 2 > kept.len());
    let largest = kept.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let apart = kept.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-5 * largest, "{apart} apart, {largest} the largest");
}
