//! `pleach inspect`: what a bundle holds, and how a picture was made.

use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table, human};
use pleach_model::manifest::Port;
use pleach_runtime::{
    args::{ProviderArgs, open_bundle},
    bundle::{Bundle, Inspection, NetworkInspection},
    engine::{Engine, EngineOptions, Providers, Share},
    pipeline::{Placed, Size, placements},
    png::{self, Description},
};
use serde::Serialize;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The arguments of `pleach inspect`.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle, an ONNX pipeline that Optimum exported, their Hugging Face id, or a picture (PNG)
    #[arg(value_name = "BUNDLE|PICTURE")]
    source: String,

    /// Size of the pictures that providers are to compile for [default: what the model was trained for]
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    size: Option<Size>,

    /// ONNX Runtime to use [default: $ORT_DYLIB_PATH, beside this program, the system's]
    #[arg(long, value_name = "FILE")]
    ort_lib: Option<PathBuf>,

    #[command(flatten)]
    provider: ProviderArgs,

    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints of a bundle.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    /// Only where providers are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    placements: Option<&'a [Placed]>,
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    let file = Path::new(&args.source);
    if is_png(file) {
        let description = png::describe(file)?;
        if args.report.json {
            printer.json(&description)?;
        } else {
            picture(&description, printer)?;
        }
    } else {
        let providers = args.provider.providers()?;
        let bundle = open_bundle(&args.source, printer)?;
        let inspection = bundle.inspect()?;
        let placements = args.provider.given().then(|| place(&bundle, args, &providers)).transpose()?;
        let placements = placements.as_deref();
        if args.report.json {
            printer.json(&Report { inspection: &inspection, placements })?;
        } else {
            tell(&inspection, printer)?;
            placements.map_or(Ok(()), |placements| tell_placements(placements, printer))?;
        }
    }
    Ok(ExitCode::Done)
}

/// Whether the file begins as every PNG file does.
fn is_png(file: &Path) -> bool {
    let mut start = [0; 8];
    file.is_file()
        && File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *b"\x89PNG\r\n\x1a\n"
}

fn picture(description: &Description, printer: &Printer) -> anyhow::Result<()> {
    let Description { width, height, recipe, parameters } = description;
    let Some(recipe) = recipe else {
        printer.line(format_args!("size        {width}x{height}"))?;
        match parameters {
            Some(text) => printer.line(text)?,
            None => printer.note("the picture does not say how it was made"),
        }
        return Ok(());
    };
    let mut lines = vec![("prompt", recipe.prompt.clone())];
    lines.extend((!recipe.negative.is_empty()).then(|| ("negative", recipe.negative.clone())));
    lines.extend([
        ("seed", recipe.seed.to_string()),
        ("steps", recipe.steps.to_string()),
        ("sampler", recipe.sampler.to_string()),
        ("guidance", recipe.guidance.to_string()),
        ("size", recipe.size.to_string()),
    ]);
    lines.extend(recipe.tile.map(|tile| ("tiles", format!("decoded in tiles of {tile}"))));
    lines.push(("model", recipe.model.name.clone()));
    lines.extend(recipe.model.expert.clone().map(|expert| ("expert", expert)));
    lines.extend(recipe.model.sha256.map(|hash| ("manifest", format!("sha256 {hash}"))));
    lines.push((
        "drawn by",
        format!("pleach {} with ONNX Runtime {}", recipe.software.pleach, recipe.software.onnxruntime),
    ));
    for (name, value) in lines {
        printer.line(format_args!("{name:<11} {}", value.replace('\n', "\n            ")))?;
    }
    Ok(())
}

fn place(bundle: &Bundle, args: &Args, providers: &Providers) -> anyhow::Result<Vec<Placed>> {
    let engine = Engine::start(&EngineOptions { dylib: args.ort_lib.clone(), threads: None })?;
    Ok(placements(bundle, &engine, providers, args.size)?)
}

fn tell_placements(placements: &[Placed], printer: &Printer) -> anyhow::Result<()> {
    let mut table = Table::new([
        ("network", Align::Left),
        ("graph", Align::Left),
        ("provider", Align::Left),
        ("nodes", Align::Right),
        ("pieces", Align::Right),
    ]);
    for Placed { component, expert, graph, placement, .. } in placements {
        let mut network = (*component).to_owned();
        network += &expert.iter().map(|expert| format!(" {expert}")).collect::<String>();
        for Share { provider, nodes, pieces, .. } in placement.shares() {
            let (network, graph) = (std::mem::take(&mut network), graph.clone());
            table.row([network, graph, provider.clone(), nodes.to_string(), pieces.to_string()]);
        }
    }
    printer.line("")?;
    printer.table(&table)?;
    for Placed { graph, placement, .. } in placements {
        // What the first one leaves is what people want to know.
        for Share { provider, operators, .. } in placement.shares().iter().skip(1) {
            let operators: Vec<_> = operators.iter().map(|(name, count)| format!("{count} {name}")).collect();
            printer.note(format_args!("{graph}: {provider} computes {}", operators.join(", ")));
        }
    }
    Ok(())
}

fn tell(inspection: &Inspection, printer: &Printer) -> anyhow::Result<()> {
    let Inspection { name, producer, default_size, size_multiple, prediction_type, .. } = inspection;
    let sampler = inspection.sampler.map_or("a sampler that is not known".to_owned(), |sampler| sampler.to_string());
    let mut lines = vec![
        ("bundle", name.clone()),
        ("written by", producer.clone()),
        ("draws", format!("{default_size}, or any size divisible by {size_multiple}")),
        ("sampler", format!("{sampler}, the UNet predicts {prediction_type}")),
    ];
    if !inspection.suppressed.is_empty() {
        lines.push(("suppressed", inspection.suppressed.join(", ")));
    }
    if inspection.safety_checker {
        lines.push(("note", "the pipeline names a safety checker, which is not run".to_owned()));
    }
    if let Some(hash) = inspection.sha256 {
        lines.push(("manifest", format!("sha256 {hash}")));
    }
    for (name, value) in lines {
        printer.line(format_args!("{name:<11} {value}"))?;
    }

    let mut networks = Table::new([
        ("network", Align::Left),
        ("precision", Align::Left),
        ("parameters", Align::Right),
        ("MACs", Align::Right),
        ("size", Align::Right),
        ("flavours", Align::Left),
    ]);
    let mut ports = Table::new([("network", Align::Left), ("takes", Align::Left), ("gives", Align::Left)]);
    for network in &inspection.networks {
        networks.row([
            title(network),
            network.precision.to_string(),
            human::exact(network.parameters),
            human::count(network.macs.exact),
            human::bytes(network.bytes()),
            flavours(network),
        ]);
        let rows = network.inputs.len().max(network.outputs.len());
        for row in 0..rows {
            let first = if row == 0 { title(network) } else { String::new() };
            let cell = |ports: &[Port]| ports.get(row).map(port).unwrap_or_default();
            ports.row([first, cell(&network.inputs), cell(&network.outputs)]);
        }
    }
    printer.line("")?;
    printer.table(&networks)?;
    printer.line("")?;
    printer.table(&ports)?;
    let at = inspection.counted_at;
    printer.note(format_args!("MACs of one pass at {}x{} latents and {} tokens", at.height, at.width, at.tokens));
    Ok(())
}

/// `unet large (default)`
fn title(network: &NetworkInspection) -> String {
    let mut title = network.component.to_owned();
    if let Some(expert) = &network.expert {
        title += &format!(" {expert}");
    }
    if network.default == Some(true) {
        title += " (default)";
    }
    title
}

fn flavours(network: &NetworkInspection) -> String {
    network.graphs.iter().map(|graph| graph.flavour.to_string()).collect::<Vec<_>>().join(", ")
}

/// `sample: f32 [batch, 4, height, width]`
fn port(port: &Port) -> String {
    use pleach_model::manifest::Dim;
    let dim = |dim: &Dim| match dim {
        Dim::Known(size) => size.to_string(),
        Dim::Symbol(name) => name.clone(),
    };
    format!("{}: {} [{}]", port.name, port.dtype, port.dims.iter().map(dim).collect::<Vec<_>>().join(", "))
}
