//! `pleach-train cache`: latents and text embeddings of a data set, computed once.

use super::{checkpoint, place::Place};
use crate::{
    data::{
        Broken, OpenOptions, Opened,
        cache::{BuildOptions, Built, Error, Stage, Watch, build},
        open,
    },
    libtorch::libtorch,
};
use clap::{Args, ValueEnum};
use pleach_console::{ExitCode, Interrupt, Printer, Progress, ReportArgs, ResultExt, human};
use pleach_model::{files, pipeline::PipelineFolder, tensor::Dtype};
use serde::Serialize;
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    time::Instant,
};

/// What the encoders need of a repository. `?` stands for a character that a name may have or not have in all repositories, so that
/// neither single files nor shards are asked for in vain.
const FILES: [&str; 12] = [
    "model_index.json",
    "tokenizer/*",
    "scheduler/*",
    "unet/config.json",
    "text_encoder/config.json",
    "text_encoder/model?safetensors",
    "text_encoder/model?safetensors.index.json",
    "text_encoder/model-?????-of-?????.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model?safetensors",
    "vae/diffusion_pytorch_model?safetensors.index.json",
    "vae/diffusion_pytorch_model-?????-of-?????.safetensors",
];

/// Arguments of `pleach-train cache`.
#[derive(Args, Clone, Debug)]
pub struct CacheArgs {
    /// Folder with metadata.jsonl or metadata.csv, or a captions file of MS-COCO
    data: PathBuf,
    /// Folder of the diffusers pipeline whose encoders are used, or a Hugging Face id (org/name[@revision])
    #[arg(short, long, value_name = "PIPELINE")]
    checkpoint: String,
    /// Side of the squares that are encoded
    #[arg(short, long, value_name = "PIXELS")]
    resolution: usize,
    /// Folder of the cache; appears whole or not at all
    #[arg(short, long, value_name = "FOLDER")]
    out: PathBuf,
    /// Pictures or captions encoded at once
    #[arg(short, long, default_value_t = 8)]
    batch: usize,
    /// Encode mirrored pictures too, for training with random flips
    #[arg(long)]
    flip: bool,
    /// Type of the numbers kept
    #[arg(short, long, value_enum, default_value_t = Precision::F16)]
    precision: Precision,
    /// Folder of the pictures of a captions file, where they are not beside it
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Column of the metadata that holds captions [default: text]
    #[arg(long, value_name = "NAME")]
    caption_column: Option<String>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = Place::Auto)]
    device: Place,
    /// Replace a cache that is there already
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Precision {
    /// Half precision
    F16,
    /// Single precision
    F32,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    cache: &'a Path,
    #[serde(flatten)]
    built: &'a Built,
}

/// Runs the command.
///
/// # Errors
/// Whatever stands in the way; an interruption has the exit code [`ExitCode::Incomplete`].
pub fn run(arguments: &CacheArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    cache(arguments, printer, Interrupt::install(printer)?)
}

fn cache(arguments: &CacheArgs, printer: &Printer, interrupt: Interrupt) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    libtorch()?;
    let source = OpenOptions { images: arguments.images.clone(), caption_column: arguments.caption_column.clone() };
    let Opened { dataset, warnings } = open(&arguments.data, &source)?;
    warnings.iter().for_each(|warning| printer.warn(warning));
    let folder = checkpoint::resolve(&arguments.checkpoint, &FILES, printer)?;
    let pipeline = PipelineFolder::open(&folder)?.checkpoint()?;
    let options = BuildOptions {
        resolution: arguments.resolution,
        batch: arguments.batch,
        flip: arguments.flip,
        precision: match arguments.precision {
            Precision::F16 => Dtype::F16,
            Precision::F32 => Dtype::F32,
        },
        device: arguments.device.device(),
        overwrite: arguments.overwrite,
        ..BuildOptions::default()
    };
    let bars = Bars { printer, interrupt, bar: RefCell::default() };
    let built = match build(&*dataset, &pipeline, &arguments.out, &options, &bars) {
        Err(error @ Error::Interrupted) => Err(error).exit_code(ExitCode::Incomplete),
        Err(error @ Error::File(files::Error::Occupied { .. })) => Err(error).hint("--overwrite replaces a cache"),
        other => Ok(other?),
    }?;
    drop(bars);
    if arguments.report.json {
        printer.json(&Report { cache: &arguments.out, built: &built })?;
    }
    let Built { pictures, captions, bytes, .. } = built;
    let [pictures, captions] = [pictures, captions].map(|count| human::exact(count as u64));
    let (bytes, time) = (human::bytes(bytes), human::duration(start.elapsed()));
    let out = arguments.out.display();
    printer.status("Cached", format_args!("{pictures} pictures and {captions} captions in {out} ({bytes}) in {time}"));
    Ok(ExitCode::Done)
}

/// Shows each stage.
struct Bars<'a> {
    printer: &'a Printer,
    interrupt: Interrupt,
    bar: RefCell<Option<Progress>>,
}

impl Watch for Bars<'_> {
    fn begin(&self, stage: Stage) {
        let bar = |total: usize, done: usize, unit| {
            let bar = self.printer.progress(total as u64, "Encoding", unit);
            bar.resume_at(done as u64);
            Some(bar)
        };
        // The bar before it goes first.
        self.bar.take();
        *self.bar.borrow_mut() = match stage {
            Stage::Hashing => {
                self.printer.status("Hashing", "the data set and the weights");
                None
            }
            Stage::Captions { total, done } => bar(total, done, "captions"),
            Stage::Pictures { total, done } => bar(total, done, "pictures"),
        };
    }

    fn encoded(&self, count: usize) {
        if let Some(bar) = &*self.bar.borrow() {
            bar.inc(count as u64);
        }
    }

    fn broken(&self, broken: &Broken) {
        self.printer.warn(format_args!("{broken}: it is left out"));
    }

    fn interrupted(&self) -> bool {
        self.interrupt.requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::image_folder;
    use clap::Parser;
    use pleach_console::ConsoleArgs;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        cache: CacheArgs,
    }

    fn arguments(folder: &Path, more: &[&str]) -> CacheArgs {
        let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sd2/pipeline");
        let [data, pipeline, out] = [folder, &pipeline, &folder.join("out")].map(|path| path.display().to_string());
        let words = ["cache", &data, "--checkpoint", &pipeline, "--resolution", "16", "--out", &out, "--device", "cpu"];
        Cli::try_parse_from([&words, more].concat()).unwrap().cache
    }

    #[test]
    fn it_makes_a_cache_and_reports_it() {
        let folder = image_folder(3);
        let (printer, captured) = Printer::captured(ConsoleArgs::default().settings());
        let run = |more: &[&str], interrupt| cache(&arguments(folder.path(), more), &printer, interrupt);
        let interrupt = Interrupt::manual();
        interrupt.request();
        let error = run(&[], interrupt).unwrap_err();
        assert_eq!(error.to_string(), "interrupted: the same command goes on where it stopped");
        assert_eq!(run(&["--json", "--flip"], Interrupt::manual()).unwrap(), ExitCode::Done);
        let report: serde_json::Value = serde_json::from_str(&captured.out()).unwrap();
        assert_eq!((&report["pictures"], &report["captions"]), (&3.into(), &4.into()));
        assert!(captured.err().contains("3 pictures and 4 captions in"), "{}", captured.err());
        let error = run(&["--flip"], Interrupt::manual()).unwrap_err();
        let message = "the folder TMP/out is not empty: choose another or ask to overwrite it";
        assert_eq!(folder.text(error), message);
        assert_eq!(run(&["--overwrite", "--precision", "f32"], Interrupt::manual()).unwrap(), ExitCode::Done);
    }

    #[test]
    fn all_that_the_encoders_need_is_fetched() {
        let fetched = |name: &str| FILES.iter().any(|pattern| glob::Pattern::new(pattern).unwrap().matches(name));
        for name in ["vae/config.json", "tokenizer/vocab.json", "vae/diffusion_pytorch_model.safetensors"] {
            assert!(fetched(name), "{name}");
        }
        assert!(fetched("text_encoder/model-00001-of-00002.safetensors"));
        for name in ["unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors"] {
            assert!(!fetched(name), "{name}");
        }
    }
}
