//! `pleach-export`: from a diffusers checkpoint to an ONNX bundle.

mod cli;

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { pleach_runtime::engine::disable_telemetry() };
    cli::main()
}
