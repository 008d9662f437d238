use super::{super::testing::*, *};
use crate::{
    engine::{Network, NetworkOptions, TensorRef},
    onnx::{
        AttributeProto, DataType, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
        StringStringEntryProto, TensorProto, TrainingInfoProto, ValueInfoProto,
    },
};
use std::fs;
use tempfile::{TempDir, tempdir};

fn bundle(model: &ModelProto) -> TempDir {
    let folder = tempdir().unwrap();
    save(folder.path(), model, Some(&weights()));
    folder
}

fn open(folder: &TempDir) -> Result<GraphFile, GraphError> {
    GraphFile::open(folder.path(), "model.onnx", None, &HostCache::off())
}

/// The message with which a model is refused.
fn refusal(model: &ModelProto) -> String {
    open(&bundle(model)).unwrap_err().to_string()
}

/// The message with which the bytes of a graph file are refused.
fn refusal_of(bytes: &[u8]) -> String {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("model.onnx"), bytes).unwrap();
    open(&folder).unwrap_err().to_string()
}

fn product(graph: &GraphFile) -> Vec<f32> {
    let mut network = Network::open(&engine(), graph, &NetworkOptions::default()).unwrap();
    let outputs = network.run(&[("x", TensorRef::new(&[1, 2], &[1.0f32, 10.0]).unwrap())]).unwrap();
    outputs[0].clone().into_f32()
}

#[test]
fn weights_in_the_graph_and_beside_it_are_read() {
    let inline = bundle(&linear(TensorProto::inline("w", FLOAT, [2, 3], bytes(&W))));
    let beside = bundle(&external("model.onnx_data"));
    let (inline, beside) = (open(&inline).unwrap(), open(&beside).unwrap());
    assert_eq!(product(&inline), [41.0, 52.0, 63.0]);
    assert_eq!(product(&beside), [41.0, 52.0, 63.0]);
    assert_eq!((inline.weight_bytes(), beside.weight_bytes()), (0, 24));
}

#[test]
fn facts_are_read() {
    let mut model = external("model.onnx_data");
    model.producer_name = "pleach".into();
    model.producer_version = "0.1.0".into();
    model.metadata_props.push(StringStringEntryProto::new("key", "value"));
    let graph = open(&bundle(&model)).unwrap();
    let facts = graph.facts();
    assert_eq!((facts.opset, facts.nodes, facts.producer.as_str()), (21, 1, "pleach 0.1.0"));
    assert_eq!(facts.inputs[0].to_string(), "x: f32 [batch, 2]");
    assert_eq!(facts.outputs[0].to_string(), "y: f32 [batch, 3]");
    assert_eq!(facts.metadata["key"], "value");
    assert_eq!(graph.name(), "model.onnx");
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    for path in ["../x", "/etc/passwd", "a/b", "a\\b", "C:x", "..", ".", "", "a\0b", "*/_ORT_MEM_ADDR_/*"] {
        assert_eq!(
            refusal(&external(path)),
            format!(
                "model.onnx: the external data of the tensor \"w\" lies in {path:?}, which is not the plain name of a file beside \
                 the graph"
            )
        );
    }
}

#[test]
fn lengths_must_be_what_shapes_ask_for() {
    let refused = |length| refusal(&linear(TensorProto::external("w", FLOAT, [2, 3], "model.onnx_data", 4, length)));
    assert_eq!(
        refused(20),
        "model.onnx: the external data of the tensor \"w\" is shorter than the tensor: 20 bytes instead of 24"
    );
    assert_eq!(
        refused(28),
        "model.onnx: the external data of the tensor \"w\" is longer than the tensor: 28 bytes instead of 24"
    );
    let beyond = TensorProto::external("w", FLOAT, [2, 3], "model.onnx_data", 8, 24);
    assert_eq!(
        refusal(&linear(beyond)),
        "model.onnx: the external data of the tensor \"w\" ends at byte 32 of \"model.onnx_data\", which has 28"
    );
    let far = TensorProto::external("w", FLOAT, [2, 3], "model.onnx_data", u64::MAX, 24);
    assert_eq!(refusal(&linear(far)), "model.onnx: the external data of the tensor \"w\" ends beyond any file");
}

#[test]
fn a_shorter_weight_file_is_refused() {
    let folder = tempdir().unwrap();
    save(folder.path(), &external("model.onnx_data"), Some(&weights()[..27]));
    assert_eq!(
        open(&folder).unwrap_err().to_string(),
        "model.onnx: the external data of the tensor \"w\" ends at byte 28 of \"model.onnx_data\", which has 27"
    );
    fs::remove_file(folder.path().join("model.onnx_data")).unwrap();
    assert_eq!(
        open(&folder).unwrap_err().to_string(),
        format!(
            "cannot read {}: No such file or directory (os error 2)",
            folder.path().join("model.onnx_data").display()
        )
    );
}

#[test]
fn unclear_references_are_refused() {
    let entry = StringStringEntryProto::new;
    let refused = |change: &dyn Fn(&mut TensorProto)| {
        let mut w = TensorProto::external("w", FLOAT, [2, 3], "model.onnx_data", 4, 24);
        change(&mut w);
        let message = refusal(&linear(w));
        message.strip_prefix("model.onnx: the external data of the tensor \"w\" ").unwrap().to_owned()
    };
    assert_eq!(refused(&|w| w.external_data[1].value = "-1".into()), "has the offset \"-1\"");
    assert_eq!(refused(&|w| w.external_data[2].value = "24 ".into()), "has the length \"24 \"");
    assert_eq!(refused(&|w| w.external_data.push(entry("location", "y"))), "has two entries \"location\"");
    assert_eq!(refused(&|w| w.external_data.push(entry("basepath", ".."))), "has the unknown key \"basepath\"");
    assert_eq!(refused(&|w| w.external_data.clear()), "names no file");
    assert_eq!(refused(&|w| w.data_location = 0), "is given, but not marked as external");
    assert_eq!(refused(&|w| w.dims = vec![-2, -3]), "has the shape [-2, -3]");
    assert_eq!(refused(&|w| w.dims = vec![i64::MAX, i64::MAX]), format!("has the shape {:?}", [i64::MAX; 2]));
    assert_eq!(refused(&|w| w.data_type = DataType::String.into()), "has elements of the type String");
    assert_eq!(refused(&|w| w.data_type = 99), "has elements of the type Undefined");
}

#[test]
fn weights_may_lie_in_several_files() {
    let mut model = external("model.onnx_data");
    let other = TensorProto::external("v", FLOAT, [1], "other", 0, 4);
    model.graph.as_mut().unwrap().initializer.push(other);
    let folder = bundle(&model);
    let missing = folder.path().join("other");
    assert_eq!(
        open(&folder).unwrap_err().to_string(),
        format!("cannot read {}: No such file or directory (os error 2)", missing.display())
    );
    fs::write(&missing, [0; 3]).unwrap();
    assert_eq!(
        open(&folder).unwrap_err().to_string(),
        "model.onnx: the external data of the tensor \"v\" ends at byte 4 of \"other\", which has 3"
    );
    fs::write(&missing, [0; 4]).unwrap();
    let graph = open(&folder).unwrap();
    assert_eq!((graph.weight_bytes(), graph.weight_files().count()), (28, 2));
    assert_eq!(product(&graph), [41.0, 52.0, 63.0]);
}

/// What another graph takes from the same file does not count, and what two tensors both are counts once.
#[test]
fn only_what_a_graph_takes_from_a_file_is_counted() {
    let folder = bundle(&external("model.onnx_data"));
    let file = folder.path().join("model.onnx_data");
    fs::write(&file, [weights(), vec![0; 1000]].concat()).unwrap();
    let digest = |name: &str| files::digest_file(&folder.path().join(name)).unwrap();
    let measured = || {
        let weights = vec![("model.onnx_data".into(), digest("model.onnx_data"))];
        let listed = Listed { graph: digest("model.onnx"), weights };
        let measured = listed.measure(folder.path(), "model.onnx", &HostCache::off()).unwrap();
        let opened = GraphFile::open(folder.path(), "model.onnx", Some(&listed), &HostCache::off()).unwrap();
        assert_eq!(measured, opened.bytes() + opened.weight_bytes());
        measured - opened.bytes()
    };
    assert_eq!(measured(), 24);
    let mut model = external("model.onnx_data");
    let tensors = &mut model.graph.as_mut().unwrap().initializer;
    tensors.push(TensorProto::external("the same place", FLOAT, [6], "model.onnx_data", 4, 24));
    tensors.push(TensorProto::external("another", FLOAT, [25], "model.onnx_data", 900, 100));
    save(folder.path(), &model, None);
    assert_eq!(measured(), 124);
}

/// Size and graph are looked at, the weights' contents are not.
#[test]
fn a_graph_is_measured_without_its_weights_being_read() {
    let folder = bundle(&external("model.onnx_data"));
    let digest = |name: &str| files::digest_file(&folder.path().join(name)).unwrap();
    let listed =
        Listed { graph: digest("model.onnx"), weights: vec![("model.onnx_data".into(), digest("model.onnx_data"))] };
    let measure =
        |file: &str| listed.measure(folder.path(), file, &HostCache::off()).map_err(|error| error.to_string());
    let mut damaged = weights();
    damaged[5] ^= 1;
    fs::write(folder.path().join("model.onnx_data"), &damaged).unwrap();
    measure("model.onnx").unwrap();
    fs::write(folder.path().join("model.onnx_data"), &damaged[1..]).unwrap();
    assert_eq!(
        measure("model.onnx").unwrap_err(),
        "model.onnx_data has 27 bytes, the manifest says 28: it is damaged or was replaced"
    );
    fs::write(folder.path().join("model.onnx_data"), damaged).unwrap();
    let mut model = external("model.onnx_data");
    model.graph.as_mut().unwrap().name = "lineal".into();
    save(folder.path(), &model, None);
    assert!(measure("model.onnx").unwrap_err().starts_with("model.onnx has the SHA-256 "));
}

#[test]
fn tensors_are_found_wherever_they_hide() {
    let bad = || TensorProto::external("hidden", FLOAT, [1], "../x", 0, 4);
    let fine = || linear(TensorProto::inline("w", FLOAT, [2, 3], bytes(&W)));
    let sparse = || SparseTensorProto { values: Some(bad()), ..SparseTensorProto::default() };
    let in_graph = |change: &dyn Fn(&mut GraphProto)| {
        let mut model = fine();
        change(model.graph.as_mut().unwrap());
        model
    };
    let in_node = |attribute: AttributeProto| in_graph(&|graph| graph.node[0].attribute.push(attribute.clone()));
    let body = || GraphProto { initializer: vec![bad()], ..GraphProto::default() };
    let nested = GraphProto {
        node: vec![NodeProto::default().with(AttributeProto::graph("then_branch", body()))],
        ..GraphProto::default()
    };
    let function = |function: FunctionProto| ModelProto { functions: vec![function], ..fine() };
    let attribute = AttributeProto::tensor("value", bad());
    let models = [
        in_graph(&|graph| graph.initializer.push(bad())),
        in_graph(&|graph| graph.sparse_initializer.push(sparse())),
        in_graph(&|graph| {
            graph.sparse_initializer.push(SparseTensorProto { indices: Some(bad()), ..SparseTensorProto::default() });
        }),
        in_node(attribute.clone()),
        in_node(AttributeProto { tensors: vec![bad()], ..AttributeProto::default() }),
        in_node(AttributeProto { sparse_tensor: Some(sparse()), ..AttributeProto::default() }),
        in_node(AttributeProto { sparse_tensors: vec![sparse()], ..AttributeProto::default() }),
        in_node(AttributeProto::graph("body", body())),
        in_node(AttributeProto { graphs: vec![body()], ..AttributeProto::default() }),
        in_node(AttributeProto::graph("body", nested)),
        function(FunctionProto {
            node: vec![NodeProto::default().with(attribute.clone())],
            ..FunctionProto::default()
        }),
        function(FunctionProto { attribute_proto: vec![attribute], ..FunctionProto::default() }),
    ];
    for (i, model) in models.iter().enumerate() {
        let message = refusal(model);
        assert!(
            message.starts_with("model.onnx: the external data of the tensor \"hidden\" lies in \"../x\""),
            "{i}: {message}"
        );
    }
}

#[test]
fn models_that_are_not_for_inference_are_refused() {
    let fine = || linear(TensorProto::inline("w", FLOAT, [2, 3], bytes(&W)));
    let training = ModelProto { training_info: vec![TrainingInfoProto::default()], ..fine() };
    assert_eq!(refusal(&training), "model.onnx holds training graphs: export it for inference");
    let mut compiled = fine();
    compiled.graph.as_mut().unwrap().node.push(NodeProto::new("EPContext", "npu", &[], &[]));
    assert_eq!(refusal(&compiled), "model.onnx holds the compiled node \"npu\", which names a file of its own");
    assert_eq!(refusal(&ModelProto { graph: None, ..fine() }), "model.onnx holds no graph");
}

#[test]
fn unknown_versions_are_refused() {
    let fine = || linear(TensorProto::inline("w", FLOAT, [2, 3], bytes(&W)));
    let message = |what, found| {
        format!(
            "model.onnx is written in {what} {found}; versions {} are read",
            if what == "ONNX opset" { "7 to 26" } else { "3 to 13" }
        )
    };
    for found in [-1, 2, 14] {
        assert_eq!(refusal(&ModelProto { ir_version: found, ..fine() }), message("ONNX IR version", found));
    }
    for found in [-1, 6, 27] {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: found }];
        assert_eq!(refusal(&ModelProto { opset_import, ..fine() }), message("ONNX opset", found));
    }
}

#[test]
fn inputs_that_cannot_be_given_are_refused() {
    let mut model = external("model.onnx_data");
    let kinds = [(DataType::Bool, "of the type Bool"), (DataType::Double, "of the type Double")];
    for (kind, text) in kinds {
        model.graph.as_mut().unwrap().input[0] = ValueInfoProto::tensor("x", kind, []);
        assert_eq!(
            refusal(&model),
            format!(
                "model.onnx declares \"x\" {text}: only tensors of f32, f16, bf16, i64 and i32 are given and taken"
            )
        );
    }
    model.graph.as_mut().unwrap().input[0].r#type = None;
    assert_eq!(
        refusal(&model),
        "model.onnx declares \"x\", which is no tensor: only tensors of f32, f16, bf16, i64 and i32 are given and taken"
    );
}

#[test]
fn other_files_are_refused() {
    let pickle = "model.onnx is a pickle, and loading one runs code that it holds: only ONNX and safetensors files are read; save \
                  the model with safetensors (save_pretrained) and export it with `pleach export`";
    assert_eq!(refusal_of(b"\x80\x02}q\x00."), pickle);
    assert_eq!(refusal_of(b"PK\x03\x04 a zip archive, as torch.save writes it"), pickle);
    assert_eq!(
        refusal_of(b"\xff\xff\xff\xff garbage"),
        "model.onnx is not an ONNX graph, or not all of one: failed to decode Protobuf message: invalid key value: 8858370047"
    );
    assert_eq!(
        refusal_of(b""),
        "model.onnx names no version of the ONNX format: it is not an ONNX graph, or not all of one"
    );
    let whole = external("model.onnx_data").encode_to_vec();
    assert_eq!(
        refusal_of(&whole[..whole.len() / 2]),
        "model.onnx is not an ONNX graph, or not all of one: failed to decode Protobuf message: ModelProto.graph: buffer underflow"
    );
    for length in 0..whole.len() {
        refusal_of(&whole[..length]);
    }
}

#[test]
fn the_manifest_is_binding() {
    let folder = bundle(&external("model.onnx_data"));
    let digest = |name: &str| files::digest_file(&folder.path().join(name)).unwrap();
    let listed =
        Listed { graph: digest("model.onnx"), weights: vec![("model.onnx_data".into(), digest("model.onnx_data"))] };
    let open = |listed: &Listed| {
        GraphFile::open(folder.path(), "model.onnx", Some(listed), &HostCache::off()).map_err(|error| error.to_string())
    };
    open(&listed).unwrap();
    let zero = Sha256([0; 32]);
    let zeros = "0".repeat(64);

    let graph = Digest { sha256: zero, ..listed.graph };
    assert_eq!(
        open(&Listed { graph, ..listed.clone() }).unwrap_err(),
        format!(
            "model.onnx has the SHA-256 {}, the manifest says {zeros}: it is damaged or was replaced",
            listed.graph.sha256
        )
    );
    let graph = Digest { bytes: 1, ..listed.graph };
    assert_eq!(
        open(&Listed { graph, ..listed.clone() }).unwrap_err(),
        format!("model.onnx has {} bytes, the manifest says 1: it is damaged or was replaced", listed.graph.bytes)
    );
    let weights = vec![("model.onnx_data".into(), Digest { sha256: zero, ..digest("model.onnx_data") })];
    assert_eq!(
        open(&Listed { weights, ..listed.clone() }).unwrap_err(),
        format!(
            "model.onnx_data has the SHA-256 {}, the manifest says {zeros}: it is damaged or was replaced",
            digest("model.onnx_data").sha256
        )
    );
    let weights = vec![("model.onnx_data".into(), Digest { bytes: 29, ..digest("model.onnx_data") })];
    assert_eq!(
        open(&Listed { weights, ..listed.clone() }).unwrap_err(),
        "model.onnx_data has 28 bytes, the manifest says 29: it is damaged or was replaced"
    );
    let weights = vec![("other".into(), digest("model.onnx_data"))];
    let unlisted = "model.onnx takes its weights from \"model.onnx_data\", which the manifest does not list for it";
    assert_eq!(open(&Listed { weights, ..listed.clone() }).unwrap_err(), unlisted);
    assert_eq!(open(&Listed { weights: Vec::new(), ..listed.clone() }).unwrap_err(), unlisted);

    save(folder.path(), &linear(TensorProto::inline("w", FLOAT, [2, 3], bytes(&W))), None);
    assert_eq!(
        open(&Listed { graph: digest("model.onnx"), ..listed }).unwrap_err(),
        "the manifest lists \"model.onnx_data\" as the weights of model.onnx, which uses no such file"
    );
}

#[cfg(unix)]
#[test]
fn links_out_of_the_bundle_are_refused() {
    let folder = bundle(&external("model.onnx_data"));
    let elsewhere = tempdir().unwrap();
    for name in ["model.onnx_data", "model.onnx"] {
        let (inside, outside) = (folder.path().join(name), elsewhere.path().join(name));
        fs::rename(&inside, &outside).unwrap();
        std::os::unix::fs::symlink(&outside, &inside).unwrap();
        assert_eq!(
            open(&folder).unwrap_err().to_string(),
            format!(
                "{} leads to {}, outside of {}",
                inside.display(),
                outside.canonicalize().unwrap().display(),
                folder.path().display()
            )
        );
    }
}

#[cfg(unix)]
#[test]
fn links_of_a_hugging_face_cache_are_followed() {
    let cache = tempdir().unwrap();
    let repository = cache.path().join("models--someone--something");
    let (blobs, snapshot) = (repository.join("blobs"), repository.join("snapshots").join("0a1b2c"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(snapshot.join("unet")).unwrap();
    // A tensor in a sub-graph, and a field that nothing here knows, which must survive.
    let mut model = external("model.onnx_data");
    let unused = TensorProto::external("unused", FLOAT, [1], "model.onnx_data", 0, 4);
    let graph = model.graph.as_mut().unwrap();
    graph.node.push(NodeProto::new("Constant", "c", &[], &["c"]).with(AttributeProto::tensor("value", unused)));
    let mut encoded = model.encode_to_vec();
    encoded.extend(b"\xc2\x3e\x03abc");
    for (name, bytes) in [("model.onnx", encoded.as_slice()), ("model.onnx_data", &weights())] {
        let blob = format!("{}", Sha256::of(bytes));
        fs::write(blobs.join(&blob), bytes).unwrap();
        std::os::unix::fs::symlink(Path::new("../../../blobs").join(blob), snapshot.join("unet").join(name)).unwrap();
    }
    let graph = GraphFile::open(&snapshot, "unet/model.onnx", None, &HostCache::off()).unwrap();
    assert_eq!(product(&graph), [41.0, 52.0, 63.0]);
    let (rewritten, folder) = graph.contents().unwrap();
    assert_eq!(folder, Some(blobs.canonicalize().unwrap().as_path()));
    assert!(rewritten.ends_with(b"\xc2\x3e\x03abc"));
    let name = Sha256::of(&weights()).to_string();
    let expected = String::from_utf8_lossy(&encoded).matches("model.onnx_data").count();
    assert_eq!(String::from_utf8_lossy(&rewritten).matches(&name).count(), expected);
}
