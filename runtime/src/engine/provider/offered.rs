//! Which providers there are: those that the loaded ONNX Runtime was built with, and plug-ins, which it loads when they are asked for.

use super::{Provider, ProviderKind, Providers};
use crate::engine::{Engine, Error, Result, network::failure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    env::{
        self,
        consts::{DLL_PREFIX, DLL_SUFFIX},
    },
    ffi::{CStr, c_char},
    path::{Path, PathBuf},
    ptr,
    sync::{Mutex, PoisonError},
};

/// A provider that can be asked for here. It may still lack its own libraries or its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// Which one.
    pub provider: ProviderKind,
    /// Where it is.
    pub source: Source,
}

/// Where a provider is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the ONNX Runtime that is loaded.
    BuiltIn,
    /// In this shared library.
    Plugin(PathBuf),
}

/// The plug-ins that are loaded, which they stay: ONNX Runtime may not unload one whose sessions live.
#[derive(Debug, Default)]
pub(in crate::engine) struct Plugins(Mutex<BTreeMap<ProviderKind, PathBuf>>);

impl Plugins {
    /// Loads the plug-in at `path`, if it is not loaded already.
    fn load(&self, engine: &Engine, provider: ProviderKind, path: &Path) -> Result<()> {
        let failed = |message: String| Error::Plugin { provider, path: path.to_owned(), message };
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = loaded.get(&provider) {
            let already = || failed(format!("{} is loaded already, and stays for this process", other.display()));
            return if other == path { Ok(()) } else { Err(already()) };
        }
        if !path.is_file() {
            return Err(failed("no such file".to_owned()));
        }
        let environment = engine.environment();
        let registered = environment.register_ep_library(provider.onnx_name(), path);
        registered.map_err(|error| failed(error.message().to_owned()))?;
        if !environment.devices().any(|device| device.ep().is_ok_and(|name| name == provider.onnx_name())) {
            return Err(failed(format!("it brings no device of {}", provider.onnx_name())));
        }
        tracing::debug!("loaded {provider} from {}", path.display());
        loaded.insert(provider, path.to_owned());
        Ok(())
    }
}

/// All providers that can be asked for, in the order of [`ProviderKind::ALL`].
pub(in crate::engine) fn offered(engine: &Engine) -> Result<Vec<Offered>> {
    let built_in = built_in().map_err(failure("the library", "list its providers", None))?;
    let offer = |provider: ProviderKind| {
        let source = if built_in.iter().any(|name| name == provider.onnx_name()) {
            Source::BuiltIn
        } else {
            Source::Plugin(plugin(engine, provider)?)
        };
        Some(Offered { provider, source })
    };
    Ok(ProviderKind::ALL.into_iter().filter_map(offer).collect())
}

/// Where each provider of a list is, without the CPU; plug-ins are loaded.
pub(in crate::engine) fn choose<'p>(engine: &Engine, providers: &'p Providers) -> Result<Vec<(&'p Provider, Source)>> {
    let mut chosen = Vec::new();
    let mut offered: Option<Vec<Offered>> = None;
    for provider in providers.list().iter().filter(|provider| provider.kind() != ProviderKind::Cpu) {
        let source = match provider.dylib() {
            Some(path) => Source::Plugin(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())),
            None => {
                let all = match offered.take() {
                    Some(all) => all,
                    None => self::offered(engine)?,
                };
                let found = all.iter().find(|offer| offer.provider == provider.kind());
                let source = found.map(|offer| offer.source.clone()).ok_or_else(|| missing(engine, provider, &all))?;
                offered = Some(all);
                source
            }
        };
        if let Source::Plugin(path) = &source {
            engine.plugins().load(engine, provider.kind(), path)?;
        }
        chosen.push((provider, source));
    }
    Ok(chosen)
}

fn missing(engine: &Engine, provider: &Provider, offered: &[Offered]) -> Error {
    let runtime = engine.dylib();
    Error::NoProvider {
        provider: provider.kind(),
        version: runtime.version.clone(),
        library: runtime.path.clone(),
        offered: offered.iter().map(|offer| offer.provider).collect(),
    }
}

/// The file of a plug-in that nobody named: beside ONNX Runtime, where set-up puts it next to that, or beside the program.
fn plugin(engine: &Engine, provider: ProviderKind) -> Option<PathBuf> {
    let file = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", provider.plugin()?);
    let beside_runtime = engine.dylib().path.parent().filter(|folder| folder.is_absolute());
    let set_up = beside_runtime.and_then(Path::parent).map(|native| native.join(provider.name()).join("lib"));
    let program = env::current_exe().ok();
    let folders = [beside_runtime, set_up.as_deref(), program.as_deref().and_then(Path::parent)];
    folders.into_iter().flatten().map(|folder| folder.join(&file)).find(|path| path.is_file())
}

/// ONNX Runtime's names of the providers that it was built with.
fn built_in() -> ort::Result<Vec<String>> {
    let mut names: *mut *mut c_char = ptr::null_mut();
    let mut count = 0;
    // SAFETY: both pointers are valid for writing.
    unsafe { ort::Error::result_from_status((ort::api().GetAvailableProviders)(&mut names, &mut count)) }?;
    let name = |i| {
        // SAFETY: the call gave `count` texts, which live until they are released below.
        unsafe { CStr::from_ptr(*names.add(i)) }.to_string_lossy().into_owned()
    };
    let listed = (0..usize::try_from(count).unwrap_or_default()).map(name).collect();
    // SAFETY: this is what the call above gave, and it is not used afterwards.
    unsafe { ort::Error::result_from_status((ort::api().ReleaseAvailableProviders)(names, count)) }?;
    Ok(listed)
}
