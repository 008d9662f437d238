use super::*;
use std::path::Path;

pub(super) fn optimum() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/optimum_sd2")
}

pub(super) fn engine() -> Engine {
    Engine::start(&EngineOptions::default()).unwrap()
}

fn open(file: &str) -> Network {
    let graph = GraphFile::open(&optimum(), file, None, &HostCache::off()).unwrap();
    engine().open(&graph, &NetworkOptions::default()).unwrap()
}

#[test]
fn declares_what_optimum_exported() {
    let unet = open("unet/model.onnx");
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
}

#[test]
fn bound_runs_equal_free_runs() {
    let mut unet = open("unet/model.onnx");
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
    let inputs: [(&str, &[usize]); 3] =
        [("sample", &sample_shape), ("timestep", &[1]), ("encoder_hidden_states", &context_shape)];
    let mut bound = unet.bind(&inputs, &[("out_sample", &sample_shape)]).unwrap();
    bound.set("sample", sample).unwrap();
    bound.set("encoder_hidden_states", context).unwrap();
    for (t, free) in [999i64, 3].into_iter().zip(free) {
        bound.set("timestep", TensorRef::new(&[], &[t]).unwrap()).unwrap();
        bound.run().unwrap();
        assert_eq!(bound.output("out_sample").unwrap().to_f32().as_ref(), free);
    }
}
