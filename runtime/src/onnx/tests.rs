use super::*;
use std::{fs, path::Path};

fn fixture(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/optimum_sd2").join(name);
    fs::read(path).unwrap().into()
}

#[test]
fn reads_what_optimum_wrote() {
    let model = ModelProto::decode(fixture("unet/model.onnx")).unwrap();
    let graph = model.graph.unwrap();
    let names = |values: &[ValueInfoProto]| values.iter().map(|value| value.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&graph.input), ["sample", "timestep", "encoder_hidden_states"]);
    assert_eq!(names(&graph.output), ["out_sample"]);
    assert_eq!(model.producer_name, "pytorch");
    assert!(graph.node.iter().any(|node| node.op_type == "Conv"));
    for tensor in &graph.initializer {
        let kind = DataType::try_from(tensor.data_type).unwrap();
        let numel: i64 = tensor.dims.iter().product();
        assert_eq!(tensor.raw_data.len() as u64 * 8, numel as u64 * kind.bits().unwrap(), "{}", tensor.name);
    }
}

#[test]
fn encodes_torch_exports_to_the_bytes_they_had() {
    for component in ["text_encoder", "unet", "vae_decoder", "vae_encoder"] {
        let bytes = fixture(&format!("{component}/model.onnx"));
        let model = ModelProto::decode(bytes.clone()).unwrap();
        assert_eq!(model.encoded_len(), bytes.len(), "{component}: a field is missing or has another tag or type");
        assert!(ModelProto::decode(Bytes::from(model.encode_to_vec())).unwrap() == model, "{component}");
    }
}

#[test]
fn decoding_copies_no_weights() {
    let bytes = fixture("vae_decoder/model.onnx");
    let model = ModelProto::decode(bytes.clone()).unwrap();
    let range = bytes.as_ptr_range();
    let graph = model.graph.unwrap();
    let tensor = graph.initializer.iter().find(|tensor| !tensor.raw_data.is_empty()).unwrap();
    assert!(range.contains(&tensor.raw_data.as_ptr()));
}
