//! What an export tells at its end.

use pleach_console::{Align, PrintError, Printer, Table, human};
use pleach_exporter::{export::Exported, verify::Difference};
use pleach_model::{
    counter::Macs,
    manifest::{Component, Precision},
};
use serde::Serialize;
use std::path::Path;

/// The report, which `--json` prints as it is.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    /// The bundle; none where it was not kept.
    bundle: Option<&'a Path>,
    components: Vec<Row<'a>>,
    /// What `--verify` found.
    verification: &'a [Difference],
}

#[derive(Serialize)]
struct Row<'a> {
    component: &'static str,
    precision: Precision,
    parameters: u64,
    macs: Macs,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    file: &'a str,
    bytes: u64,
}

impl<'a> Report<'a> {
    pub fn new(exported: &'a Exported) -> Self {
        let mut components: Vec<Row<'_>> = Vec::new();
        for (name, component) in exported.components() {
            let mut row = Row::new(name, component);
            // What experts share is told once.
            row.files.retain(|file| components.iter().flat_map(|row| &row.files).all(|known| known.file != file.file));
            components.push(row);
        }
        Self { bundle: exported.folder.as_deref(), components, verification: &exported.differences }
    }

    /// Size of all networks together.
    pub fn bytes(&self) -> u64 {
        self.components.iter().flat_map(|row| &row.files).map(|file| file.bytes).sum()
    }

    pub fn print(&self, printer: &Printer) -> Result<(), PrintError> {
        let columns = [
            ("component", Align::Left),
            ("file", Align::Left),
            ("size", Align::Right),
            ("parameters", Align::Right),
            ("MACs", Align::Right),
        ];
        let mut table = Table::new(columns);
        for Row { component, parameters, macs, files, .. } in &self.components {
            for (i, File { file, bytes }) in files.iter().enumerate() {
                let name = file.rsplit('/').next().unwrap_or(file).to_owned();
                let size = human::bytes(*bytes);
                table.row(if i == 0 {
                    vec![(*component).to_owned(), name, size, human::exact(*parameters), human::count(macs.exact)]
                } else {
                    vec![String::new(), name, size]
                });
            }
        }
        printer.table(&table)?;
        if self.verification.is_empty() { Ok(()) } else { self.print_verification(printer) }
    }

    fn print_verification(&self, printer: &Printer) -> Result<(), PrintError> {
        let columns = [
            ("graph", Align::Left),
            ("output", Align::Left),
            ("shape", Align::Left),
            ("largest difference", Align::Right),
            ("relative", Align::Right),
            ("cosine", Align::Right),
            ("", Align::Left),
        ];
        let mut table = Table::new(columns);
        for difference in self.verification {
            let Difference { file, output, shape, max_abs, max_rel, cosine, tolerance } = difference;
            let shape = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            let verdict =
                if difference.passed() { "ok".to_owned() } else { format!("more than the {tolerance:.0e} allowed") };
            let (max_abs, max_rel) = (format!("{max_abs:.1e}"), format!("{max_rel:.1e}"));
            table.row([file.clone(), output.clone(), shape, max_abs, max_rel, format!("{cosine:.9}"), verdict]);
        }
        printer.line("")?;
        printer.table(&table)
    }
}

impl<'a> Row<'a> {
    fn new(name: &'static str, component: &'a Component) -> Self {
        let weights = component.weights.iter().map(|entry| File { file: &entry.file, bytes: entry.bytes });
        let graphs = component.graphs.iter().map(|graph| File { file: &graph.file, bytes: graph.bytes });
        Self {
            component: name,
            precision: component.precision,
            parameters: component.parameters,
            macs: component.macs,
            files: graphs.chain(weights).collect(),
        }
    }
}
