//! Execution providers: what computes a network.

use std::{
    ffi::{CStr, c_char},
    fmt, ptr,
    str::FromStr,
};

/// What computes a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Provider {
    /// ONNX Runtime's own kernels.
    #[default]
    Cpu,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Cpu];

    /// ONNX Runtime's name for it.
    pub fn runtime_name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
        })
    }
}

/// A provider that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown execution provider {0:?}; known: cpu")]
pub struct UnknownProvider(String);

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.to_string() == text)
            .ok_or_else(|| UnknownProvider(text.chars().take(40).collect()))
    }
}

/// The providers that the library was built with.
pub(super) fn available() -> ort::Result<Vec<String>> {
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
