//! OpenVINO on the CPU, which brings an ONNX Runtime of its own: the small world's networks run on it from end to end.

#![allow(clippy::print_stderr, reason = "says what was measured")]

mod support;

use pleach_runtime::engine::{Engine, EngineOptions, ProviderKind, Providers};
use support::{draw, installed, only, pipeline, predict, relative_rms, unet, world};

fn engine() -> Option<Engine> {
    let library = installed("openvino", "libonnxruntime.so")?;
    Some(Engine::start(&EngineOptions { dylib: Some(library), threads: None }).unwrap())
}

fn providers() -> Providers {
    only("openvino:device_type=CPU,precision=FP32")
}

#[test]
fn the_unet_runs_whole() {
    let Some(engine) = engine() else { return };
    let (_folder, bundle) = world();
    let mut on_openvino = unet(&bundle, &engine, &providers());
    let placement = on_openvino.placement().clone();
    assert_eq!(placement.nodes(ProviderKind::OpenVino), placement.total(), "{placement}");
    assert_eq!(placement.shares()[0].pieces, 1, "{placement}");
    let mut on_cpu = unet(&bundle, &engine, &Providers::default());
    for timestep in [981.0, 21.0] {
        let expected = predict(&mut on_cpu, &bundle, timestep);
        let error = relative_rms(&predict(&mut on_openvino, &bundle, timestep), &expected);
        eprintln!("timestep {timestep}: {placement}, {error:.1e} from the CPU");
        assert!(error > 0.0 && error < 1e-5, "timestep {timestep}: {error}");
    }
}

/// The second size makes it compile the networks again.
#[test]
fn pictures_of_two_sizes_are_drawn() {
    let Some(engine) = engine() else { return };
    let (_folder, bundle) = world();
    let mut on_openvino = pipeline(&bundle, &engine, &providers());
    let mut on_cpu = pipeline(&bundle, &engine, &Providers::default());
    for size in ["64x64", "96x64", "64x64"] {
        let [found, expected] = [&mut on_openvino, &mut on_cpu].map(|pipeline| draw(pipeline, size, 8, 5.0));
        let error = relative_rms(&found, &expected);
        eprintln!("a picture of {size}: {:.3} % from the CPU", 100.0 * error);
        assert!(error < 0.005, "{size}: {error}");
    }
}
