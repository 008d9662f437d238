//! `model_index.json` as Optimum's pipeline reads it.

use serde_json::{Map, Value, json};

/// Class of a bundle's pipeline.
pub(super) const CLASS: &str = "ORTStableDiffusionPipeline";
/// What the pipeline is made of.
const COMPONENTS: [&str; 5] = ["scheduler", "text_encoder", "tokenizer", "unet", "vae"];
/// What diffusers looks for in the index and a bundle does not have.
const ABSENT: [&str; 3] = ["feature_extractor", "image_encoder", "safety_checker"];

/// The index of a bundle, given that of its checkpoint.
pub(super) fn bundle_index(checkpoint: &Map<String, Value>) -> Vec<u8> {
    let mut index = Map::new();
    index.insert("_class_name".into(), json!(CLASS));
    for key in ["_diffusers_version"].iter().chain(&COMPONENTS) {
        if let Some(value) = checkpoint.get(*key) {
            index.insert((*key).into(), value.clone());
        }
    }
    for key in ABSENT {
        index.insert(key.into(), json!([null, null]));
    }
    index.insert("requires_safety_checker".into(), json!(false));
    index.sort_keys();
    format!("{:#}\n", Value::Object(index)).into_bytes()
}
