//! `pleach-train world`: pictures of the small world with captions.

use crate::world::{
    Style,
    folder::{Error, MARK, Request, write},
};
use pleach_console::{ExitCode, Interrupt, Printer, ReportArgs, ResultExt, human};
use pleach_model::files;
use serde::Serialize;
use std::{ops::ControlFlow, path::PathBuf, time::Instant};

/// Arguments of `pleach-train world`.
#[derive(clap::Args, Clone, Debug)]
pub struct WorldArgs {
    /// Folder of the pictures and metadata.jsonl; appears whole or not at all
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Number of pictures
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Chooses the series of pictures
    #[arg(short, long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// First picture of the series to write
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    start: u64,
    /// Only pictures of one object
    #[arg(long)]
    one_object: bool,
    /// Only pictures in these styles: flat, dotted, striped, pixelated, glowing, outlined
    #[arg(long, value_name = "STYLE", value_delimiter = ',', value_parser = style)]
    style: Vec<Style>,
    /// Write metadata.jsonl alone, for prompts
    #[arg(long)]
    captions_only: bool,
    /// Leave out samples whose captions stand in this metadata.jsonl, and those that come again; may be repeated
    #[arg(long, value_name = "FILE")]
    except: Vec<PathBuf>,
    /// Replace a folder that this command wrote
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Serialize)]
struct Report {
    folder: PathBuf,
    #[serde(flatten)]
    request: Request,
    seconds: f64,
}

fn style(word: &str) -> Result<Style, String> {
    let found = Style::ALL.iter().copied().find(|style| style.word() == word);
    found
        .ok_or_else(|| format!("the styles are {}", Style::ALL.iter().map(|s| s.word()).collect::<Vec<_>>().join(", ")))
}

/// Runs the command.
///
/// # Errors
/// The folder cannot be written, or is somebody's own.
pub fn run(arguments: &WorldArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let &WorldArgs { count, seed, start, one_object, captions_only, .. } = arguments;
    let (styles, except) = (arguments.style.clone(), arguments.except.clone());
    let request = Request { count, seed, start, one_object, styles, captions_only, except };
    let overwrite = if arguments.overwrite { files::Overwrite::IfItHolds(MARK) } else { files::Overwrite::Never };
    let interrupt = Interrupt::install(printer)?;
    let bar = printer.progress(count, "Drawing", "pictures");
    let written = write(&arguments.out, &request, overwrite, &|| {
        bar.inc(1);
        if interrupt.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish();
    let folder = match written {
        Err(error @ Error::Interrupted) => Err(error).exit_code(ExitCode::Incomplete),
        Err(error @ Error::File(files::Error::Occupied { .. })) => {
            Err(error).hint("--overwrite replaces a folder that this command wrote")
        }
        other => Ok(other?),
    }?;
    let elapsed = begin.elapsed();
    printer.status(
        "Wrote",
        format_args!("{} samples to {} in {}", human::exact(count), folder.display(), human::duration(elapsed)),
    );
    if arguments.report.json {
        printer.json(&Report { folder, request, seconds: elapsed.as_secs_f64() })?;
    }
    Ok(ExitCode::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use pleach_console::Settings;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        world: WorldArgs,
    }

    #[test]
    fn a_folder_is_written_and_reported() {
        let tmp = tempfile::tempdir().unwrap();
        let out = tmp.path().join("world");
        let parse =
            |more: &[&str]| Cli::try_parse_from([&["world", "--out", out.to_str().unwrap(), "--json"], more].concat());
        for wrong in [&[][..], &["-n", "0"], &["-n", "-1"], &["-n", "1", "--style", "flat,stripy"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let (printer, captured) = Printer::captured(Settings::default());
        let cli = parse(&["-n", "3", "-s", "9", "--captions-only", "--one-object"]).unwrap();
        assert_eq!(run(&cli.world, &printer).unwrap(), ExitCode::Done);
        let report: serde_json::Value = serde_json::from_str(&captured.out()).unwrap();
        assert_eq!((&report["count"], &report["seed"], &report["one_object"]), (&3.into(), &9.into(), &true.into()));
        assert_eq!(std::fs::read_to_string(out.join("metadata.jsonl")).unwrap().lines().count(), 3);
    }
}
