//! What can be wrong with a list of providers, before ONNX Runtime is asked.

use super::{LIBRARY_OPTION, ProviderKind};

/// What can be wrong with a list of providers, before ONNX Runtime is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum ProviderError {
    /// A name that is none of ours.
    #[error("there is no provider {name:?}; there are: {}", names())]
    Unknown { name: String },
    /// An option that is not `KEY=VALUE`, or that belongs to no provider.
    #[error("{text:?} is no option: write NAME:KEY=VALUE,KEY=VALUE, and a comma within a value twice")]
    Syntax { text: String },
    /// An option that the provider does not know.
    #[error("{provider} has no option {key:?}; it has: {}", keys(*provider))]
    Option { provider: ProviderKind, key: String },
    /// An option that was given before.
    #[error("the option {key} of {provider} is given twice")]
    OptionTwice { provider: ProviderKind, key: String },
    /// A value that ONNX Runtime cannot be given.
    #[error("{value:?} is no value for the option {key} of {provider}")]
    Value { provider: ProviderKind, key: String, value: String },
    /// A provider that was named before.
    #[error("the provider {provider} is named twice")]
    Twice { provider: ProviderKind },
    /// A provider to which nothing is left.
    #[error("{provider} is named after cpu, which takes all that is left: name cpu last")]
    AfterCpu { provider: ProviderKind },
    /// The CPU both refused and asked for.
    #[error("the CPU is refused, so a provider other than cpu must be named, and cpu must not")]
    CpuRefused,
}

fn names() -> String {
    ProviderKind::ALL.map(ProviderKind::name).join(", ")
}

fn keys(provider: ProviderKind) -> String {
    if provider == ProviderKind::Cpu {
        return "none".to_owned();
    }
    [provider.options(), &[LIBRARY_OPTION]].concat().join(", ")
}
