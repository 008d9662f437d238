//! Headers that are right and headers that are wrong.

use super::*;
use ::safetensors::SafeTensors;
use proptest::prelude::*;

fn refused(bytes: &[u8]) -> String {
    let folder = folder(&[("x.safetensors", bytes)]);
    refusal(&folder.path().join("x.safetensors"))
}

#[test]
fn reads_what_the_safetensors_crate_reads() {
    for pipeline in ["sd1", "sd2", "sd2v"] {
        for component in ["unet", "vae", "text_encoder"] {
            let checkpoint = Checkpoint::open(&fixture(pipeline).join("pipeline").join(component)).unwrap();
            let bytes = fs::read(checkpoint.path()).unwrap();
            let reference = SafeTensors::deserialize(&bytes).unwrap();
            assert_eq!(checkpoint.names().len(), reference.len());
            for (name, tensor) in reference.iter() {
                let view = checkpoint.get(name).unwrap();
                assert_eq!((view.shape, view.bytes), (tensor.shape(), tensor.data()), "{name}");
            }
            assert_eq!(checkpoint.metadata(), &BTreeMap::from([("format".to_owned(), "pt".to_owned())]));
        }
    }
}

#[test]
fn a_file_that_ends_before_the_header_begins() {
    let message =
        "x.safetensors is not a safetensors file: it has 5 bytes, fewer than the 8 that tell the header's length";
    assert_eq!(refused(b"12345"), message);
}

#[test]
fn an_absurd_header_length() {
    let mut bytes = small();
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let message = "x.safetensors is truncated or not a safetensors file: its header should have 18446744073709551615 bytes, the file \
                   has 70 (and a header at most 100000000)";
    assert_eq!(refused(&bytes), message);
}

#[test]
fn a_header_longer_than_the_file() {
    let message = "x.safetensors is truncated or not a safetensors file: its header should have 54 bytes, the file has 40 (and a \
                   header at most 100000000)";
    assert_eq!(refused(&small()[..40]), message);
}

#[test]
fn a_header_that_is_not_json() {
    let message = "x.safetensors: the safetensors header is invalid: a: expected `:` at line 1 column 6";
    assert_eq!(refused(&safetensors(r#"{"a" 1}"#, &[])), message);
}

#[test]
fn a_header_with_a_field_of_the_wrong_kind() {
    let header = r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#;
    let message = "x.safetensors: the safetensors header is invalid: a: invalid value: integer `-2`, expected usize at line 1 column 31";
    assert_eq!(refused(&safetensors(header, &[0; 8])), message);
}

#[test]
fn metadata_that_are_not_text() {
    let message = "x.safetensors: the safetensors header is invalid: __metadata__: invalid type: integer `1`, expected a string at \
                   line 1 column 22";
    assert_eq!(refused(&safetensors(r#"{"__metadata__":{"a":1}}"#, &[])), message);
}

#[test]
fn two_tensors_of_one_name() {
    let a = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let message = "x.safetensors: the header lists the tensor a twice";
    assert_eq!(refused(&safetensors(&format!("{{{a},{a}}}"), &[0; 8])), message);
}

#[test]
fn offsets_that_overlap() {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let message = "x.safetensors: the tensor b lies at bytes 4 to 8 of the data, expected at 8: tensors must follow each other without \
                   gap or overlap";
    assert_eq!(refused(&safetensors(header, &[0; 8])), message);
}

#[test]
fn offsets_that_leave_a_hole() {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let message = "x.safetensors: the tensor a lies at bytes 4 to 12 of the data, expected at 0: tensors must follow each other \
                   without gap or overlap";
    assert_eq!(refused(&safetensors(header, &[0; 12])), message);
}

#[test]
fn offsets_that_run_backwards() {
    let header = r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,-0]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert!(refused(&safetensors(header, &[0; 8])).contains("a: invalid type: floating point `-0.0`"));
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,4]}}"#;
    let message = "x.safetensors: the tensor b lies at bytes 8 to 4 of the data, expected at 8: tensors must follow each other without \
                   gap or overlap";
    assert_eq!(refused(&safetensors(header, &[0; 8])), message);
}

#[test]
fn bytes_that_the_shape_does_not_fill() {
    let header = r#"{"a":{"dtype":"F16","shape":[3,2],"data_offsets":[0,8]}}"#;
    let message = "x.safetensors: the tensor a has 8 bytes, which F16 of shape [3, 2] does not fill";
    assert_eq!(refused(&safetensors(header, &[0; 8])), message);
}

#[test]
fn a_shape_whose_product_overflows() {
    let header = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
    let message = "x.safetensors: the tensor a has 0 bytes, which F32 of shape [4294967296, 4294967296] does not fill";
    assert_eq!(refused(&safetensors(header, &[])), message);
}

#[test]
fn a_truncated_file() {
    let source = fixture("sd1/pipeline/unet/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(source).unwrap();
    let message = "x.safetensors is truncated: the tensor up_blocks.2.resnets.1.time_emb_proj.weight ends at byte 1493264 of the data, \
                   of which the file has 1493263";
    assert_eq!(refused(&bytes[..bytes.len() - 1]), message);
}

#[test]
fn bytes_after_the_last_tensor() {
    assert_eq!(refused(&[small(), vec![0; 3]].concat()), "x.safetensors has 3 bytes after its last tensor");
}

#[test]
fn a_type_that_is_not_needed_does_no_harm() {
    let header = r#"{"a":{"dtype":"F4_NEW","shape":[3],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"c":{"dtype":"F32","shape":[],"data_offsets":[9,13]}}"#;
    let folder = folder(&[("x.safetensors", &safetensors(header, &[0; 13]))]);
    let path = folder.path().join("x.safetensors");
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.get("c").unwrap().to_f32().unwrap(), [0.0]);
    let message = |name, dtype| {
        format!(
            "{}: the tensor {name} has elements of type {dtype}; f32, f16, bf16, i64 and i32 can be read",
            path.display()
        )
    };
    assert_eq!(checkpoint.get("a").unwrap_err().to_string(), message("a", "F4_NEW"));
    assert_eq!(checkpoint.get("b").unwrap_err().to_string(), message("b", "U8"));
}

#[test]
fn a_tensor_that_is_not_there() {
    let folder = folder(&[("x.safetensors", &small())]);
    let path = folder.path().join("x.safetensors");
    let error = Checkpoint::open(&path).unwrap().get("b").unwrap_err();
    assert_eq!(error.to_string(), format!("{} holds no tensor b", path.display()));
}

proptest! {
    /// Whatever one byte is changed: no panic, and the same verdict as the safetensors crate's except where we are stricter (names
    /// repeated) or more patient (types unknown).
    #[test]
    fn agrees_with_the_safetensors_crate_on_damaged_headers(at in 0usize..140, to in any::<u8>()) {
        let header = r#"{"b":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"c":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}"#;
        let mut bytes = safetensors(header, &[0; 8]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        let ours = header::Header::parse(Path::new("x"), &bytes);
        let theirs = SafeTensors::deserialize(&bytes);
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours.tensors.len(), theirs.len()),
            (Ok(ours), Err(_)) => prop_assert!(ours.tensors.iter().any(|t| !matches!(t.dtype.as_str(), "F16" | "F32"))),
            (Err(error), Ok(_)) => prop_assert!(matches!(error, Error::Duplicate { .. }), "{}", error),
            (Err(_), Err(_)) => {}
        }
    }
}
