//! `pleach`: draws pictures with ONNX bundles, and finds the other programs of the family.

mod cli;

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { pleach_runtime::engine::disable_telemetry() };
    cli::main()
}
