//! What `tch` does not bind: kernels of libtorch over lists of tensors (one call for all parameters of a network), memory layouts, and
//! gradients of a function of our own.

use crate::torch::{Error, Result};
use std::{
    ffi::{CStr, CString, c_char, c_double, c_void},
    mem::ManuallyDrop,
    panic::{self, AssertUnwindSafe},
    ptr, slice,
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
    fn pleach_forget_gradients(tensors: *const *const C_tensor, count: usize) -> *mut c_char;
    fn pleach_channels_last(tensor: *const C_tensor, out: *mut *mut C_tensor) -> *mut c_char;
    fn pleach_keep_freed_memory();
    fn pleach_records_gradients() -> bool;
    fn pleach_recomputed(
        outside: *const *const C_tensor,
        count: usize,
        result: *const C_tensor,
        state: *mut c_void,
        rerun: unsafe extern "C" fn(*const c_void, *const *mut C_tensor, usize, *mut *mut C_tensor) -> *mut c_char,
        forget: unsafe extern "C" fn(*mut c_void),
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    fn pleach_free(message: *mut c_char);
}

/// Has the C library keep what is freed for what is asked for next, where it is glibc. A training step asks for the same large blocks as the
/// one before it; given back to the system, each of their pages must be cleared and mapped again. It holds for the whole process, so
/// programs decide it.
pub fn keep_freed_memory() {
    // SAFETY: it takes nothing, and allocators may be told this at any time.
    unsafe { pleach_keep_freed_memory() };
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

/// Leaves each tensor without a gradient.
///
/// # Errors
/// What libtorch says.
pub fn forget_gradients(tensors: &[&Tensor]) -> Result<()> {
    let list = pointers(tensors);
    // SAFETY: as in `adamw`; whoever holds a gradient holds a reference of its own.
    checked(unsafe { pleach_forget_gradients(list.as_ptr(), list.len()) })
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

/// The same elements, laid out with the channels last: the form in which convolutions are fastest on many devices.
///
/// # Errors
/// A tensor that has not four dimensions.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    // SAFETY: as in `norms`.
    checked(unsafe { pleach_channels_last(tensor.as_ptr(), &mut out) })?;
    // SAFETY: as in `norms`.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Whether operations on this thread are recorded for gradients.
pub fn records_gradients() -> bool {
    // SAFETY: it reads a flag of the thread.
    unsafe { pleach_records_gradients() }
}

/// Computes a part of a network again from what it takes from outside.
pub type Replay = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send>;

/// `result`, which was computed from `outside` without a record for gradients, as a tensor whose gradients come from `replay`.
///
/// # Errors
/// What libtorch says. Errors of `replay` come out of the call that asks for gradients.
pub fn recomputed(outside: &[&Tensor], result: &Tensor, replay: Replay) -> Result<Tensor> {
    let list = pointers(outside);
    let state = Box::into_raw(Box::new(replay));
    let mut out = ptr::null_mut();
    // SAFETY: as in `norms`; `state` belongs to the callee, which gives it to `rerun` until it gives it to `forget`, once.
    checked(unsafe {
        pleach_recomputed(list.as_ptr(), list.len(), result.as_ptr(), state.cast(), rerun, forget, &mut out)
    })?;
    // SAFETY: as in `norms`.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// Calls a [`Replay`]. The message of an error belongs to the caller, who frees it as C does.
///
/// # Safety
/// `state` is a boxed [`Replay`]; `outside` holds `count` new tensors, which become ours; `out` can be written.
unsafe extern "C" fn rerun(
    state: *const c_void,
    outside: *const *mut C_tensor,
    count: usize,
    out: *mut *mut C_tensor,
) -> *mut c_char {
    // SAFETY: as the caller promises.
    let (replay, outside): (&Replay, Vec<Tensor>) = unsafe {
        let pointers = slice::from_raw_parts(outside, count);
        (&*state.cast(), pointers.iter().map(|&pointer| Tensor::from_ptr(pointer)).collect())
    };
    let result = panic::catch_unwind(AssertUnwindSafe(|| replay(&outside)));
    let error = match result {
        Ok(Ok(tensor)) => {
            let mut tensor = ManuallyDrop::new(tensor);
            // SAFETY: `out` can be written, and the tensor is not dropped here.
            unsafe { *out = tensor.as_mut_ptr() };
            return ptr::null_mut();
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "a panic while a part of the network was computed again".to_owned(),
    };
    let message = CString::new(error.replace('\0', " ")).unwrap_or_default();
    // SAFETY: a string that ends in zero.
    unsafe { libc::strdup(message.as_ptr()) }
}

/// Drops a [`Replay`].
///
/// # Safety
/// `state` is a boxed [`Replay`] that is not used again.
unsafe extern "C" fn forget(state: *mut c_void) {
    // SAFETY: as the caller promises.
    drop(unsafe { Box::from_raw(state.cast::<Replay>()) });
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
