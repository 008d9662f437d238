//! `pleach route`: which expert of a bundle draws a prompt.

use super::prompts;
use anyhow::{Context, bail, ensure};
use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table, human};
use pleach_runtime::{
    args::open_bundle,
    engine::{CACHE_LIMIT, Engine, EngineOptions, HostCache, NetworkOptions},
    pipeline::Router,
};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// The arguments of `pleach route`.
#[derive(clap::Args)]
pub struct Args {
    /// The bundle: a folder, or a Hugging Face id: org/name or org/name@revision
    #[arg(value_name = "BUNDLE")]
    source: String,

    /// Prompts to route
    #[arg(value_name = "PROMPT")]
    prompt: Vec<String>,

    /// Read prompts from a file, one in each line (of a .jsonl file, its `prompt` or `text`); - is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// ONNX Runtime to use [default: $ORT_DYLIB_PATH, beside this program, the system's]
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,

    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints of a prompt.
#[derive(Serialize)]
struct Routed<'a> {
    prompt: &'a str,
    expert: &'a str,
    /// Its score less the next one's.
    margin: f32,
    /// By the experts' names.
    scores: Vec<Score<'a>>,
    /// Multiply-accumulates of one pass of the expert.
    macs: u64,
}

#[derive(Serialize)]
struct Score<'a> {
    expert: &'a str,
    score: f32,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut all = args.prompt.clone();
    if let Some(file) = &args.file {
        all.extend(prompts::read(file)?);
    }
    ensure!(!all.is_empty(), "no prompt: write one after the bundle, or give --file FILE with one in each line");
    let bundle = open_bundle(&args.source, printer)?;
    let engine = Engine::start(&EngineOptions { dylib: args.ort_lib.clone(), threads: None })?;
    let options = NetworkOptions { cache: HostCache::of_user(CACHE_LIMIT), ..NetworkOptions::default() };
    let (Some(mut router), Some(manifest)) = (Router::open(&bundle, &engine, &options)?, bundle.manifest()) else {
        bail!("{} has no router: every prompt is drawn by the same expert", bundle.name());
    };
    let names = router.experts().to_vec();
    let begun = Instant::now();
    let routes = all.iter().map(|prompt| router.route(prompt)).collect::<Result<Vec<_>, _>>()?;
    let each = begun.elapsed() / u32::try_from(all.len()).unwrap_or(u32::MAX);
    let rows = all.iter().zip(&routes).map(|(prompt, route)| {
        let expert =
            manifest.components.unet.get(route.expert).context("the router chose an expert that is not there")?;
        let scores = names.iter().zip(&route.scores).map(|(expert, &score)| Score { expert, score });
        Ok(Routed {
            prompt,
            expert: &expert.name,
            margin: route.margin,
            scores: scores.collect(),
            macs: expert.component.macs.exact,
        })
    });
    let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
    if args.report.json {
        printer.json(&rows)?;
    } else {
        let fixed = [("expert", Align::Left), ("margin", Align::Right), ("MACs", Align::Right)];
        let scores = names.iter().map(|name| (name.as_str(), Align::Right));
        let columns: Vec<_> = fixed.into_iter().chain(scores).chain([("prompt", Align::Left)]).collect();
        let mut table = Table::new(columns);
        for Routed { prompt, expert, margin, scores, macs } in &rows {
            let mut row = vec![(*expert).to_owned(), format!("{margin:.4}"), human::count(*macs)];
            row.extend(scores.iter().map(|score| format!("{:.4}", score.score)));
            row.push((*prompt).to_owned());
            table.row(row);
        }
        printer.table(&table)?;
    }
    printer.status("Routed", format_args!("{} prompts, {} each", all.len(), human::duration(each)));
    Ok(ExitCode::Done)
}
