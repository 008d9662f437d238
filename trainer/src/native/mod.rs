//! Kernels of libtorch over lists of tensors, which `tch` does not bind: one call for all parameters of a network.

use crate::torch::{Error, Result};
use std::{
    ffi::{CStr, c_char, c_double},
    ptr,
};
use tch::Tensor;
use torch_sys::C_tensor;

unsafe extern "C" {
    fn pleach_adamw(
        parameters: *const *const C_tensor,
        gradients: *const *const C_tensor,
        first: *const *const C_tensor,
        second: *const *const C_tensor,
        steps: *const *const C_tensor,
        count: usize,
        rate: c_double,
        beta1: c_double,
        beta2: c_double,
        weight_decay: c_double,
        eps: c_double,
    ) -> *mut c_char;
    fn pleach_norms(tensors: *const *const C_tensor, count: usize, out: *mut *mut C_tensor) -> *mut c_char;
    fn pleach_scale(tensors: *const *const C_tensor, count: usize, factor: *const C_tensor) -> *mut c_char;
    fn pleach_lerp(
        tensors: *const *const C_tensor,
        towards: *const *const C_tensor,
        count: usize,
        weight: c_double,
    ) -> *mut c_char;
    fn pleach_free(message: *mut c_char);
}

/// Hyperparameters of one step of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the first and of the second moment.
    pub betas: [f64; 2],
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// One fused step of AdamW over `parameters`, in place. `steps` are scalar f32 tensors that count this step already.
///
/// # Errors
/// Lists of different lengths, and what libtorch says.
pub fn adamw(
    parameters: &[&Tensor],
    gradients: &[&Tensor],
    [first, second]: [&[&Tensor]; 2],
    steps: &[&Tensor],
    settings: &AdamW,
) -> Result<()> {
    same_length(&[parameters, gradients, first, second, steps])?;
    let [p, g, m, v, s] = [parameters, gradients, first, second, steps].map(pointers);
    let AdamW { rate, betas: [beta1, beta2], weight_decay, eps } = *settings;
    // SAFETY: every list holds `p.len()` pointers to tensors that are borrowed until the call returns.
    checked(unsafe {
        pleach_adamw(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            s.as_ptr(),
            p.len(),
            rate,
            beta1,
            beta2,
            weight_decay,
            eps,
        )
    })
}

/// The Euclidean norm of each tensor: `[tensors.len()]`.
///
/// # Errors
/// What libtorch says.
pub fn norms(tensors: &[&Tensor]) -> Result<Tensor> {
    let list = pointers(tensors);
    let mut out = ptr::null_mut();
    // SAFETY: as in `adamw`; `out` receives a tensor that belongs to the caller.
    checked(unsafe { pleach_norms(list.as_ptr(), list.len(), &mut out) })?;
    // SAFETY: the call succeeded, so `out` is a new tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Multiplies each tensor by `factor`, a scalar tensor, in place.
///
/// # Errors
/// What libtorch says.
pub fn scale(tensors: &[&Tensor], factor: &Tensor) -> Result<()> {
    let list = pointers(tensors);
    // SAFETY: as in `adamw`.
    checked(unsafe { pleach_scale(list.as_ptr(), list.len(), factor.as_ptr()) })
}

/// Moves each tensor `weight` of the way towards its counterpart, in place.
///
/// # Errors
/// Lists of different lengths, and what libtorch says.
pub fn lerp(tensors: &[&Tensor], towards: &[&Tensor], weight: f64) -> Result<()> {
    same_length(&[tensors, towards])?;
    let (list, to) = (pointers(tensors), pointers(towards));
    // SAFETY: as in `adamw`.
    checked(unsafe { pleach_lerp(list.as_ptr(), to.as_ptr(), list.len(), weight) })
}

fn pointers(tensors: &[&Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(|tensor| tensor.as_ptr()).collect()
}

fn same_length(lists: &[&[&Tensor]]) -> Result<()> {
    let lengths: Vec<usize> = lists.iter().map(|list| list.len()).collect();
    if lengths.windows(2).all(|pair| pair[0] == pair[1]) {
        Ok(())
    } else {
        Err(Error::Torch(format!("lists of tensors of different lengths: {lengths:?}")))
    }
}

/// The message of a failed call, its first line: what follows is a trace of C++.
fn checked(message: *mut c_char) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message is a string that ends in zero and belongs to the caller, who frees it once.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: as above.
    unsafe { pleach_free(message) };
    Err(Error::Torch(text.lines().next().unwrap_or_default().trim_end().to_owned()))
}

#[cfg(test)]
mod tests;
