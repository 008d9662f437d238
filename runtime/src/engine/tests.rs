use super::{library::find, testing::*, *};
use crate::onnx::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use half::f16;
use std::{path::Path, thread, time::Duration};
use tempfile::tempdir;

fn optimum(file: &str) -> Network {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/optimum_sd2");
    let graph = GraphFile::open(&folder, file, None, &HostCache::off()).unwrap();
    engine().open(&graph, &NetworkOptions::default()).unwrap()
}

fn open(model: &ModelProto, options: &NetworkOptions) -> Result<Network> {
    let folder = tempdir().unwrap();
    save(folder.path(), model, None);
    engine().open(&GraphFile::open(folder.path(), "model.onnx", None, &HostCache::off())?, options)
}

/// A graph that gives back its inputs, declared as these types and shapes.
fn echo(inputs: &[(&str, DataType, &[&str])]) -> Network {
    let declared = |prefix: &str| {
        inputs
            .iter()
            .map(|(name, kind, shape)| ValueInfoProto { name: format!("{prefix}{name}"), ..typed(*kind, shape) })
            .collect::<Vec<_>>()
    };
    let node =
        |(name, ..): &(&str, DataType, &[&str])| NodeProto::new("Identity", name, &[name], &[&format!("out_{name}")]);
    let graph = GraphProto {
        node: inputs.iter().map(node).collect(),
        name: "echo".into(),
        input: declared(""),
        output: declared("out_"),
        ..GraphProto::default()
    };
    open(&model(graph), &NetworkOptions::default()).unwrap()
}

fn typed(kind: DataType, shape: &[&str]) -> ValueInfoProto {
    let r#type = value("", shape).r#type.map(|mut declared| {
        if let Some(crate::onnx::TypeValue::TensorType(tensor)) = &mut declared.value {
            tensor.elem_type = kind.into();
        }
        declared
    });
    ValueInfoProto { r#type, ..ValueInfoProto::default() }
}

#[test]
fn declares_what_optimum_exported() {
    let unet = optimum("unet/model.onnx");
    let inputs: Vec<_> = unet.inputs().iter().map(ToString::to_string).collect();
    assert_eq!(
        inputs,
        [
            "sample: f32 [batch_size, 4, height, width]",
            "timestep: f32 []",
            "encoder_hidden_states: f32 [batch_size, sequence_length, 32]"
        ]
    );
    assert_eq!(unet.outputs()[0].to_string(), "out_sample: f32 [batch_size, 4, height, width]");
    let encoder = optimum("text_encoder/model.onnx");
    assert_eq!(encoder.inputs()[0].to_string(), "input_ids: i64 [batch_size, sequence_length]");
}

#[test]
fn bound_runs_equal_free_runs() {
    let mut unet = optimum("unet/model.onnx");
    let sample: Vec<f32> = (0..2 * 4 * 8 * 8).map(|i| (i as f32 * 0.7).sin()).collect();
    let context: Vec<f32> = (0..2 * 77 * 32).map(|i| (i as f32 * 0.3).cos()).collect();
    let (sample_shape, context_shape) = ([2, 4, 8, 8], [2, 77, 32]);
    let sample = TensorRef::new(&sample_shape, &sample).unwrap();
    let context = TensorRef::new(&context_shape, &context).unwrap();
    let mut free = Vec::new();
    for t in [999.0f32, 3.0] {
        let t = [t];
        let t = TensorRef::new(&[1], &t).unwrap();
        let out = unet.run(&[("encoder_hidden_states", context), ("timestep", t), ("sample", sample)]).unwrap();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].shape(), sample_shape);
        free.push(out[0].clone().into_f32());
    }
    assert_ne!(free[0], free[1]);
    let inputs: [(&str, &[usize]); 3] =
        [("sample", &sample_shape), ("timestep", &[1]), ("encoder_hidden_states", &context_shape)];
    let mut bound = unet.bind(&inputs, &[("out_sample", &sample_shape)]).unwrap();
    assert!(bound.output("out_sample").unwrap().to_f32().iter().all(|&x| x == 0.0));
    bound.set("sample", sample).unwrap();
    bound.set("encoder_hidden_states", context).unwrap();
    let place = bound.output("out_sample").unwrap().as_slice::<f32>().unwrap().as_ptr();
    for (t, free) in [999i64, 3].into_iter().zip(free) {
        bound.set("timestep", TensorRef::new(&[], &[t]).unwrap()).unwrap();
        bound.run().unwrap();
        let output = bound.output("out_sample").unwrap();
        assert_eq!(output.as_slice::<f32>().unwrap(), free);
        assert_eq!(output.as_slice::<f32>().unwrap().as_ptr(), place, "the buffer is another one");
    }
}

#[test]
fn tensors_are_made_to_fit() {
    let mut network = echo(&[
        ("x", DataType::Float, &["batch", "2"]),
        ("scalar", DataType::Float, &[]),
        ("one", DataType::Int64, &["1"]),
        ("each", DataType::Float16, &["batch"]),
        ("half", DataType::Bfloat16, &["batch", "n"]),
        ("ids", DataType::Int32, &["m"]),
    ]);
    let x = [1.5f32, 2.5, -3.5, 4.0, 5.0, 6.0];
    let t = [7.75f32];
    let t = TensorRef::new(&[1], &t).unwrap();
    let inputs = [
        ("x", TensorRef::new(&[3, 2], &x).unwrap()),
        ("scalar", t),
        ("one", t),
        ("each", t),
        ("half", TensorRef::new(&[3, 2], &x).unwrap()),
        ("ids", TensorRef::new(&[2], &[5i64, -6]).unwrap()),
    ];
    let outputs = network.run(&inputs).unwrap();
    let shapes: Vec<_> = outputs.iter().map(Tensor::shape).collect();
    assert_eq!(shapes, [&[3, 2][..], &[], &[1], &[3], &[3, 2], &[2]]);
    assert_eq!(outputs[0].as_slice::<f32>().unwrap(), x);
    assert_eq!(outputs[1].as_slice::<f32>().unwrap(), [7.75]);
    assert_eq!(outputs[2].as_slice::<i64>().unwrap(), [7]);
    assert_eq!(outputs[3].as_slice::<f16>().unwrap(), [f16::from_f32(7.75); 3]);
    assert_eq!(outputs[4].clone().into_f32(), x);
    assert_eq!(outputs[5].as_slice::<i32>().unwrap(), [5, -6]);
}

#[test]
fn what_does_not_fit_is_told() {
    let mut network = echo(&[("x", DataType::Float, &["batch", "2"]), ("ids", DataType::Int32, &["n"])]);
    let x = TensorRef::new(&[1, 2], &[0.0f32, 1.0]).unwrap();
    let ids = TensorRef::new(&[2], &[0i64, 1]).unwrap();
    let mut refused = |inputs: &[(&str, TensorRef<'_>)]| network.run(inputs).unwrap_err().to_string();
    assert_eq!(refused(&[("x", x)]), "model.onnx needs the input \"ids\", which was not given");
    assert_eq!(refused(&[("x", x), ("y", x)]), "model.onnx has no input \"y\", or it was given twice; it has: x, ids");
    assert_eq!(refused(&[("x", x), ("x", x)]), "model.onnx has no input \"x\", or it was given twice; it has: x, ids");
    assert_eq!(
        refused(&[("x", ids), ("ids", ids)]),
        "model.onnx declares x: f32 [batch, 2]: a tensor of shape [2] does not fit"
    );
    let wide = TensorRef::new(&[1, 3], &[0.0f32; 3]).unwrap();
    assert_eq!(
        refused(&[("x", wide), ("ids", ids)]),
        "model.onnx declares x: f32 [batch, 2]: a tensor of shape [1, 3] does not fit"
    );
    let large = TensorRef::new(&[2], &[0i64, 1 << 31]).unwrap();
    assert_eq!(refused(&[("x", x), ("ids", large)]), "model.onnx takes \"ids\" as i32, which cannot hold 2147483648");
    let nan = TensorRef::new(&[1], &[f32::NAN]).unwrap();
    assert_eq!(refused(&[("x", x), ("ids", nan)]), "model.onnx takes \"ids\" as i32, which cannot hold NaN");
    assert_eq!(
        TensorRef::new(&[2, 2], &[0.0f32]).unwrap_err().to_string(),
        "1 elements do not fill a tensor of shape [2, 2]"
    );
    let overflow = [usize::MAX, 2];
    assert!(Tensor::new(overflow, vec![0.0f32]).is_err());

    let inputs: [(&str, &[usize]); 2] = [("x", &[1, 2]), ("ids", &[2])];
    assert_eq!(
        network.bind(&inputs, &[]).unwrap_err().to_string(),
        "model.onnx needs the output \"out_x\", which was not given"
    );
    let mut bound = network.bind(&inputs, &[("out_x", &[1, 2]), ("out_ids", &[2])]).unwrap();
    assert_eq!(
        bound.set("x", wide).unwrap_err().to_string(),
        "model.onnx declares x: f32 [1, 2]: a tensor of shape [1, 3] does not fit"
    );
    assert_eq!(
        bound.output("y").unwrap_err().to_string(),
        "model.onnx has no output \"y\", or it was given twice; it has: out_x, out_ids"
    );
}

#[test]
fn elements_are_converted_as_numpy_does() {
    let convert = |from: &[f32]| {
        let mut to = vec![0i64; from.len()];
        i64::convert(Slice::F32(from), &mut to).map(|()| to)
    };
    assert_eq!(convert(&[1.9, -1.9, 0.0, 981.0]).unwrap(), [1, -1, 0, 981]);
    assert_eq!(convert(&[9.3e18]).unwrap_err(), "9300000000000000000");
    assert_eq!(convert(&[f32::INFINITY]).unwrap_err(), "inf");
    let mut half = [f16::ZERO; 2];
    f16::convert(Slice::F32(&[0.1, 65504.0]), &mut half).unwrap();
    assert_eq!(half, [f16::from_f32(0.1), f16::MAX]);
}

#[test]
fn refusals_name_the_graph() {
    let graph = GraphProto {
        node: vec![NodeProto::new("NoSuchOperator", "n", &["x"], &["y"])],
        name: "wrong".into(),
        input: vec![value("x", &["1"])],
        output: vec![value("y", &["1"])],
        ..GraphProto::default()
    };
    let message = open(&model(graph), &NetworkOptions::default()).unwrap_err().to_string();
    assert!(message.starts_with("model.onnx: ONNX Runtime cannot open it: "), "{message}");
    assert!(message.contains("NoSuchOperator"), "{message}");
}

/// Counts to `i64::MAX`.
fn endless() -> ModelProto {
    let scalar = |name: &str, kind, bytes: &[u8]| TensorProto::inline(name, kind, [], bytes.to_vec());
    let one = |name: &str, kind: DataType| ValueInfoProto { name: name.into(), ..typed(kind, &[]) };
    let body = GraphProto {
        node: vec![
            NodeProto::new("Identity", "go on", &["condition"], &["going"]),
            NodeProto::new("Add", "count", &["before", "step"], &["after"]),
        ],
        name: "body".into(),
        initializer: vec![scalar("step", FLOAT, &1.0f32.to_le_bytes())],
        input: vec![one("i", DataType::Int64), one("condition", DataType::Bool), one("before", FLOAT)],
        output: vec![one("going", DataType::Bool), one("after", FLOAT)],
        ..GraphProto::default()
    };
    model(GraphProto {
        node: vec![
            NodeProto::new("Loop", "loop", &["times", "", "x"], &["y"]).with(AttributeProto::graph("body", body)),
        ],
        name: "endless".into(),
        initializer: vec![scalar("times", DataType::Int64, &i64::MAX.to_le_bytes())],
        input: vec![one("x", FLOAT)],
        output: vec![one("y", FLOAT)],
        ..GraphProto::default()
    })
}

#[test]
fn runs_are_cancelled_from_another_thread() {
    let cancellation = engine().cancellation().unwrap();
    let options = NetworkOptions { cancellation: Some(cancellation.clone()), ..NetworkOptions::default() };
    let mut network = open(&endless(), &options).unwrap();
    let x = TensorRef::new(&[], &[0.0f32]).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            cancellation.cancel();
        });
        assert_eq!(network.run(&[("x", x)]).unwrap_err().to_string(), "model.onnx was cancelled");
    });
    // The switch stays thrown ...
    assert!(matches!(network.run(&[("x", x)]), Err(Error::Cancelled { .. })));
    let mut bound = network.bind(&[("x", &[])], &[("y", &[])]).unwrap();
    assert!(matches!(bound.run(), Err(Error::Cancelled { .. })));
    assert!(matches!(open(&endless(), &options), Err(Error::Cancelled { .. })));
    // ... until it is reset.
    cancellation.reset();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            cancellation.cancel();
        });
        assert!(matches!(bound.run(), Err(Error::Cancelled { .. })));
    });
    cancellation.reset();
    open(&endless(), &options).unwrap();
}

#[test]
fn threads_of_its_own_change_nothing() {
    let (model, weights) = mixed(16);
    let folder = tempdir().unwrap();
    save(folder.path(), &model, Some(&weights));
    let graph = GraphFile::open(folder.path(), "model.onnx", None, &HostCache::off()).unwrap();
    let x = [0.25f32; 4 * 3 * 8];
    let x = TensorRef::new(&[1, 4, 3, 8], &x).unwrap();
    let run = |threads| {
        let options = NetworkOptions { threads, ..NetworkOptions::default() };
        engine().open(&graph, &options).unwrap().run(&[("x", x)]).unwrap()
    };
    assert_eq!(run(NonZeroUsize::new(1)), run(None));
}

#[test]
fn one_engine_in_a_process() {
    let running = engine();
    assert!(running.dylib().version.starts_with("1."));
    let other = EngineOptions { threads: NonZeroUsize::new(3), ..EngineOptions::default() };
    assert_eq!(
        Engine::start(&other).unwrap_err().to_string(),
        "ONNX Runtime runs already with other options: a thread per core, any library; asked for: 3 threads, any library"
    );
}

#[test]
fn a_library_that_is_named_is_not_passed_over() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("libonnxruntime.so");
    let error = find(Some(&missing)).err().unwrap();
    let places: Vec<_> = error.attempts.iter().map(|attempt| attempt.place).collect();
    assert!(
        [Place::Option, Place::Variable, Place::BesideProgram, Place::System]
            .iter()
            .all(|place| places.contains(place))
    );
    assert_eq!(error.attempts[0].problem, "no such file");
    assert_eq!(error.attempts[0].path.as_deref(), Some(missing.as_path()));
    let message = error.to_string();
    let begin = format!("ONNX Runtime 1.24 or newer was not found\n  --ort-lib: {}: no such file\n", missing.display());
    assert!(message.starts_with(&begin), "{message}");
    assert!(message.contains("\n  beside the program: not tried, because a library is named\n"), "{message}");
    assert!(message.contains("\n  the system's libraries: not tried, because a library is named\n"), "{message}");
    assert!(
        message.ends_with("\nname the library with --ort-lib or ORT_DYLIB_PATH; the PyPI wheel onnxruntime holds one"),
        "{message}"
    );

    std::fs::write(&missing, "no library").unwrap();
    let problem = find(Some(&missing)).err().unwrap().attempts[0].problem.clone();
    assert!(problem.contains("libonnxruntime.so"), "{problem}");
}

#[cfg(target_os = "linux")]
#[test]
fn another_library_is_not_used() {
    use super::library::open;
    let problem = open(Path::new("libc.so.6"), Place::System).err().unwrap();
    assert_eq!(problem, "not ONNX Runtime: it has no OrtGetApiBase");
}
