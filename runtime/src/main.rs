//! `pleach`: draws pictures with ONNX bundles, and finds the other programs of the family.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
