use super::*;
use crate::engine::{
    GraphFile, HostCache, Network, NetworkOptions,
    testing::{engine, mixed, save},
};
use tempfile::tempdir;

fn written(text: &str) -> Vec<String> {
    Provider::list(text).unwrap().iter().map(ToString::to_string).collect()
}

fn refused(text: &str) -> String {
    Provider::list(text).and_then(Providers::new).unwrap_err().to_string()
}

#[test]
fn lists_are_read_as_they_are_written() {
    assert_eq!(written("cuda,cpu"), ["cuda", "cpu"]);
    assert_eq!(written("qnn:soc_model=57,htp_arch=75,cpu"), ["qnn:htp_arch=75,soc_model=57", "cpu"]);
    assert_eq!(written("cuda:device_id=1,tensorrt:device_id=0"), ["cuda:device_id=1", "tensorrt:device_id=0"]);
    let shapes = "tensorrt:trt_profile_min_shapes=sample:1x4x8x8,,timestep:1,trt_fp16_enable=1,cpu";
    let list = Provider::list(shapes).unwrap();
    assert_eq!(list[0].options()["trt_profile_min_shapes"], "sample:1x4x8x8,timestep:1");
    assert_eq!(list[0].options()["trt_fp16_enable"], "1");
    let path = Provider::list("qnn:library=C:\\a,,b\\q=1.dll,soc_model=57").unwrap();
    assert_eq!(path[0].dylib(), Some(Path::new("C:\\a,b\\q=1.dll")));
    for text in [shapes, "qnn:library=C:\\a,,b\\q=1.dll,soc_model=57", "coreml:ModelFormat=MLProgram"] {
        let again: Vec<_> = written(text).iter().flat_map(|text| Provider::list(text).unwrap()).collect();
        assert_eq!(again, Provider::list(text).unwrap(), "{text}");
    }
}

#[test]
fn lists_that_say_nothing_sensible_are_refused() {
    let names = "cpu, cuda, tensorrt, openvino, qnn, xnnpack, coreml, nnapi, directml, webgpu";
    assert_eq!(refused("rocm"), format!("there is no provider \"rocm\"; there are: {names}"));
    assert_eq!(refused(""), format!("there is no provider \"\"; there are: {names}"));
    assert_eq!(refused("cuda,,cpu"), format!("there is no provider \"cuda,cpu\"; there are: {names}"));
    let syntax =
        |text: &str| format!("{text:?} is no option: write NAME:KEY=VALUE,KEY=VALUE, and a comma within a value twice");
    assert_eq!(refused("device_id=0"), syntax("device_id=0"));
    assert_eq!(refused("cuda,device_id=0"), syntax("device_id=0"));
    assert_eq!(refused("cuda:"), syntax("cuda:"));
    assert_eq!(refused("cuda:device_id"), syntax("cuda:device_id"));
    assert_eq!(
        refused("nnapi:fast=1"),
        "nnapi has no option \"fast\"; it has: cpu_only, disable_cpu, use_fp16, use_nchw, library"
    );
    assert_eq!(refused("cpu:library=x"), "cpu has no option \"library\"; it has: none");
    assert_eq!(refused("cuda:device_id="), "\"\" is no value for the option device_id of cuda");
    assert_eq!(refused("cuda:device_id=0,device_id=1"), "the option device_id of cuda is given twice");
    assert_eq!(refused("cuda,openvino,cuda"), "the provider cuda is named twice");
    assert_eq!(refused("cpu,cuda"), "cuda is named after cpu, which takes all that is left: name cpu last");
    let refusing = Providers::default().refusing_cpu(true).unwrap_err();
    assert_eq!(
        refusing.to_string(),
        "the CPU is refused, so a provider other than cpu must be named, and cpu must not"
    );
}

#[test]
fn names_and_options_are_unambiguous() {
    for kind in ProviderKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(ProviderKind::of_onnx_name(kind.onnx_name()), Some(kind));
        assert!(kind.options().is_sorted() && !kind.options().contains(&LIBRARY_OPTION), "{kind}");
    }
}

#[test]
fn the_flavour_and_the_sizes_follow_the_providers() {
    let providers = |text: &str| Providers::new(Provider::list(text).unwrap()).unwrap();
    let first = |text: &str| providers(text).flavours()[0];
    assert_eq!(Providers::default().flavours()[0], Flavour::Cpu);
    assert_eq!(first("cpu"), Flavour::Cpu);
    assert_eq!(first("cuda,cpu"), Flavour::Cuda);
    assert_eq!(providers("cuda").allowing_fallback(true).flavours()[0], Flavour::Portable);
    for text in ["qnn", "openvino,cpu", "tensorrt,cuda", "webgpu"] {
        assert_eq!(first(text), Flavour::Portable, "{text}");
    }
    let fixed = |text: &str| providers(text).want_fixed_sizes();
    assert!(["qnn", "coreml,cpu", "nnapi", "openvino", "tensorrt,cuda"].into_iter().all(fixed));
    assert!(!["cpu", "cuda", "webgpu,cpu", "tensorrt:trt_profile_min_shapes=x:1"].into_iter().any(fixed));
}

fn open(providers: Providers) -> Result<Network> {
    let (model, weights) = mixed(8);
    let folder = tempdir().unwrap();
    save(folder.path(), &model, Some(&weights));
    let cache = HostCache::at(folder.path().join("cache"), 1 << 30).taking_from(0);
    let graph = GraphFile::open(folder.path(), "model.onnx", None, &cache)?;
    engine().open(&graph, &NetworkOptions { providers, cache, ..NetworkOptions::default() })
}

fn wanted(text: &str) -> Providers {
    Providers::new(Provider::list(text).unwrap()).unwrap()
}

/// A provider that no library of this platform has.
const ABSENT: &str = if cfg!(windows) { "coreml" } else { "directml" };

#[test]
fn a_provider_that_is_missing_names_those_that_exist() {
    let message = open(wanted(ABSENT)).unwrap_err().to_string();
    let library = engine().dylib().clone();
    let begin =
        format!("ONNX Runtime {} ({}) has no provider {ABSENT}; it has: cpu", library.version, library.path.display());
    assert!(message.starts_with(&begin), "{message}");
    let end = format!(
        "\nname one of these, a library that has it with --ort-lib or {ABSENT}:library=FILE, or do without it with --allow-fallback"
    );
    assert!(message.ends_with(&end), "{message}");
    assert!(open(wanted(&format!("{ABSENT},cpu"))).is_err(), "the CPU is no excuse");
}

#[test]
fn where_fallback_is_allowed_the_next_one_computes() {
    let network = open(wanted(&format!("{ABSENT},cpu")).allowing_fallback(true)).unwrap();
    assert_eq!(network.placement().nodes(ProviderKind::Cpu), network.placement().total());
    assert!(network.placement().total() > 0);
    let alone = open(wanted(ABSENT).allowing_fallback(true).refusing_cpu(true).unwrap());
    assert!(matches!(alone, Err(Error::NoProvider { .. })), "nothing is left");
}

#[test]
fn a_plug_in_that_cannot_be_loaded_is_told() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("plug-in.so");
    let list = format!("webgpu:library={}", file.display().to_string().replace(',', ",,"));
    let message = || open(wanted(&list)).unwrap_err().to_string();
    let begin = format!("{} cannot be loaded as the plug-in for webgpu: ", file.display());
    assert_eq!(message(), format!("{begin}no such file"));
    std::fs::write(&file, "no library").unwrap();
    let message = message();
    assert!(message.starts_with(&begin) && message.len() > begin.len(), "{message}");
}

#[test]
fn nodes_are_counted_in_a_cached_graph_too() {
    let first = open(Providers::default()).unwrap();
    assert_eq!(first.placement().shares().len(), 1);
    assert_eq!(first.placement().to_string(), format!("{} nodes on cpu", first.placement().total()));
    let offered = engine().offered().unwrap();
    assert_eq!(offered[0], Offered { provider: ProviderKind::Cpu, source: Source::BuiltIn });
}
