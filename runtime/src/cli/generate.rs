//! `pleach generate`: from prompts to PNG files.

use super::{output::Output, prompts, watch::Watch};
use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pleach_console::{ExitCode, Interrupt, Printer, ReportArgs, human};
use pleach_model::{files, samplers::SamplerKind};
use pleach_runtime::{
    args::{ProviderArgs, RuntimeArgs, open_bundle},
    bundle::Bundle,
    engine::Engine,
    pipeline::{Drawn, Error, Options, Picture, Pipeline, Request, Size},
    png::{self, Recipe},
};
use serde::Serialize;
use std::{num::NonZeroUsize, path::PathBuf, time::Instant};

/// The arguments of `pleach generate`.
#[derive(clap::Args)]
#[command(after_help = "Example: pleach generate BUNDLE \"a red star\" --seed 7 --steps 25 --out star.png")]
pub struct Args {
    /// What to draw with: the folder of a bundle or of an ONNX pipeline that Optimum exported, or a Hugging Face id: org/name or org/name@revision
    #[arg(value_name = "BUNDLE")]
    source: String,

    /// What to draw; each prompt is a picture of its own
    #[arg(value_name = "PROMPT")]
    prompt: Vec<String>,

    /// Read prompts from a file, one in each line (of a .jsonl file, its `prompt` or `text`); - is standard input
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// What to keep away from
    #[arg(long, value_name = "PROMPT", default_value = "", hide_default_value = true)]
    negative: String,

    /// Denoising steps
    #[arg(long, value_name = "N", default_value_t = 25)]
    steps: usize,

    /// How closely to follow the prompt; 1 draws without guidance, twice as fast
    #[arg(long, value_name = "SCALE", default_value_t = 7.5)]
    guidance: f64,

    /// Seed of the noise that a picture begins with: the same seed gives the same picture
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Pictures of each prompt, with seeds that follow each other
    #[arg(long, value_name = "N", default_value = "1")]
    count: NonZeroUsize,

    /// Size of the pictures [default: what the model was trained for]
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    size: Option<Size>,

    /// Sampler [default: the bundle's own]
    #[arg(long, value_name = "NAME", value_parser = sampler())]
    sampler: Option<SamplerKind>,

    /// Expert that draws all prompts [default: the bundle's router chooses for each]
    #[arg(long, value_name = "NAME")]
    expert: Option<String>,

    /// Folder to write to, or a file ending in .png for a single picture
    #[arg(long, short, value_name = "PATH", default_value = ".")]
    out: PathBuf,

    /// Replace files that hold other pictures
    #[arg(long)]
    overwrite: bool,

    /// Write nothing but the picture into the file
    #[arg(long)]
    no_metadata: bool,

    /// Pictures denoised in step; a picture is the same in every batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,

    #[command(flatten)]
    runtime: RuntimeArgs,

    #[command(flatten)]
    provider: ProviderArgs,

    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether every picture was drawn.
    complete: bool,
    seconds: f64,
    pictures: Vec<Written<'a>>,
}

#[derive(Serialize)]
struct Written<'a> {
    file: &'a PathBuf,
    recipe: &'a Recipe,
}

fn sampler() -> impl TypedValueParser<Value = SamplerKind> {
    PossibleValuesParser::new(SamplerKind::ALL.map(SamplerKind::name)).try_map(|name| name.parse::<SamplerKind>())
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut request = request(args)?;
    let providers = args.provider.providers()?;
    let output = Output::prepare(&args.out, &request.pictures)?;
    let bundle = open_bundle(&args.source, printer)?;
    request.check(&bundle)?;
    introduce(&bundle, args.expert.as_deref(), printer);
    let engine = Engine::start(&args.runtime.engine())?;
    let options = Options { expert: args.expert.clone(), ..args.runtime.options(providers) };
    let mut pipeline = Pipeline::open(bundle, &engine, options)?;

    let recipes = pipeline.recipes(&request)?;
    let mut done = output.drawn_before(&recipes, args.overwrite)?;
    let to_draw: Vec<usize> = (0..recipes.len()).filter(|index| done.get(*index) != Some(&true)).collect();
    if to_draw.len() < recipes.len() {
        let there = recipes.len() - to_draw.len();
        printer.note(format_args!("{there} of {} are there already, drawn in the same way", pictures(recipes.len())));
    }
    request.pictures = to_draw.iter().filter_map(|&index| request.pictures.get(index).cloned()).collect();

    let mut watch = Watch::new(printer, Interrupt::install(printer)?, &request);
    let save = |Drawn { index, image }: Drawn| -> anyhow::Result<()> {
        let number = to_draw.get(index).copied().unwrap_or_default();
        let (Some(file), Some(recipe), Some(done)) =
            (output.files().get(number), recipes.get(number), done.get_mut(number))
        else {
            return Ok(());
        };
        files::write(file, &png::encode(&image, (!args.no_metadata).then_some(recipe))?)?;
        *done = true;
        if args.report.json { Ok(()) } else { Ok(printer.line(file.display())?) }
    };
    let result = if to_draw.is_empty() { Ok(()) } else { pipeline.generate_each(&request, &mut watch, save) };
    drop(watch);
    let stopped = match result {
        Err(error) if matches!(error.downcast_ref(), Some(Error::Cancelled)) => true,
        other => other.map(|()| false)?,
    };
    let written = output.files().iter().zip(&recipes).zip(&done).filter(|(_, done)| **done);
    let written: Vec<_> = written.map(|((file, recipe), _)| Written { file, recipe }).collect();
    let count = written.len();
    if args.report.json {
        printer.json(&Report { complete: !stopped, seconds: begun.elapsed().as_secs_f64(), pictures: written })?;
    }
    if stopped {
        let rest = if args.no_metadata || args.overwrite { "" } else { "; the same command draws the rest" };
        printer.warn(format_args!("stopped after {count} of {}{rest}", pictures(recipes.len())));
        return Ok(ExitCode::Incomplete);
    }
    printer.status("Finished", format_args!("{} in {}", pictures(to_draw.len()), human::duration(begun.elapsed())));
    Ok(ExitCode::Done)
}

fn pictures(count: usize) -> String {
    if count == 1 { "1 picture".to_owned() } else { format!("{count} pictures") }
}

fn request(args: &Args) -> anyhow::Result<Request> {
    let mut all = args.prompt.clone();
    if let Some(file) = &args.prompts {
        all.extend(prompts::read(file)?);
    }
    if all.is_empty() {
        bail!("no prompt: write one after the bundle, or give --prompts FILE with one in each line");
    }
    let seeds =
        args.seed..args.seed.checked_add(args.count.get() as u64).context("seeds end at 18446744073709551615")?;
    let picture = |prompt: &String| {
        seeds.clone().map({
            let prompt = prompt.clone();
            move |seed| Picture { prompt: prompt.clone(), seed }
        })
    };
    Ok(Request {
        pictures: all.iter().flat_map(picture).collect(),
        negative: args.negative.clone(),
        steps: args.steps,
        guidance: args.guidance,
        sampler: args.sampler,
        size: args.size,
        batch: args.batch,
    })
}

/// Says what draws, and what does not.
fn introduce(bundle: &Bundle, expert: Option<&str>, printer: &Printer) {
    let mut what = bundle.name().to_owned();
    if let Some(manifest) = bundle.manifest() {
        let routed = manifest.components.router.is_some() && expert.is_none();
        let expert = expert.map_or_else(|| manifest.default_expert(), |name| manifest.expert(name));
        if routed {
            what += &format!(", {} experts behind a router", manifest.components.unet.len());
        } else if let Some(expert) = expert {
            let parameters = human::count(expert.component.parameters);
            what += &format!(
                ", expert {}: a UNet of {parameters} parameters in {}",
                expert.name, expert.component.precision
            );
        }
    }
    printer.status("Using", what);
    if bundle.has_safety_checker() {
        printer.warn("this pipeline names a safety checker, which is not run");
    }
}
