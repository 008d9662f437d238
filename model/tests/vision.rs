//! The picture encoder: its configuration, its tensors, and that the picture's size does not matter to what it sees.

use pleach_model::{
    backend::{Backend, Constant},
    counter,
    noise::Generator,
    params::{Params, Source},
    reference::{self, Reference},
    sites::Pass,
    tensor::TensorSpec,
    vision::{Choice, Head, Vision, VisionConfig},
};
use serde_json::json;

fn config() -> VisionConfig {
    VisionConfig {
        in_channels: 3,
        block_out_channels: vec![8, 12],
        layers_per_block: 1,
        norm_num_groups: 4,
        features: 5,
        heads: vec![
            Head { name: "style".into(), classes: vec!["flat".into(), "dotted".into()], choice: Choice::OneOf },
            Head { name: "shape".into(), classes: vec!["star".into()], choice: Choice::AnyOf },
        ],
    }
}

/// Parameters that depend on nothing but their shape.
struct Given;

impl Source<Reference> for Given {
    fn parameter(&self, backend: &Reference, spec: &TensorSpec) -> pleach_model::error::Result<reference::Value> {
        let scale = 0.3;
        let data = Generator::new(spec.numel() as u64).randn(spec.numel()).iter().map(|x| x * scale).collect();
        backend.constant(Constant::F32(data), &spec.shape)
    }
}

#[test]
fn configurations_are_read_as_written() {
    assert_eq!(VisionConfig::from_json(&config().to_json()).unwrap(), config());
    let message = |changes: &[(&str, serde_json::Value)]| {
        let mut value = config().to_json();
        changes.iter().for_each(|(key, change)| value[key] = change.clone());
        VisionConfig::from_json(&value).unwrap_err().to_string()
    };
    assert!(message(&[("block_out_channels", json!([6]))]).contains("6 channels do not fall into 4 groups"));
    for wrong in [json!([]), json!({"one_of": []}), json!({"one_of": [1]}), json!({"one_of": ["a"], "any_of": ["b"]})] {
        assert!(message(&[("heads", json!({"style": wrong}))]).contains("style: expected {\"one_of\": [...]}"));
    }
    assert!(message(&[("heads", json!(null))]).contains("missing; expected an object of heads"));
    assert!(message(&[("_class_name", json!("UNet2DConditionModel"))]).contains("PleachVision"));
}

#[test]
fn scores_are_read_as_the_head_says() {
    let [style, _] = config().heads.try_into().unwrap();
    assert_eq!(style.found(&[-3.0, -1.0]), [1]);
    let shape = Head { choice: Choice::AnyOf, ..style };
    assert_eq!(shape.found(&[-3.0, -1.0]), [0; 0]);
    assert_eq!(shape.found(&[3.0, 1.0]), [0, 1]);
    assert_eq!(shape.found(&[f32::NAN, 1.0]), [1]);
}

#[test]
fn tensors_are_named_by_module() {
    let tensors = counter::vision(&config(), [16, 16]).unwrap().tensors;
    let shape = |name: &str| tensors.iter().find(|spec| spec.name == name).map(|spec| spec.shape.clone());
    assert_eq!(shape("conv_in.weight"), Some(vec![8, 3, 3, 3]));
    assert_eq!(shape("blocks.0.downsamplers.0.conv.weight"), Some(vec![8, 8, 3, 3]));
    assert_eq!(shape("blocks.1.resnets.0.conv_shortcut.weight"), Some(vec![12, 8, 1, 1]));
    assert_eq!(shape("heads.style.weight"), Some(vec![2, 5]));
    assert_eq!(shape("blocks.1.downsamplers.0.conv.weight"), None);
}

/// The LayerNorm after the sum over positions: a plain picture is the same at every size, up to its borders.
#[test]
fn features_do_not_grow_with_the_picture() {
    let backend = Reference::default();
    let network = Vision::new(&config(), &Params::new(&backend, &Given)).unwrap();
    let seen = |side: usize| {
        let picture = backend.constant(Constant::F32(vec![0.4; 3 * side * side]), &[1, 3, side, side]).unwrap();
        let seen = network.forward(&Pass::plain(&backend), &picture).unwrap();
        assert_eq!(backend.fact(&seen.heads[0]).known(), Some(vec![1, 2]));
        seen.features.floats().unwrap().to_vec()
    };
    let (small, large) = (seen(64), seen(128));
    assert_eq!(small.len(), 5);
    let worst = small.iter().zip(&large).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 0.1, "{small:?} and {large:?}");
}
