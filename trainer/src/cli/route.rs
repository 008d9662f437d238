//! `pleach-train route`: which expert of a family a prompt goes to.

use super::place::Place;
use crate::{
    data::{OpenOptions, Opened, open},
    libtorch::libtorch,
    prune::{PromptRouter, route, write_routes},
};
use anyhow::{bail, ensure};
use clap::Args;
use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table};
use pleach_model::family::FamilyFolder;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `pleach-train route`.
#[derive(Args, Clone, Debug)]
pub struct RouteArgs {
    /// Folder of the family
    #[arg(value_name = "FAMILY")]
    family: PathBuf,
    /// Prompts to route
    #[arg(value_name = "PROMPT")]
    prompts: Vec<String>,
    /// Route every caption of these data instead: an image folder or a captions file of MS-COCO
    #[arg(long, value_name = "PATH", requires = "out", conflicts_with = "prompts")]
    captions: Option<PathBuf>,
    /// Folder of the pictures of a captions file, where they are not beside it
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Where to write the captions' routes, a JSON object in each line; `routed.routes` of finetune's recipe names it
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = Place::Auto)]
    device: Place,
    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the command.
///
/// # Errors
/// No family, one without a router, data that cannot be opened.
pub fn run(arguments: &RouteArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    ensure!(
        arguments.captions.is_some() || !arguments.prompts.is_empty(),
        "there is nothing to route: give prompts, or --captions"
    );
    libtorch()?;
    let family = FamilyFolder::open(&arguments.family)?;
    let Some(router) = PromptRouter::open(&family, arguments.device.device())? else {
        bail!("{} has no router: its experts are chosen by name", arguments.family.display());
    };
    let names: Vec<String> = family.manifest().experts.iter().map(|expert| expert.name.clone()).collect();
    if let (Some(captions), Some(out)) = (&arguments.captions, &arguments.out) {
        let source = OpenOptions { images: arguments.images.clone(), caption_column: None };
        let Opened { dataset, warnings } = open(captions, &source)?;
        warnings.iter().for_each(|warning| printer.warn(warning));
        let bar = printer.progress(dataset.len() as u64, "Routing", "captions");
        let routes = route(&*dataset, &router, &names, &|done| bar.set(done as u64))?;
        drop(bar);
        write_routes(out, &routes)?;
        let count = |name: &String| routes.iter().filter(|route| route.expert == *name).count();
        if arguments.report.json {
            let experts: Vec<_> = names.iter().map(|name| json!({ "name": name, "captions": count(name) })).collect();
            printer.json(&json!({ "routes": out, "captions": routes.len(), "experts": experts }))?;
        } else {
            let mut table = Table::new([("expert", Align::Left), ("captions", Align::Right)]);
            names.iter().for_each(|name| {
                table.row([name.clone(), count(name).to_string()]);
            });
            printer.table(&table)?;
        }
        printer.status("Wrote", out.display());
        return Ok(ExitCode::Done);
    }
    let routes = router.routes(&arguments.prompts)?;
    if arguments.report.json {
        let each = arguments.prompts.iter().zip(&routes).map(|(prompt, route)| {
            json!({ "prompt": prompt, "expert": names.get(route.expert), "margin": route.margin, "scores": route.scores })
        });
        printer.json(&each.collect::<Vec<_>>())?;
        return Ok(ExitCode::Done);
    }
    let mut table = Table::new([("expert", Align::Left), ("margin", Align::Right), ("prompt", Align::Left)]);
    for (prompt, route) in arguments.prompts.iter().zip(&routes) {
        let name = names.get(route.expert).cloned().unwrap_or_default();
        table.row([name, format!("{:.4}", route.margin), prompt.clone()]);
    }
    printer.table(&table)?;
    Ok(ExitCode::Done)
}
