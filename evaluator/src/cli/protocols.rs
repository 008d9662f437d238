//! `pleach-audit protocols`: what a suite is drawn and measured by.

use pleach_console::{Align, ExitCode, Printer, ReportArgs, Table};
use pleach_evaluator::protocol::{Known, Measure, Protocol};
use pleach_model::files::Sha256;
use serde::Serialize;

/// The arguments of `pleach-audit protocols`.
#[derive(clap::Args)]
pub struct Args {
    /// The protocol to show: its id, or the path of a file with one of your own
    #[arg(value_name = "ID|FILE")]
    protocol: Option<String>,
    #[command(flatten)]
    report: ReportArgs,
}

/// What `--json` prints of one, or of each.
#[derive(Serialize)]
struct Report<'a> {
    /// Hash of what the protocol says.
    sha256: Sha256,
    #[serde(flatten)]
    protocol: &'a Protocol,
}

impl<'a> Report<'a> {
    fn new(protocol: &'a Protocol) -> Self {
        Self { sha256: protocol.digest(), protocol }
    }
}

/// Runs the command.
pub fn run(args: &Args, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &args.protocol {
        Some(name) => {
            let text = Protocol::source_text(name)?;
            let protocol = Protocol::parse(name, &text)?;
            if args.report.json {
                printer.json(&Report::new(&protocol))?;
            } else {
                printer.line(format_args!("# sha256 {}", protocol.digest()))?;
                printer.line(text.trim_end())?;
            }
        }
        None => {
            let protocols = Protocol::presets()?;
            if args.report.json {
                printer.json(&protocols.iter().map(Report::new).collect::<Vec<_>>())?;
            } else {
                list(&protocols, printer)?;
            }
        }
    }
    Ok(ExitCode::Done)
}

fn list(protocols: &[Protocol], printer: &Printer) -> anyhow::Result<()> {
    let columns = [("protocol", Align::Left), ("rows", Align::Right), ("measures", Align::Left), ("", Align::Left)];
    let mut table = Table::new(columns);
    for Protocol { id, about, prompts, measures, .. } in protocols {
        let about = about.split(['.', ':', ';', ',', '(']).next().unwrap_or_default().replace('\n', " ");
        table.row([id.clone(), rows(&prompts.known), kinds(measures), about]);
    }
    printer.table(&table)?;
    Ok(())
}

/// The numbers of rows of the known files, each once.
fn rows(known: &[Known]) -> String {
    let mut rows: Vec<usize> = known.iter().map(|known| known.rows).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// The kinds of measure with their numbers: `3 asked, frechet`.
fn kinds(measures: &[Measure]) -> String {
    let alike = measures.chunk_by(|a, b| a.kind_name() == b.kind_name());
    let name = |some: &[Measure]| match some {
        [] => String::new(),
        [one] => one.kind_name().to_owned(),
        [one, ..] => format!("{} {}", some.len(), one.kind_name()),
    };
    alike.map(name).collect::<Vec<_>>().join(", ")
}
