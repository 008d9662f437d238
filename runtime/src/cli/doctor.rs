//! `pleach doctor`: what this machine has for running bundles, and what is wrong.

use pleach_console::{ExitCode, Printer, ReportArgs, human};
use pleach_runtime::{
    doctor::{self, FoundProvider, Report},
    engine::{CACHE_LIMIT, EngineOptions, HostCache, Offered, Source},
};
use std::path::PathBuf;

/// The arguments of `pleach doctor`.
#[derive(clap::Args)]
pub struct Args {
    /// ONNX Runtime to use [default: $ORT_DYLIB_PATH, beside this program, the system's]
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,

    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command. The answer is no where nothing can be drawn.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let options = EngineOptions { dylib: args.ort_lib.clone(), threads: None };
    let report = doctor::examine(&options, &HostCache::of_user(CACHE_LIMIT));
    if args.report.json {
        printer.json(&report)?;
    } else {
        tell(&report, printer)?;
    }
    let fatal = report.problems.iter().any(|problem| problem.fatal);
    Ok(if fatal { ExitCode::No } else { ExitCode::Done })
}

/// `cpu, qnn (/opt/qnn/libonnxruntime_providers_qnn.so)`
fn providers(found: &[FoundProvider]) -> String {
    let name = |FoundProvider { offered: Offered { provider, source }, problem }: &FoundProvider| {
        let place = match source {
            Source::BuiltIn => String::new(),
            Source::Plugin(path) => format!(" ({})", path.display()),
        };
        let state = if problem.is_some() { ", which cannot be used" } else { "" };
        format!("{provider}{place}{state}")
    };
    found.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn tell(report: &Report, printer: &Printer) -> anyhow::Result<()> {
    let mut lines = vec![("pleach", report.pleach.to_owned())];
    lines.push((
        "ONNX Runtime",
        match &report.onnx_runtime {
            Some(runtime) => {
                let library = &runtime.dylib;
                format!("{}, {} ({})", library.version, library.path.display(), library.place)
            }
            None => "not found".to_owned(),
        },
    ));
    lines.extend(report.onnx_runtime.as_ref().map(|runtime| ("providers", providers(&runtime.providers))));
    lines.push((
        "libtorch",
        match &report.libtorch {
            Some(libtorch) => {
                let version = libtorch.version.as_deref().unwrap_or("of unknown version");
                let cuda = if libtorch.cuda { "with CUDA" } else { "without CUDA" };
                format!("{version} {cuda}, {}", libtorch.folder.display())
            }
            None => "not found (only training needs it)".to_owned(),
        },
    ));
    let processor = &report.processor;
    lines.push((
        "processor",
        format!("{}, {} threads, {}", processor.architecture, processor.threads, processor.features.join(" ")),
    ));
    lines.extend(report.memory.map(|memory| {
        ("memory", format!("{} of {} free", human::bytes(memory.available), human::bytes(memory.total)))
    }));
    lines.push((
        "cache",
        match &report.cache.folder {
            Some(folder) => {
                let [bytes, limit] = [report.cache.bytes, report.cache.limit].map(human::bytes);
                format!("{}, {bytes} of at most {limit}", folder.display())
            }
            None => "off".to_owned(),
        },
    ));
    for (name, value) in lines {
        printer.line(format_args!("{name:<13} {value}"))?;
    }
    for problem in &report.problems {
        let kind = if problem.fatal { "wrong" } else { "note" };
        printer.line(format_args!("{kind:<13} {}", problem.what.replace('\n', "\n              ")))?;
        printer.line(format_args!("{:<13} {}", "", problem.remedy))?;
    }
    if report.problems.is_empty() {
        printer.line(format_args!("{:<13} nothing is wrong", ""))?;
    }
    Ok(())
}
