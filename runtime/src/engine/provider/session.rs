//! Giving a session its providers.

use super::{Provider, ProviderError, ProviderKind, Source};
use crate::engine::{Engine, Error, Result};
use ort::{
    device::Device,
    ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProviderDispatch},
    memory::DeviceType,
    session::builder::SessionBuilder,
};

/// Adds providers in their order. ONNX Runtime adds the CPU itself; but where nothing is added it chooses among all devices that it
/// knows, and a plug-in that another network needed brings some, so the CPU by itself is added too.
pub(in crate::engine) fn add(
    engine: &Engine,
    mut builder: SessionBuilder,
    providers: &[(&Provider, Source)],
) -> Result<SessionBuilder> {
    let failed =
        |provider| move |error: ort::Error| Error::ProviderFailed { provider, message: error.message().to_owned() };
    if providers.is_empty() {
        let device = devices(engine, ProviderKind::Cpu).next();
        return builder.with_devices(device, None).map_err(|error| failed(ProviderKind::Cpu)(error.into()));
    }
    for (provider, source) in providers {
        let added = match source {
            Source::BuiltIn => built_in(provider)?.register(&mut builder).map(|()| builder),
            Source::Plugin(_) => plugin(engine, builder, provider),
        };
        builder = added.map_err(failed(provider.kind))?;
    }
    Ok(builder)
}

/// The devices that a provider computes on.
fn devices(engine: &Engine, provider: ProviderKind) -> impl Iterator<Item = Device<'_>> {
    engine.environment().devices().filter(move |device| device.ep().is_ok_and(|name| name == provider.onnx_name()))
}

/// Of the devices that a plug-in brings, the accelerator where there is one: the CPU is what ONNX Runtime has itself.
fn plugin(engine: &Engine, builder: SessionBuilder, provider: &Provider) -> ort::Result<SessionBuilder> {
    let rank = |kind: DeviceType| match kind {
        DeviceType::NPU => 0,
        DeviceType::GPU => 1,
        _ => 2,
    };
    let device = devices(engine, provider.kind).min_by_key(|device| rank(device.hardware_device().ty()));
    let defaults = defaults(provider).into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let given = provider.options.iter().map(|(key, value)| (key.clone(), value.clone()));
    let name = provider.kind.onnx_name();
    let options: Vec<_> = defaults.chain(given).map(|(key, value)| (format!("{name}.{key}"), value)).collect();
    Ok(builder.with_devices(device, Some(&options))?)
}

/// What is set where nothing else is asked for. QNN's plug-in knows no back end for a machine without its accelerator, though for x86-64 it
/// brings the emulator, and that fails as if memory were short where it is not told which chip to be: a Snapdragon 8 Gen 3.
fn defaults(provider: &Provider) -> Vec<(&'static str, &'static str)> {
    let is_given = |keys: &[&str]| keys.iter().any(|key| provider.options.contains_key(*key));
    let mut defaults = Vec::new();
    if provider.kind == ProviderKind::Qnn && !is_given(&["backend_type", "backend_path"]) {
        defaults.push(("backend_type", "htp"));
        if cfg!(target_arch = "x86_64") && !is_given(&["soc_model", "htp_arch"]) {
            defaults.extend([("soc_model", "57"), ("htp_arch", "75")]);
        }
    }
    defaults
}

fn built_in(provider: &Provider) -> Result<ExecutionProviderDispatch> {
    Ok(match provider.kind {
        ProviderKind::Cpu => ep::CPU::default().build(),
        ProviderKind::Cuda => configured(ep::CUDA::default(), provider).build(),
        ProviderKind::TensorRt => configured(ep::TensorRT::default(), provider).build(),
        ProviderKind::OpenVino => configured(ep::OpenVINO::default(), provider).build(),
        ProviderKind::Qnn => configured(ep::QNN::default(), provider).build(),
        ProviderKind::Xnnpack => configured(ep::XNNPACK::default(), provider).build(),
        ProviderKind::CoreMl => configured(ep::CoreML::default(), provider).build(),
        ProviderKind::WebGpu => configured(ep::WebGPU::default(), provider).build(),
        ProviderKind::Nnapi => {
            let flag = |key| chosen(provider, key, &[("0", false), ("1", true)]).map(Option::unwrap_or_default);
            ep::NNAPI::default()
                .with_fp16(flag("use_fp16")?)
                .with_nchw(flag("use_nchw")?)
                .with_disable_cpu(flag("disable_cpu")?)
                .with_cpu_only(flag("cpu_only")?)
                .build()
        }
        ProviderKind::DirectMl => directml(provider)?.build(),
    })
}

/// The provider with its options, as they are written.
fn configured<E: ArbitrarilyConfigurableExecutionProvider>(ep: E, provider: &Provider) -> E {
    provider.options.iter().fold(ep, |ep, (key, value)| ep.with_arbitrary_config(key, value))
}

fn directml(provider: &Provider) -> Result<ep::DirectML> {
    use ep::directml::{DeviceFilter, PerformancePreference};
    let mut ep = ep::DirectML::default();
    if let Some(id) = provider.options.get("device_id") {
        ep = ep.with_device_id(id.parse().map_err(|_| wrong(provider, "device_id", id))?);
    }
    let preferences = [
        ("default", PerformancePreference::Default),
        ("high_performance", PerformancePreference::HighPerformance),
        ("minimum_power", PerformancePreference::MinimumPower),
    ];
    if let Some(preference) = chosen(provider, "performance_preference", &preferences)? {
        ep = ep.with_performance_preference(preference);
    }
    let filters = [("gpu", DeviceFilter::Gpu), ("npu", DeviceFilter::Npu), ("any", DeviceFilter::Any)];
    if let Some(filter) = chosen(provider, "device_filter", &filters)? {
        ep = ep.with_device_filter(filter);
    }
    Ok(ep)
}

/// What an option with few values says, if it is given.
fn chosen<T: Copy>(provider: &Provider, key: &str, values: &[(&str, T)]) -> Result<Option<T>> {
    let Some(value) = provider.options.get(key) else { return Ok(None) };
    let found = values.iter().find(|(name, _)| name == value).map(|(_, meaning)| *meaning);
    found.map(Some).ok_or_else(|| wrong(provider, key, value).into())
}

fn wrong(provider: &Provider, key: &str, value: &str) -> ProviderError {
    ProviderError::Value { provider: provider.kind, key: key.to_owned(), value: value.to_owned() }
}
