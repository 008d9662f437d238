//! `pleach bench`: how fast a bundle draws on this machine.

use anyhow::{Context, bail};
use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table, human};
use pleach_runtime::{
    args::{CacheArgs, ProviderArgs, open_bundle},
    bundle::Bundle,
    engine::{Engine, EngineOptions},
    measure::{Measured, Options, measure},
    pipeline::{Picture, Request, Size},
};
use std::{
    env,
    ffi::OsString,
    num::NonZeroUsize,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// All experts.
const ALL: &str = "all";

/// The arguments of `pleach bench`.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a bundle or of an ONNX pipeline that Optimum exported, or a Hugging Face id: org/name or org/name@revision
    #[arg(value_name = "BUNDLE")]
    source: String,

    /// Expert to measure, or `all`
    #[arg(long, value_name = "NAME", default_value = ALL)]
    expert: String,

    /// Denoising steps of a picture
    #[arg(long, value_name = "N", default_value_t = 25)]
    steps: usize,

    /// Guidance scale; 1 draws without guidance
    #[arg(long, value_name = "SCALE", default_value_t = 7.5)]
    guidance: f64,

    /// Size of the pictures [default: what the model was trained for]
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    size: Option<Size>,

    /// How long each network runs before it is timed
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    warm_up: f64,

    /// How many times each network is timed
    #[arg(long, value_name = "N", default_value_t = 10)]
    repeats: usize,

    /// Threads to compute with [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    cache: CacheArgs,

    /// ONNX Runtime to use [default: $ORT_DYLIB_PATH, beside this program, the system's]
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,

    #[command(flatten)]
    provider: ProviderArgs,

    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let bundle = open_bundle(&args.source, printer)?;
    let names: Vec<String> = bundle.experts().into_iter().map(str::to_owned).collect();
    let measured = if args.expert == ALL && names.len() > 1 {
        names.iter().map(|name| alone(name, printer)).collect::<anyhow::Result<Vec<_>>>()?
    } else {
        vec![here(args, &bundle)?]
    };
    if args.report.json {
        printer.json(&measured)?;
    } else {
        print(&measured, printer)?;
    }
    Ok(ExitCode::Done)
}

/// Measures in this process.
fn here(args: &Args, bundle: &Bundle) -> anyhow::Result<Measured> {
    let providers = args.provider.providers()?;
    let engine = Engine::start(&EngineOptions { dylib: args.ort_lib.clone(), threads: args.threads })?;
    let warm_up = Duration::try_from_secs_f64(args.warm_up).context("--warm-up is no time")?;
    let pictures = vec![Picture { prompt: "a lighthouse on a cliff".into(), seed: 0 }];
    let request =
        Request { pictures, steps: args.steps, guidance: args.guidance, size: args.size, ..Request::default() };
    let options = Options {
        expert: Some(args.expert.clone()).filter(|expert| expert != ALL),
        request,
        warm_up,
        repeats: args.repeats,
        providers,
        cache: args.cache.cache(),
    };
    Ok(measure(bundle, &engine, &options)?)
}

/// Measures an expert in a process of its own, so that its memory is its alone: the same command, for this expert.
fn alone(name: &str, printer: &Printer) -> anyhow::Result<Measured> {
    printer.status("Measuring", name);
    let mut words: Vec<OsString> = env::args_os().skip(1).filter(|word| word != "--json").collect();
    if let Some(i) = words.iter().position(|word| word == "--expert") {
        words.drain(i..(i + 2).min(words.len()));
    }
    words.retain(|word| !word.to_string_lossy().starts_with("--expert="));
    let child = Command::new(env::current_exe()?)
        .args(words)
        .args(["--expert", name, "--json", "--quiet"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start a process to measure in")?;
    if !child.status.success() {
        bail!("{name} could not be measured");
    }
    let measured: Vec<Measured> = serde_json::from_slice(&child.stdout).context("what the process said")?;
    measured.into_iter().next().with_context(|| format!("{name} was not measured"))
}

fn print(measured: &[Measured], printer: &Printer) -> anyhow::Result<()> {
    let (l, r) = (Align::Left, Align::Right);
    let mut experts = Table::new([
        ("expert", l),
        ("precision", l),
        ("MACs", r),
        ("first picture", r),
        ("pictures a minute", r),
        ("peak memory", r),
    ]);
    let mut networks =
        Table::new([("expert", l), ("network", l), ("opened", r), ("runs", r), ("median", r), ("deviation", r)]);
    let name = |measured: &Measured| measured.expert.clone().unwrap_or_else(|| "-".into());
    let seconds = |seconds: f64| format!("{:.1} ms", 1e3 * seconds);
    for one in measured {
        experts.row([
            name(one),
            one.precision.map_or_else(|| "-".into(), |precision| precision.to_string()),
            one.macs.map_or_else(|| "-".into(), human::count),
            format!("{:.2} s", one.first_picture),
            format!("{:.2}", one.pictures_per_minute),
            one.peak.map_or_else(|| "?".into(), human::bytes),
        ]);
        for (i, network) in one.networks.iter().enumerate() {
            networks.row([
                if i == 0 { name(one) } else { String::new() },
                network.network.clone(),
                seconds(network.opened),
                network.runs.to_string(),
                seconds(network.median),
                seconds(network.deviation),
            ]);
        }
    }
    printer.table(&experts)?;
    printer.line("")?;
    printer.table(&networks)?;
    Ok(())
}
