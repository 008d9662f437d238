//! Execution providers: what computes a network.
//!
//! A [`Providers`] says what is wanted: an ordered list, each with its options. What the loaded ONNX Runtime has is asked of it
//! ([`offered`]), and after a network is opened it says what went where ([`Placement`](super::Placement)).

mod error;
mod kind;
mod offered;
mod session;
mod syntax;
#[cfg(test)]
mod tests;

pub use error::ProviderError;
pub use kind::ProviderKind;
pub use offered::{Offered, Source};
pub(super) use offered::{Plugins, choose, offered};
pub(super) use session::add;

use super::{Error, Result};
use pleach_model::manifest::Flavour;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The option with which a person names the library of a plug-in. It is ours; every other one goes to the provider.
const LIBRARY_OPTION: &str = "library";

/// A provider and its options, as a person writes it: `qnn:soc_model=57,htp_arch=75`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Provider {
    kind: ProviderKind,
    options: BTreeMap<String, String>,
    dylib: Option<PathBuf>,
}

impl Provider {
    /// The provider with its own defaults.
    pub fn new(kind: ProviderKind) -> Self {
        Self { kind, options: BTreeMap::new(), dylib: None }
    }

    /// The same with one option more; `library` names the shared library of a plug-in.
    ///
    /// # Errors
    /// [`ProviderError::Option`], [`ProviderError::OptionTwice`], [`ProviderError::Value`].
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, ProviderError> {
        let provider = self.kind;
        if value.is_empty() || value.contains('\0') {
            return Err(ProviderError::Value { provider, key: key.to_owned(), value: value.to_owned() });
        }
        let twice = if key == LIBRARY_OPTION && provider != ProviderKind::Cpu {
            self.dylib.replace(value.into()).is_some()
        } else if provider.options().contains(&key) {
            self.options.insert(key.to_owned(), value.to_owned()).is_some()
        } else {
            return Err(ProviderError::Option { provider, key: key.to_owned() });
        };
        if twice { Err(ProviderError::OptionTwice { provider, key: key.to_owned() }) } else { Ok(self) }
    }

    /// Which one it is.
    pub fn kind(&self) -> ProviderKind {
        self.kind
    }

    /// Its options, without the library.
    pub fn options(&self) -> &BTreeMap<String, String> {
        &self.options
    }

    /// The shared library of the plug-in, where it is named.
    pub fn dylib(&self) -> Option<&Path> {
        self.dylib.as_deref()
    }

    /// Whether it compiles a graph for the sizes of its tensors, so that dimensions had better be fixed.
    pub fn wants_fixed_sizes(&self) -> bool {
        match self.kind {
            ProviderKind::Qnn | ProviderKind::CoreMl | ProviderKind::Nnapi | ProviderKind::OpenVino => true,
            // A profile says between which sizes the engine is to work.
            ProviderKind::TensorRt => !self.options.contains_key("trt_profile_min_shapes"),
            _ => false,
        }
    }
}

/// What is to compute a network: providers in the order in which each takes the nodes that it can compute. ONNX Runtime's own
/// CPU kernels come last, whether they are named or not, unless they are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Providers {
    list: Vec<Provider>,
    allow_fallback: bool,
    refuse_cpu: bool,
}

impl Default for Providers {
    /// The CPU.
    fn default() -> Self {
        Self { list: vec![Provider::new(ProviderKind::Cpu)], allow_fallback: false, refuse_cpu: false }
    }
}

impl Providers {
    /// These providers, or the CPU where there is none.
    ///
    /// # Errors
    /// [`ProviderError::Twice`], [`ProviderError::AfterCpu`].
    pub fn new(list: Vec<Provider>) -> Result<Self, ProviderError> {
        if list.is_empty() {
            return Ok(Self::default());
        }
        for (i, provider) in list.iter().enumerate() {
            let before = list.get(..i).unwrap_or_default();
            if before.iter().any(|other| other.kind == provider.kind) {
                return Err(ProviderError::Twice { provider: provider.kind });
            }
            if before.iter().any(|other| other.kind == ProviderKind::Cpu) {
                return Err(ProviderError::AfterCpu { provider: provider.kind });
            }
        }
        Ok(Self { list, ..Self::default() })
    }

    /// Where a provider is missing or does not work, goes on with the next one, and at last with the CPU, and says so in the log.
    #[must_use]
    pub fn allowing_fallback(self, allow: bool) -> Self {
        Self { allow_fallback: allow, ..self }
    }

    /// A graph of which the CPU would have to compute a part is not opened.
    ///
    /// # Errors
    /// [`ProviderError::CpuRefused`] where the CPU is asked for.
    pub fn refusing_cpu(self, refuse: bool) -> Result<Self, ProviderError> {
        if refuse && self.list.iter().any(|provider| provider.kind == ProviderKind::Cpu) {
            return Err(ProviderError::CpuRefused);
        }
        Ok(Self { refuse_cpu: refuse, ..self })
    }

    /// The providers, in order.
    pub fn list(&self) -> &[Provider] {
        &self.list
    }

    /// Whether nothing but the CPU is wanted.
    pub fn is_cpu(&self) -> bool {
        self.list.iter().all(|provider| provider.kind == ProviderKind::Cpu)
    }

    /// The flavours of a graph that they take, the best first. One that is written for a single provider needs that provider.
    pub fn flavours(&self) -> &'static [Flavour] {
        match self.list.first().map(Provider::kind) {
            Some(ProviderKind::Cpu) => &[Flavour::Cpu, Flavour::Portable],
            Some(ProviderKind::Cuda) if !self.allow_fallback => &[Flavour::Cuda, Flavour::Portable],
            _ => &[Flavour::Portable],
        }
    }

    /// Whether one of them compiles graphs for fixed sizes.
    pub fn want_fixed_sizes(&self) -> bool {
        self.list.iter().any(Provider::wants_fixed_sizes)
    }

    /// Whether the CPU may not compute what is left.
    pub(super) fn refuse_cpu(&self) -> bool {
        self.refuse_cpu
    }

    /// Without the provider that `error` names, or the first where it names none, if something else may take its place; the log
    /// says so. The error otherwise.
    pub(super) fn without_blamed(&self, error: Error) -> Result<Self> {
        let kinds = self.list.iter().map(|provider| provider.kind);
        let kind = match &error {
            Error::NoProvider { provider, .. }
            | Error::Plugin { provider, .. }
            | Error::ProviderFailed { provider, .. } => Some(*provider),
            Error::Runtime { .. } => kinds.clone().next(),
            _ => None,
        };
        let kind = kind.filter(|kind| self.allow_fallback && *kind != ProviderKind::Cpu);
        let mut list: Vec<_> = self.list.iter().filter(|provider| Some(provider.kind) != kind).cloned().collect();
        if list.is_empty() && !self.refuse_cpu {
            list = Self::default().list;
        }
        match kind.filter(|_| !list.is_empty()) {
            Some(kind) => {
                tracing::warn!("goes on without {kind}: {error}");
                Ok(Self { list, ..self.clone() })
            }
            None => Err(error),
        }
    }
}
