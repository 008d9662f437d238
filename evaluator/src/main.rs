//! `pleach-audit`: judging what a bundle draws.

mod cli;

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread runs yet.
    unsafe { pleach_runtime::engine::disable_telemetry() };
    cli::main()
}
