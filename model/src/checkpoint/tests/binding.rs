//! Stored names and shapes against those a network expects.

use super::*;
use crate::{
    architecture::Architecture,
    clip::ClipTextConfig,
    counter::{self, At},
    tensor::TensorSpec,
    unet::UNetConfig,
    vae::VaeConfig,
};

fn spec(name: &str, shape: &[usize]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), shape: shape.to_vec() }
}

/// A file with these tensors.
fn stored(tensors: &[(&str, &[usize])]) -> (TempDir, Checkpoint) {
    let folder = TempDir::new().unwrap();
    write_f32(&folder.path().join("model.safetensors"), tensors);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    (folder, checkpoint)
}

/// Checks that each stored tensor is found under the name and shape expected.
fn assert_binds(spelling: Spelling, tensors: &[(&str, &[usize], &str, &[usize])], unused: &[&str]) {
    let mut all: Vec<(&str, &[usize])> = tensors.iter().map(|&(name, shape, ..)| (name, shape)).collect();
    all.extend(unused.iter().map(|&name| (name, [7].as_slice())));
    let (_folder, checkpoint) = stored(&all);
    let expected: Vec<_> = tensors.iter().map(|&(.., name, shape)| spec(name, shape)).collect();
    let bound = checkpoint.bind(&expected, spelling).unwrap();
    assert_eq!(bound.specs(), expected);
    for &(stored, _, name, shape) in tensors {
        let view = bound.get(name).unwrap();
        assert_eq!((view.name, view.shape), (name, shape));
        assert_eq!(view.bytes.as_ptr(), checkpoint.get(stored).unwrap().bytes.as_ptr());
    }
}

/// A component of a fixture, and what its network expects.
fn network(pipeline: &str, component: &str) -> (Checkpoint, Vec<TensorSpec>, Spelling) {
    let folder = fixture(pipeline).join("pipeline").join(component);
    let config = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let (expected, spelling) = match component {
        "unet" => {
            let config = UNetConfig::from_json(&config).unwrap();
            (counter::unet(&config, &Architecture::full(), At::SD512).unwrap().tensors, Spelling::Unet)
        }
        "vae" => (counter::vae_tensors(&VaeConfig::from_json(&config).unwrap()).unwrap(), Spelling::AutoencoderKl),
        _ => {
            let config = ClipTextConfig::from_json(&config).unwrap();
            (counter::clip_text(&config, 77).unwrap().tensors, Spelling::ClipText)
        }
    };
    (Checkpoint::open(&folder).unwrap(), expected, spelling)
}

#[test]
fn the_fixtures_bind() {
    for pipeline in ["sd1", "sd2", "sd2v"] {
        for component in ["unet", "vae", "text_encoder"] {
            let (checkpoint, expected, spelling) = network(pipeline, component);
            let bound = checkpoint.bind(&expected, spelling).unwrap();
            assert_eq!(bound.specs().len(), checkpoint.names().len());
            for spec in &expected {
                assert_eq!(bound.get(&spec.name).unwrap().shape, spec.shape);
            }
        }
    }
}

#[test]
fn a_copy_with_a_missing_and_a_misshapen_tensor() {
    let (checkpoint, expected, spelling) = network("sd1", "unet");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("diffusion_pytorch_model.safetensors");
    let tensors = checkpoint.names().filter(|name| *name != "conv_norm_out.bias").map(|name| {
        let view = checkpoint.get(name).unwrap();
        let shape = if name == "conv_in.weight" { &[16, 3, 3, 4] } else { view.shape };
        NewTensor::new(name, view.dtype, shape, view.bytes)
    });
    write_safetensors(&path, tensors.collect(), &BTreeMap::new()).unwrap();
    let mismatch = Checkpoint::open(folder.path()).unwrap().bind(&expected, spelling).unwrap_err();
    let message = format!(
        "{} does not fit the network:\
         \n  1 missing:\
         \n    conv_norm_out.bias [16]\
         \n  1 not as expected:\
         \n    conv_in.weight: expected [16, 4, 3, 3], found [16, 3, 3, 4]",
        path.display()
    );
    assert_eq!(mismatch.to_string(), message);
}

#[test]
fn unet_projections_are_linear_or_convolutions() {
    let (linear, conv): (&[usize], &[usize]) = (&[6, 4], &[6, 4, 1, 1]);
    let (proj_in, proj_out) = ("mid_block.attentions.0.proj_in.weight", "mid_block.attentions.0.proj_out.weight");
    assert_binds(Spelling::Unet, &[(proj_in, conv, proj_in, linear), (proj_out, linear, proj_out, conv)], &[]);
}

#[test]
fn the_autoencoders_old_attention_names() {
    let at = |name: &str| format!("decoder.mid_block.attentions.0.{name}");
    let pairs = [
        ("query", "to_q"),
        ("key", "to_k"),
        ("value", "to_v"),
        ("proj_attn", "to_out.0"),
        ("group_norm", "group_norm"),
    ]
    .map(|(old, new)| {
        [("weight", [4, 4].as_slice()), ("bias", [4].as_slice())]
            .map(|(kind, shape)| (at(&format!("{old}.{kind}")), at(&format!("{new}.{kind}")), shape))
    })
    .concat();
    let tensors: Vec<_> = pairs.iter().map(|(old, new, shape)| (old.as_str(), *shape, new.as_str(), *shape)).collect();
    assert_binds(Spelling::AutoencoderKl, &tensors, &[]);

    let (old, new) = (at("proj_attn.weight"), at("to_out.0.weight"));
    assert_binds(Spelling::AutoencoderKl, &[(&old, &[4, 4, 1, 1], &new, &[4, 4])], &[]);
}

#[test]
fn the_text_encoders_prefix_comes_and_goes() {
    let names =
        ["embeddings.token_embedding.weight", "encoder.layers.0.self_attn.q_proj.weight", "final_layer_norm.bias"];
    for prefix in ["", "text_model."] {
        let pairs = names.map(|name| (format!("{prefix}{name}"), format!("text_model.{name}")));
        let tensors =
            pairs.each_ref().map(|(old, new)| (old.as_str(), [2, 2].as_slice(), new.as_str(), [2, 2].as_slice()));
        let position_ids = format!("{prefix}embeddings.position_ids");
        assert_binds(Spelling::ClipText, &tensors, &[&position_ids, "text_projection.weight"]);
    }
    let projection = "text_projection.weight";
    assert_binds(Spelling::ClipText, &[(projection, &[2, 3], projection, &[2, 3])], &[]);
}

#[test]
fn the_sentence_encoders_prefixes_and_norms() {
    let new = [
        "embeddings.LayerNorm.weight",
        "encoder.layer.0.attention.output.LayerNorm.bias",
        "encoder.layer.0.attention.self.query.weight",
    ];
    for (spelling, prefixes, head) in [
        (Spelling::Bert, ["", "bert.", "0.auto_model."], "cls.predictions.bias"),
        (Spelling::Mpnet, ["", "mpnet.", "0.auto_model."], "lm_head.bias"),
    ] {
        for prefix in prefixes {
            for (weight, bias) in [("weight", "bias"), ("gamma", "beta")] {
                let old = new.map(|name| {
                    let name = name.replace("LayerNorm.weight", &format!("LayerNorm.{weight}"));
                    format!("{prefix}{}", name.replace("LayerNorm.bias", &format!("LayerNorm.{bias}")))
                });
                let tensors: Vec<_> =
                    old.iter().zip(new).map(|(old, new)| (old.as_str(), [3].as_slice(), new, [3].as_slice())).collect();
                let unused = ["pooler.dense.weight", "embeddings.position_ids"].map(|name| format!("{prefix}{name}"));
                assert_binds(spelling, &tensors, &[&unused[0], &unused[1], head]);
            }
        }
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let (f32s, ints) = (counting(4), [0; 16]);
    let tensors = vec![
        NewTensor::new("conv_in.weight", Dtype::F32, &[2, 2], &f32s),
        NewTensor::new("conv_in.bias", Dtype::I64, &[2], &ints),
        NewTensor::new("lora.up", Dtype::F32, &[4], &f32s),
    ];
    write_safetensors(&path, tensors, &BTreeMap::new()).unwrap();
    let expected = [spec("conv_in.weight", &[2, 2, 1, 1]), spec("conv_in.bias", &[2]), spec("conv_out.bias", &[4])];
    let mismatch = Checkpoint::open(&path).unwrap().bind(&expected, Spelling::Unet).unwrap_err();
    let message = format!(
        "{} does not fit the network:\
         \n  1 missing:\
         \n    conv_out.bias [4]\
         \n  1 unexpected:\
         \n    lora.up\
         \n  2 not as expected:\
         \n    conv_in.bias: expected f32, f16 or bf16, found I64\
         \n    conv_in.weight: expected [2, 2, 1, 1], found [2, 2]",
        path.display()
    );
    assert_eq!(mismatch.to_string(), message);
}

#[test]
fn a_tensor_under_two_spellings() {
    let (folder, checkpoint) = stored(&[("mid.key.bias", &[1]), ("mid.to_k.bias", &[1])]);
    let mismatch = checkpoint.bind(&[spec("mid.to_k.bias", &[1])], Spelling::AutoencoderKl).unwrap_err();
    let message = format!(
        "{} does not fit the network:\n  1 not as expected:\n    mid.to_k.bias: stored twice, as mid.key.bias and as mid.to_k.bias",
        folder.path().join("model.safetensors").display()
    );
    assert_eq!(mismatch.to_string(), message);
}

#[test]
fn a_long_list_is_shortened() {
    let (_folder, checkpoint) = stored(&[]);
    let expected: Vec<_> = (0..45).map(|i| spec(&format!("conv.{i}.bias"), &[4])).collect();
    let mismatch = checkpoint.bind(&expected, Spelling::Unet).unwrap_err();
    assert_eq!(mismatch.missing.len(), 45);
    let text = mismatch.to_string();
    assert_eq!(text.lines().count(), 1 + 1 + 20 + 1);
    assert!(text.ends_with("\n    conv.19.bias [4]\n    ... and 25 more"), "{text}");
}
