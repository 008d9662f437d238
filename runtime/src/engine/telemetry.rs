//! Keeping ONNX Runtime from gathering telemetry.

/// The variable that ONNX Runtime asks before it begins.
const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// Keeps ONNX Runtime from gathering telemetry when it starts; what it would send later, every [`Engine`](super::Engine) forbids.
///
/// It would read the machine's id and the command line, and match the latter with regular expressions that recurse: a prompt of
/// 40 kB on the command line overflows the stack.
///
/// # Safety
/// No other thread may run, since it changes the environment: call it first in `main`.
pub unsafe fn disable_telemetry() {
    // SAFETY: as this function asks.
    unsafe { std::env::set_var(VARIABLE, "1") }
}
