//! A real process: exit codes, a closed pipe, signals. Without arguments this program tests itself with arguments.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode as ProcessCode, Stdio};
use std::time::Duration;

use anyhow::bail;
use clap::Parser;
use pleach_console::{ConsoleArgs, ExitCode, Interrupt, Printer, ResultExt, run};

#[derive(Parser)]
struct Cli {
    task: String,
    #[command(flatten)]
    console: ConsoleArgs,
}

fn main() -> ProcessCode {
    if std::env::args().len() > 1 && std::env::var_os("PLEACH_TEST_CHILD").is_some() {
        let cli = Cli::parse();
        return run(&cli.console, |printer| task(&cli.task, printer));
    }
    exit_codes();
    usage();
    broken_pipe();
    #[cfg(unix)]
    signals();
    ProcessCode::SUCCESS
}

fn task(name: &str, printer: &Printer) -> anyhow::Result<ExitCode> {
    match name {
        "done" => printer.line("result")?,
        "no" => return Ok(ExitCode::No),
        "integrity" => {
            return Err(anyhow::anyhow!("hash differs")).exit_code(ExitCode::Integrity).hint("fetch it again");
        }
        "endless" => loop {
            printer.line("y")?;
        },
        "steps" => {
            let interrupt = Interrupt::install(printer)?;
            printer.line("ready")?;
            while !interrupt.requested() {
                std::thread::sleep(Duration::from_millis(5));
            }
            return Ok(ExitCode::Incomplete);
        }
        "deaf" => {
            let interrupt = Interrupt::install(printer)?;
            printer.line("ready")?;
            for _ in 0..4000 {
                std::thread::sleep(Duration::from_millis(5));
                let _ = interrupt.requested();
            }
        }
        _ => bail!("no task `{name}`"),
    }
    Ok(ExitCode::Done)
}

fn child(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).env("PLEACH_TEST_CHILD", "1").env_remove("RUST_LOG").env("NO_COLOR", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = child(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn exit_codes() {
    assert_eq!(output(&["done"]), (Some(0), "result\n".to_owned(), String::new()));
    assert_eq!(output(&["no"]).0, Some(1));
    assert_eq!(output(&["other"]), (Some(2), String::new(), "error: no task `other`\n".to_owned()));
    let (code, _, said) = output(&["-qq", "integrity"]);
    assert_eq!((code, said.as_str()), (Some(4), "error: hash differs\nhint: fetch it again\n"));
}

fn usage() {
    let (code, out, said) = output(&["--colour"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(said.contains("--colour") && said.contains("'--color'"), "{said}");
    let logged = child(&["done"]).env("RUST_LOG", "x=loud").output().unwrap();
    assert_eq!(logged.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&logged.stderr).starts_with("error: RUST_LOG is not a filter: `x=loud`"));
}

fn broken_pipe() {
    let mut child = child(&["endless"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "y\n");
    assert_eq!(ended(child), (Some(0), String::new()));
}

#[cfg(unix)]
fn signals() {
    let warning = "warning: finishing this step, press again to stop at once\n";
    for signal in ["INT", "TERM"] {
        let (child, _stdout) = started("steps");
        send(&child, signal);
        assert_eq!(ended(child), (Some(3), warning.to_owned()), "{signal}");
    }
    let (mut child, _stdout) = started("deaf");
    send(&child, "INT");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert_eq!(said, warning);
    send(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// A child that listens, and its stdout, which must stay open.
#[cfg(unix)]
fn started(task: &str) -> (Child, impl BufRead) {
    let mut child = child(&[task]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, stdout)
}

#[cfg(unix)]
fn send(child: &Child, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}
