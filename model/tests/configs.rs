//! Configurations of diffusers and transformers: what is read, what is refused, and that the tensors listed are those of the files.

use pleach_model::{
    architecture::Architecture,
    clip::ClipTextConfig,
    counter::{self, At},
    sentence::SentenceConfig,
    tensor::TensorSpec,
    unet::UNetConfig,
    vae::VaeConfig,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf};

const SMALL: At = At { height: 8, width: 8, tokens: 77 };

fn fixture(variant: &str, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(variant).join("pipeline").join(file)
}

fn config(variant: &str, component: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(variant, component).join("config.json")).unwrap()).unwrap()
}

/// Names and shapes of a file.
fn stored(variant: &str, file: &str) -> BTreeMap<String, Vec<usize>> {
    let bytes = fs::read(fixture(variant, file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect()
}

fn listed(tensors: Vec<TensorSpec>) -> BTreeMap<String, Vec<usize>> {
    let count = tensors.len();
    let map: BTreeMap<_, _> = tensors.into_iter().map(|spec| (spec.name, spec.shape)).collect();
    assert_eq!(map.len(), count, "a tensor is asked for twice");
    map
}

#[test]
fn the_networks_ask_for_exactly_the_tensors_that_diffusers_stores() {
    for variant in ["sd1", "sd2", "sd2v"] {
        let unet = UNetConfig::from_json(&config(variant, "unet")).unwrap();
        let report = counter::unet(&unet, &Architecture::full(), SMALL).unwrap();
        assert_eq!(listed(report.tensors), stored(variant, "unet/diffusion_pytorch_model.safetensors"), "{variant}");
        let vae = VaeConfig::from_json(&config(variant, "vae")).unwrap();
        let tensors = counter::vae_tensors(&vae).unwrap();
        assert_eq!(listed(tensors), stored(variant, "vae/diffusion_pytorch_model.safetensors"), "{variant}");
        let text = ClipTextConfig::from_json(&config(variant, "text_encoder")).unwrap();
        let report = counter::clip_text(&text, 77).unwrap();
        let unprefixed = |(name, shape): (String, Vec<usize>)| (name.replacen("text_model.", "", 1), shape);
        let tensors: BTreeMap<_, _> = listed(report.tensors).into_iter().map(unprefixed).collect();
        let file: BTreeMap<_, _> =
            stored(variant, "text_encoder/model.safetensors").into_iter().map(unprefixed).collect();
        assert_eq!(tensors, file, "{variant}");
    }
}

/// The error for sd2's UNet configuration with one key changed.
fn refused(key: &str, value: Value) -> String {
    let mut config = config("sd2", "unet");
    config[key] = value;
    UNetConfig::from_json(&config).unwrap_err().to_string()
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    assert_eq!(
        refused("down_block_types", json!(["CrossAttnDownBlock2D", "KDownBlock2D", "DownBlock2D", "DownBlock2D"])),
        "UNet2DConditionModel config: down_block_types: \"KDownBlock2D\" is not supported; supported: DownBlock2D, CrossAttnDownBlock2D"
    );
    assert_eq!(
        refused("addition_embed_type", json!("text_time")),
        "UNet2DConditionModel config: addition_embed_type: \"text_time\" is not supported; supported: null"
    );
    assert_eq!(
        refused("mid_block_type", json!("UNetMidBlock2D")),
        "UNet2DConditionModel config: mid_block_type: \"UNetMidBlock2D\" is not supported; supported: UNetMidBlock2DCrossAttn"
    );
    assert_eq!(
        refused("block_out_channels", json!([16, 32, "x", 32])),
        "UNet2DConditionModel config: block_out_channels: expected a list of positive whole numbers, found [16,32,\"x\",32]"
    );
    assert_eq!(
        refused("attention_head_dim", json!([2, 4])),
        "UNet2DConditionModel config: attention_head_dim: has 2 entries for 4 levels"
    );
    assert_eq!(
        refused("attention_head_dim", json!(5)),
        "UNet2DConditionModel config: block_out_channels: 16 channels do not fall into 16 groups and 5 heads"
    );
    assert_eq!(
        UNetConfig::from_json(&json!([])).unwrap_err().to_string(),
        "UNet2DConditionModel config: the whole file: expected a JSON object"
    );
    let mut vae = config("sd2", "vae");
    vae["shift_factor"] = json!(0.1);
    assert_eq!(
        VaeConfig::from_json(&vae).unwrap_err().to_string(),
        "AutoencoderKL config: shift_factor: 0.1 is not supported; supported: null"
    );
    assert_eq!(
        ClipTextConfig::from_json(&json!({ "hidden_act": "relu" })).unwrap_err().to_string(),
        "CLIPTextModel config: hidden_act: \"relu\" is not supported; supported: gelu, quick_gelu"
    );
    assert_eq!(
        SentenceConfig::from_json(&json!({ "model_type": "roberta" })).unwrap_err().to_string(),
        "sentence encoder config: model_type: \"roberta\" is not supported; supported: bert, mpnet"
    );
    assert_eq!(
        SentenceConfig::from_json(&json!({})).unwrap_err().to_string(),
        "sentence encoder config: model_type: missing; expected a string"
    );
}

#[test]
fn unknown_keys_are_tolerated_and_null_means_absent() {
    let mut value = config("sd2", "unet");
    let plain = UNetConfig::from_json(&value).unwrap();
    value["a_key_of_next_year"] = json!({ "x": 1 });
    value["norm_eps"] = Value::Null;
    assert_eq!(UNetConfig::from_json(&value).unwrap(), plain);
    value["mid_block_type"] = Value::Null;
    assert!(!UNetConfig::from_json(&value).unwrap().mid_block);
}

#[test]
fn the_published_sizes_of_mpnet_are_its_own() {
    let mpnet = json!({
        "model_type": "mpnet", "vocab_size": 30527, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "max_position_embeddings": 514, "layer_norm_eps": 1e-5, "pad_token_id": 1,
        "relative_attention_num_buckets": 32, "hidden_act": "gelu",
    });
    let config = SentenceConfig::from_json(&mpnet).unwrap();
    assert_eq!(config.max_tokens(), 512);
    let report = counter::sentence(&config, 16).unwrap();
    let layer = 4 * (768 * 768 + 768) + 2 * 2 * 768 + 2 * 768 * 3072 + 3072 + 768;
    assert_eq!(report.parameters(), (30527 + 514 + 2) * 768 + 32 * 12 + 12 * layer);
}
