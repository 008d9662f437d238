//! Manifests written, read back, and read where something in them is wrong.

use super::*;
use crate::{
    counter::{At, Macs},
    schedule::PredictionType,
    tensor::Dtype,
};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

fn entry(file: &str) -> FileEntry {
    FileEntry { file: file.to_owned(), sha256: Sha256::of(file.as_bytes()), bytes: file.len() as u64 }
}

fn graph(file: &str, flavour: Flavour) -> Graph {
    let FileEntry { file, sha256, bytes } = entry(file);
    Graph { file, flavour, sha256, bytes }
}

fn component(folder: &str, name: &str) -> Component {
    let file = |end: &str| format!("{folder}/{name}{end}");
    Component {
        graphs: vec![graph(&file(".onnx"), Flavour::Portable), graph(&file(".cpu.onnx"), Flavour::Cpu)],
        weights: vec![entry(&file(".onnx_data"))],
        precision: Precision::F16,
        parameters: 865_910_724,
        macs: Macs { exact: 3, aptp: 4, linear_conv: 2 },
        inputs: vec![Port {
            name: "sample".to_owned(),
            dtype: Dtype::F32,
            dims: vec![Dim::Symbol("batch".to_owned()), Dim::Known(4)],
        }],
        outputs: vec![Port { name: "out_sample".to_owned(), dtype: Dtype::F32, dims: vec![] }],
    }
}

fn bundle() -> Bundle {
    let expert = |name: &str, default| Expert {
        name: name.to_owned(),
        default,
        component: component("unet", name),
        suppressed: Vec::new(),
        made: Vec::new(),
    };
    Bundle {
        schema: Schema,
        kind: Kind::Bundle,
        producer: Producer { name: "pleach-export".to_owned(), version: "0.1.0".to_owned() },
        components: Components {
            text_encoder: component("text_encoder", "model"),
            vae_decoder: Component { weights: Vec::new(), ..component("vae_decoder", "model") },
            vae_encoder: None,
            unet: vec![expert("model", true), expert("small", false)],
            router: None,
        },
        counted_at: At::SD512,
        files: vec![entry("unet/config.json")],
        suppressed: vec![],
        provenance: Provenance {
            checkpoint: vec![entry("unet/diffusion_pytorch_model.safetensors")],
            family: None,
            prediction_type: PredictionType::VPrediction,
        },
    }
}

#[test]
fn one_expert_needs_no_router() {
    let mut bundle = bundle();
    bundle.components.router = Some(component("router", "model"));
    bundle.check().unwrap();
    assert_eq!(bundle.components().last().unwrap().0, "components.router");
    bundle.components.unet.truncate(1);
    let (field, reason) = bundle.check().unwrap_err();
    assert_eq!((field.as_str(), reason.as_str()), ("components.router", "expected none where there is one expert"));
}

/// What reading the manifest says is wrong after a change, with its path left out.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut json = serde_json::to_value(bundle()).unwrap();
    change(&mut json);
    let error = Bundle::parse(Path::new("pleach.json"), json.to_string().as_bytes()).unwrap_err();
    error.to_string().replace("pleach.json: ", "")
}

/// The same after a value was put at `at`.
fn refusal_of(at: &str, value: Value) -> String {
    refusal(|json| *json.pointer_mut(at).unwrap() = value)
}

#[test]
fn a_bundle_is_written_and_read_back() {
    let [a, b] = [(); 2].map(|()| TempDir::new().unwrap());
    for folder in [&a, &b] {
        bundle().write(folder.path()).unwrap();
        assert_eq!(Bundle::read(folder.path()).unwrap(), bundle());
    }
    let text = fs::read_to_string(a.path().join(FILE_NAME)).unwrap();
    assert_eq!(text, fs::read_to_string(b.path().join(FILE_NAME)).unwrap());
    insta::assert_snapshot!(text);
}

#[test]
fn what_a_bundle_holds() {
    let bundle = bundle();
    assert_eq!(bundle.default_expert().unwrap().name, "model");
    assert_eq!(bundle.expert("small").unwrap().component.graph(Flavour::Cpu).unwrap().file, "unet/small.cpu.onnx");
    assert!(bundle.expert("large").is_none());
    let components: Vec<_> = bundle.components().into_iter().map(|(path, _)| path).collect();
    let expected = ["text_encoder", "vae_decoder", "unet[0].component", "unet[1].component"];
    assert_eq!(components, expected.map(|name| format!("components.{name}")));

    let mut shared = bundle;
    shared.components.unet[1].component.weights = shared.components.unet[0].component.weights.clone();
    let files: Vec<_> = shared.all_files().into_iter().map(|entry| entry.file).collect();
    let expected = [
        "text_encoder/model.onnx",
        "text_encoder/model.cpu.onnx",
        "text_encoder/model.onnx_data",
        "vae_decoder/model.onnx",
        "vae_decoder/model.cpu.onnx",
        "unet/model.onnx",
        "unet/model.cpu.onnx",
        "unet/model.onnx_data",
        "unet/small.onnx",
        "unet/small.cpu.onnx",
        "unet/config.json",
    ];
    assert_eq!(files, expected);
}

#[test]
fn symbolic_dimensions_keep_their_formula() {
    let height = crate::shape::Dim::symbol("height");
    let product = crate::shape::Dim::Product([8.into(), height].into());
    assert_eq!([&product, &8.into()].map(Dim::from), [Dim::Symbol("8*height".to_owned()), Dim::Known(8)]);
}

#[test]
fn every_wrong_field_is_named() {
    let unet = "/components/unet/0/component";
    for (at, value, message) in [
        (
            format!("{unet}/graphs/0/sha256"),
            json!("xyz"),
            "components.unet[0].component.graphs[0].sha256: expected 64 hexadecimal digits, found \"xyz\"",
        ),
        (
            format!("{unet}/graphs/1/flavour"),
            json!("metal"),
            "components.unet[0].component.graphs[1].flavour: unknown variant `metal`, expected one of `portable`, `cpu`, `cuda`",
        ),
        (
            format!("{unet}/weights/0/bytes"),
            json!(-1),
            "components.unet[0].component.weights[0].bytes: invalid value: integer `-1`, expected u64",
        ),
        (
            format!("{unet}/weights/0/file"),
            json!("../model.onnx_data"),
            "components.unet[0].component.weights[0].file: expected a plain path inside the folder, found \"../model.onnx_data\"",
        ),
        (
            format!("{unet}/precision"),
            json!("i64"),
            "components.unet[0].component.precision: unknown variant `i64`, expected one of `f32`, `f16`, `bf16`, `int8`, `int4`",
        ),
        (
            format!("{unet}/inputs/0/dims/1"),
            json!(1.5),
            "components.unet[0].component.inputs[0].dims[1]: invalid type: floating point `1.5`, expected a number or a symbol",
        ),
        (
            format!("{unet}/macs/exact"),
            json!("many"),
            "components.unet[0].component.macs.exact: invalid type: string \"many\", expected u64",
        ),
        (
            "/components/unet/1/name".to_owned(),
            json!("a/b"),
            "components.unet[1].name: expected a plain name, found \"a/b\"",
        ),
        (
            "/files/0/file".to_owned(),
            json!("/etc/passwd"),
            "files[0].file: expected a plain path inside the folder, found \"/etc/passwd\"",
        ),
        (
            "/provenance/prediction_type".to_owned(),
            json!("noise"),
            "provenance.prediction_type: unknown variant `noise`, expected one of `epsilon`, `v_prediction`, `sample`",
        ),
        ("/schema".to_owned(), json!(0), "schema: expected 1, found 0"),
        ("/producer".to_owned(), json!({"name": "x"}), "producer: missing field `version`"),
        ("/suppressed".to_owned(), json!(null), "suppressed: invalid type: null, expected a sequence"),
    ] {
        assert_eq!(refusal_of(&at, value), message);
    }
}

#[test]
fn missing_unknown_and_repeated_fields() {
    let remove = |json: &mut Value| drop(json.as_object_mut().unwrap().shift_remove("provenance"));
    assert_eq!(refusal(remove), "missing field `provenance`");
    let add = |json: &mut Value| json["components"]["unet"][1]["colour"] = json!("red");
    let message = "components.unet[1].colour: unknown field `colour`, expected one of `name`, `default`, `component`, `suppressed`, `made`";
    assert_eq!(refusal(add), message);

    let json = serde_json::to_string(&bundle())
        .unwrap()
        .replace(r#""suppressed":[]"#, r#""suppressed":[],"suppressed":["x"]"#);
    let error = Bundle::parse(Path::new("pleach.json"), json.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "pleach.json: duplicate field `suppressed`");
}

#[test]
fn fields_that_contradict_each_other() {
    assert_eq!(refusal_of("/components/unet", json!([])), "components.unet: expected one default expert, found 0");
    let message = "components.unet: expected one default expert, found 2";
    assert_eq!(refusal_of("/components/unet/1/default", json!(true)), message);
    let message = "components.unet[1].name: expected another name for each expert, found \"model\" again";
    assert_eq!(refusal_of("/components/unet/1/name", json!("model")), message);
    let message = "components.text_encoder.graphs: expected one portable graph and at most one of each other flavour";
    assert_eq!(refusal_of("/components/text_encoder/graphs/0/flavour", json!("cpu")), message);
    let message = "components.unet[1].component.graphs[0]: unet/model.onnx is listed before with another hash or size";
    assert_eq!(refusal_of("/components/unet/1/component/graphs/0/file", json!("unet/model.onnx")), message);
}

#[test]
fn a_contradiction_is_not_written() {
    let folder = TempDir::new().unwrap();
    let mut bundle = bundle();
    bundle.components.unet.clear();
    let path = folder.path().join(FILE_NAME);
    let message = format!("{}: components.unet: expected one default expert, found 0", path.display());
    assert_eq!(bundle.write(folder.path()).unwrap_err().to_string(), message);
    assert!(!path.exists());
}

#[test]
fn manifests_of_other_times_and_kinds() {
    let newer = |json: &mut Value| {
        json["schema"] = json!(2);
        json["colour"] = json!("red");
    };
    assert_eq!(refusal(newer), "schema 2 is newer than this version reads (1): update pleach");
    assert_eq!(refusal_of("/kind", json!("family")), "pleach.json describes a family, where a bundle is expected");
    assert_eq!(refusal(|json| *json = json!([])), "invalid length 0, expected a JSON object");
}

#[test]
fn what_is_not_json() {
    let error = |json: &[u8]| Bundle::parse(Path::new("pleach.json"), json).unwrap_err().to_string();
    assert_eq!(error(b"{\"schema\": 1,}"), "pleach.json: not valid JSON: trailing comma at line 1 column 14");
    assert_eq!(error(b""), "pleach.json: not valid JSON: EOF while parsing a value at line 1 column 0");
    let mut json = serde_json::to_vec(&bundle()).unwrap();
    json.extend(b" x");
    assert!(error(&json).starts_with("pleach.json: not valid JSON: trailing characters at line 1"));
}

#[test]
fn a_folder_without_manifest() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE_NAME);
    let message = format!("cannot read {}: No such file or directory (os error 2)", path.display());
    assert_eq!(Bundle::read(folder.path()).unwrap_err().to_string(), message);
}

#[test]
fn files_are_checked_against_their_entries() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, "graph").unwrap();
    let entry = FileEntry::of(folder.path(), "model.onnx").unwrap();
    assert_eq!(entry.check(folder.path(), Depth::Hash).unwrap(), fs::canonicalize(&path).unwrap());

    fs::write(&path, "groph").unwrap();
    assert!(entry.check(folder.path(), Depth::Size).is_ok());
    let error = entry.check(folder.path(), Depth::Hash).unwrap_err();
    let message = format!(
        "{} has the SHA-256 {}, its manifest says {}: it is damaged or was changed",
        path.display(),
        Sha256::of(b"groph"),
        Sha256::of(b"graph")
    );
    assert_eq!((error.to_string(), error.is_integrity()), (message, true));

    fs::write(&path, "graphs").unwrap();
    let error = entry.check(folder.path(), Depth::Size).unwrap_err();
    let message = format!("{} has 6 bytes, its manifest says 5: it is damaged or was changed", path.display());
    assert_eq!((error.to_string(), error.is_integrity()), (message, true));

    fs::remove_file(&path).unwrap();
    let error = entry.check(folder.path(), Depth::Size).unwrap_err();
    let message = format!("cannot read {}: No such file or directory (os error 2)", path.display());
    assert_eq!((error.to_string(), error.is_integrity()), (message, false));
}

#[cfg(unix)]
#[test]
fn an_entry_that_is_a_link_out_of_the_bundle() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("bundle");
    fs::create_dir(&root).unwrap();
    fs::write(folder.path().join("secret"), "graph").unwrap();
    std::os::unix::fs::symlink("../secret", root.join("model.onnx")).unwrap();
    let entry = FileEntry { file: "model.onnx".to_owned(), sha256: Sha256::of(b"graph"), bytes: 5 };
    let error = entry.check(&root, Depth::Size).unwrap_err();
    let text = error.to_string().replace(folder.path().to_str().unwrap(), "TMP");
    assert_eq!(text, "TMP/bundle/model.onnx leads to TMP/secret, outside of TMP/bundle");
}
