//! The command line of `pleach-export`.

mod checkpoint;
mod progress;
mod report;

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use pleach_console::{
    CompletionArgs, ConsoleArgs, ExitCode, Interrupt, Printer, ReportArgs, ResultExt, completions, human,
    run_classified,
};
use pleach_exporter::{
    error::Error,
    export::{Exported, Input, Layout, Options, export},
    quantize::calibrate,
};
use pleach_model::{
    family::{self, FamilyFolder},
    files,
    manifest::{self, Precision},
    student::Student,
};
use pleach_runtime::{
    engine::{Engine, EngineOptions},
    pipeline::Size,
};
use progress::Bars;
use report::Report;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Export a family of experts, a student or a diffusers checkpoint to an ONNX bundle; a classifier or a CLIP to graphs that audits open
#[derive(Parser)]
#[command(
    name = "pleach-export",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  pleach export ./stable-diffusion-2-1 --out sd21 --verify
  pleach export RUN/family --precision int8 --calibration prompts.txt --out bundle
  pleach export RUN/student --base ./stable-diffusion-2-1 --out bundle"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    arguments: Option<Arguments>,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    console: ConsoleArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Write a shell's completions
    Completions(CompletionArgs),
}

#[derive(clap::Args)]
struct Arguments {
    /// Folder of a family, of a student (or its unet/), of a diffusers pipeline or of a classifier, or a Hugging Face id: org/name or org/name@revision
    #[arg(value_name = "FAMILY|STUDENT|CHECKPOINT")]
    checkpoint: String,
    /// Folder of the bundle; appears whole or not at all
    #[arg(short, long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Type of the weights and of what the networks compute
    #[arg(short, long, value_enum, default_value_t = Weights::F32)]
    precision: Weights,
    /// Experts of a family to export; all by default
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    experts: Option<Vec<String>>,
    /// The one size that can be drawn: graphs of fixed shapes, for providers and tools that want them [default: any size]
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    size: Option<Size>,
    /// Networks to export: text_encoder, unet, vae_decoder, vae_encoder, router [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Written::Bundle)]
    layout: Written,
    /// Also write every graph with its weights in ONNX Runtime's own format (.ort), for builds for mobile devices; up to 2 GB each
    #[arg(long)]
    ort_format: bool,
    /// The pipeline that a student was cut out of, or a family, where it is not where the family says: a folder or a Hugging Face id
    #[arg(long, value_name = "CHECKPOINT")]
    base: Option<String>,
    /// Weights to read where the checkpoint has several variants (fp16)
    #[arg(long)]
    variant: Option<String>,
    /// Prompts to calibrate int8 and int4 with, one in each line [default: eight everyday ones]
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Denoising steps of each picture that calibration draws
    #[arg(long, value_name = "N", default_value_t = 8)]
    calibration_steps: usize,
    /// Guidance of the pictures that calibration draws
    #[arg(long, value_name = "SCALE", default_value_t = 7.5)]
    calibration_guidance: f32,
    /// Run every graph in ONNX Runtime and compare it with the reference; a bundle that fails is not kept
    #[arg(long)]
    verify: bool,
    /// Pictures that every expert draws for --verify, beside the same in f32
    #[arg(long, value_name = "N", default_value_t = 4)]
    pictures: usize,
    /// A classifier that was exported, which says for --verify whether it finds something else in them
    #[arg(long, value_name = "FOLDER", requires = "verify")]
    judge: Option<PathBuf>,
    /// Export the CLIP of the small world's pipeline instead (its clip/, text_encoder/ and tokenizer/), as two instruments for audits:
    /// OUT/image and OUT/text
    #[arg(long, conflicts_with_all = ["experts", "size", "only", "layout", "ort_format", "base", "calibration", "judge"])]
    clip: bool,
    /// Replace a bundle that is there already
    #[arg(long)]
    overwrite: bool,
    /// ONNX Runtime's library, for --verify, --ort-format and calibration
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    /// Single precision
    F32,
    /// Half precision, with softmax and the statistics of norms in single precision
    F16,
    /// 8-bit weights, for CPUs: convolutions and linear layers between 8-bit numbers
    Int8,
    /// 4-bit weights in linear layers, 8-bit ones in convolutions: the smallest files
    Int4,
}

#[derive(Clone, Copy, ValueEnum)]
enum Written {
    /// A bundle, which pleach and Optimum's pipelines open
    Bundle,
    /// A model repository of Triton Inference Server
    Triton,
}

/// Runs the command.
pub(crate) fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    run_classified(&cli.console, classify, |printer| match (&cli.command, &cli.arguments) {
        (Some(Command::Completions(arguments)), _) => {
            completions::<Cli>(*arguments, printer)?;
            Ok(ExitCode::Done)
        }
        (None, Some(arguments)) => run(arguments, &cli.report, printer),
        (None, None) => unreachable!("clap asks for the arguments where there is no subcommand"),
    })
}

fn classify(error: &anyhow::Error) -> Option<ExitCode> {
    matches!(error.downcast_ref()?, Error::Interrupted).then_some(ExitCode::Incomplete)
}

fn run(arguments: &Arguments, output: &ReportArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let input = input(arguments, printer)?;
    let engine = EngineOptions { dylib: arguments.ort_lib.clone(), ..EngineOptions::default() };
    let needs_engine =
        arguments.verify || arguments.ort_format || matches!(arguments.precision, Weights::Int8 | Weights::Int4);
    let options = Options {
        precision: match arguments.precision {
            Weights::F32 => Precision::F32,
            Weights::F16 => Precision::F16,
            Weights::Int8 => Precision::Int8,
            Weights::Int4 => Precision::Int4,
        },
        variant: arguments.variant.clone(),
        experts: arguments.experts.clone(),
        size: arguments.size.map(|size| [size.width as usize, size.height as usize]),
        only: arguments.only.clone(),
        ort_format: arguments.ort_format,
        layout: match arguments.layout {
            Written::Bundle => Layout::Bundle,
            Written::Triton => Layout::Triton,
        },
        overwrite: arguments.overwrite,
        verify: arguments.verify,
        pictures: arguments.pictures,
        judge: arguments.judge.clone(),
        engine: needs_engine.then(|| Engine::start(&engine)).transpose()?,
        calibration: calibration(arguments)?,
    };
    let bars = Bars::new(printer, Interrupt::install(printer)?);
    let exported = match export(&input, &arguments.out, &options, &bars) {
        Err(error @ Error::File(files::Error::Occupied { .. })) => Err(error).hint("--overwrite replaces a bundle"),
        other => Ok(other?),
    }?;
    drop(bars);
    report(&exported, output, start, printer)?;
    Ok(if exported.folder.is_some() { ExitCode::Done } else { ExitCode::No })
}

fn calibration(arguments: &Arguments) -> anyhow::Result<calibrate::Options> {
    let Arguments { calibration, calibration_steps: steps, calibration_guidance: guidance, .. } = arguments;
    let usual = calibrate::Options::default();
    let prompts = match calibration {
        None => usual.prompts,
        Some(file) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            let prompts: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
            ensure!(!prompts.is_empty(), "{} holds no prompt", file.display());
            prompts
        }
    };
    Ok(calibrate::Options { prompts, steps: *steps, guidance: *guidance })
}

/// A family or a student with its base, or a checkpoint.
fn input(arguments: &Arguments, printer: &Printer) -> anyhow::Result<Input> {
    let Arguments { checkpoint, base, variant, .. } = arguments;
    let resolve = |name: &str| checkpoint::resolve(name, variant.as_deref(), printer);
    let folder = Path::new(checkpoint);
    if arguments.clip {
        return Ok(Input::Clip(resolve(checkpoint)?));
    }
    if !folder.join(manifest::FILE_NAME).is_file() {
        if let Some(student) = Student::find(folder)? {
            let missing =
                || format!("{checkpoint} is a student's UNet: --base must name the pipeline that it was cut out of");
            let base = resolve(base.as_deref().with_context(missing)?).context("cannot open the student's base")?;
            return Ok(Input::Student(Box::new(student), base));
        }
        if let Some(family) = family::in_run(folder) {
            bail!("{checkpoint} is the folder of a run: its family is {}", family.display());
        }
        ensure!(base.is_none(), "{checkpoint} is no family and no student: --base is for those");
        return Ok(Input::Checkpoint(resolve(checkpoint)?));
    }
    let family = FamilyFolder::open(folder)?;
    let base = base.clone().unwrap_or_else(|| family.base());
    let base = resolve(&base).context("cannot open the family's base; --base names another place for it")?;
    Ok(Input::Family(Box::new(family), base))
}

fn report(exported: &Exported, output: &ReportArgs, start: Instant, printer: &Printer) -> anyhow::Result<()> {
    let report = Report::new(exported);
    if output.json {
        printer.json(&report)?;
    } else {
        report.print(printer)?;
    }
    match &exported.folder {
        Some(folder) => {
            let (bytes, time) = (human::bytes(report.bytes()), human::duration(start.elapsed()));
            printer.status("Exported", format_args!("{} ({bytes}) in {time}", folder.display()));
        }
        None => printer.warn("the graphs do not compute what the checkpoint does: the bundle was not kept"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_says_what_the_command_line_does() -> anyhow::Result<()> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli/pleach-export.md");
        Ok(pleach_console::reference::keep(Cli::command(), page.as_ref())?)
    }

    #[test]
    fn arguments_or_a_subcommand() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["pleach-export"], words].concat());
        let cli = parse(&["sd2", "--out", "bundle", "-q", "--json"]).unwrap();
        let arguments = cli.arguments.unwrap();
        assert_eq!((arguments.checkpoint.as_str(), arguments.out), ("sd2", PathBuf::from("bundle")));
        assert!(cli.report.json && cli.console.quiet == 1);
        assert!(matches!(parse(&["completions", "bash"]).unwrap().command, Some(Command::Completions(_))));
        assert!(parse(&["world", "--clip", "--out", "clip"]).unwrap().arguments.unwrap().clip);
        let sized = ["world", "--clip", "--size", "64x64", "--out", "clip"];
        for wrong in [&[][..], &["sd2"], &["--out", "bundle"], &sized] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
