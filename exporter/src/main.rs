//! `pleach-export`: from a diffusers checkpoint to an ONNX bundle.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
