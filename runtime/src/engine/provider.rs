//! Execution providers: what computes a network.

use serde::Serialize;
use std::{
    ffi::{CStr, c_char},
    ptr,
};

/// What computes a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Provider {
    /// ONNX Runtime's own kernels.
    #[default]
    Cpu,
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
