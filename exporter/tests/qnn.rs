//! Qualcomm's HTP, emulated: the small world's networks run on it from end to end, in 16 bits, and agree with the CPU.

#![allow(clippy::print_stderr, reason = "says what was measured")]

mod support;

use pleach_runtime::engine::{Engine, EngineOptions, ProviderKind, Providers};
use support::{draw, installed, only, open_unet, pipeline, predict, relative_rms, unet, world};

/// The emulator of a Snapdragon 8 Gen 3.
fn providers() -> Option<Providers> {
    let library = installed("qnn", "lib/libonnxruntime_providers_qnn.so")?;
    let library = library.display().to_string().replace(',', ",,");
    Some(only(&format!("qnn:library={library},soc_model=57,htp_arch=75,enable_htp_fp16_precision=1")))
}

#[test]
fn the_unet_runs_whole_on_the_emulator() {
    let Some(providers) = providers() else { return };
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let (_folder, bundle) = world();
    let mut on_qnn = unet(&bundle, &engine, &providers);
    let placement = on_qnn.placement().clone();
    assert_eq!(placement.nodes(ProviderKind::Qnn), placement.total(), "{placement}");
    assert_eq!(placement.shares()[0].pieces, 1, "{placement}");
    let mut on_cpu = unet(&bundle, &engine, &Providers::default());
    for timestep in [981.0, 21.0] {
        let error = relative_rms(&predict(&mut on_qnn, &bundle, timestep), &predict(&mut on_cpu, &bundle, timestep));
        eprintln!("timestep {timestep}: {placement}, {:.2} % from the CPU", 100.0 * error);
        assert!(error > 0.0 && error < 0.003, "timestep {timestep}: {error}");
    }
}

#[test]
fn a_picture_is_drawn_on_the_emulator() {
    let Some(providers) = providers() else { return };
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let (_folder, bundle) = world();
    let draw = |providers: &Providers| draw(&mut pipeline(&bundle, &engine, providers), "64x64", 3, 1.0);
    let error = relative_rms(&draw(&providers), &draw(&Providers::default()));
    eprintln!("a picture: {:.2} % from the CPU", 100.0 * error);
    assert!(error > 0.0 && error < 0.02, "{error}");
}

/// A graph whose sizes are open is one that QNN takes parts of.
#[test]
fn what_would_be_left_to_the_cpu_is_refused() {
    let Some(providers) = providers() else { return };
    let engine = Engine::start(&EngineOptions::default()).unwrap();
    let (_folder, bundle) = world();
    let error = open_unet(&bundle, &engine, &providers, &[]).unwrap_err().to_string();
    assert!(error.contains("fallback to CPU EP has been explicitly disabled"), "{error}");
    let in_parts = open_unet(&bundle, &engine, &providers.refusing_cpu(false).unwrap(), &[]).unwrap();
    let [on_qnn, on_cpu] = [ProviderKind::Qnn, ProviderKind::Cpu].map(|kind| in_parts.placement().nodes(kind));
    eprintln!("sizes open: {}", in_parts.placement());
    assert!(on_qnn > 0 && on_cpu > 0, "{}", in_parts.placement());
}
