//! `pleach coverage`: how much of a bundle an execution provider takes, told without the provider.

use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table};
use pleach_runtime::{
    args::open_bundle,
    coverage::{self, Coverage, NetworkCoverage, Target},
    engine::{CACHE_LIMIT, Engine, EngineOptions, HostCache},
    pipeline::Size,
};
use std::path::PathBuf;

/// The arguments of `pleach coverage`.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle, an ONNX pipeline that Optimum exported, or their Hugging Face id
    #[arg(value_name = "BUNDLE")]
    source: String,

    /// The execution provider: coreml, nnapi, qnn or xnnpack
    #[arg(short, long, value_name = "NAME")]
    provider: Target,

    /// Size of the pictures, WIDTHxHEIGHT; such providers want one [default: the bundle's]
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    size: Option<Size>,

    /// ONNX Runtime to use [default: $ORT_DYLIB_PATH, beside this program, the system's]
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,

    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let bundle = open_bundle(&args.source, printer)?;
    let engine = Engine::start(&EngineOptions { dylib: args.ort_lib.clone(), threads: None })?;
    let coverage = coverage::examine(&bundle, args.provider, args.size, &engine, &HostCache::of_user(CACHE_LIMIT))?;
    if args.report.json {
        printer.json(&coverage)?;
    } else {
        tell(&coverage, printer)?;
    }
    Ok(ExitCode::Done)
}

fn tell(coverage: &Coverage, printer: &Printer) -> anyhow::Result<()> {
    let Coverage { bundle, rules, size, networks, warning, notes, .. } = coverage;
    for (name, value) in
        [("bundle", bundle), ("provider", rules), ("drawing", &format!("{size}, one picture at a time"))]
    {
        printer.line(format_args!("{name:<11} {value}"))?;
    }
    let mut table = Table::new([
        ("network", Align::Left),
        ("nodes", Align::Right),
        ("taken", Align::Right),
        ("partitions", Align::Right),
        ("largest", Align::Right),
    ]);
    for network in networks {
        let largest = network.partitions.iter().max().copied().unwrap_or(0);
        let numbers =
            [network.nodes, network.taken, network.partitions.len(), largest].map(|number| number.to_string());
        table.row([title(network)].into_iter().chain(numbers));
    }
    printer.line("")?;
    printer.table(&table)?;

    if networks.iter().any(|network| !network.missing.is_empty()) {
        let mut table = Table::new([
            ("network", Align::Left),
            ("not taken", Align::Left),
            ("nodes", Align::Right),
            ("because", Align::Left),
        ]);
        for network in networks {
            for (i, missing) in network.missing.iter().enumerate() {
                let first = if i == 0 { title(network) } else { String::new() };
                table.row([first, missing.operator.clone(), missing.count.to_string(), missing.reason.clone()]);
            }
        }
        printer.line("")?;
        printer.table(&table)?;
    }
    printer.line("")?;
    let width = networks.iter().map(|network| title(network).len()).max().unwrap_or(0);
    for network in networks {
        printer.line(format_args!("{:<width$}  {network}", title(network)))?;
    }
    if let Some(warning) = warning {
        printer.warn(warning);
    }
    printer.note(format_args!("not known here: {}", notes.join("; ")));
    Ok(())
}

/// `unet large`
fn title(network: &NetworkCoverage) -> String {
    match &network.expert {
        Some(expert) => format!("{} {expert}", network.component),
        None => network.component.to_owned(),
    }
}
