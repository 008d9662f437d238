//! What an export tells at its end.

use pleach_console::{Align, PrintError, Printer, Table, human};
use pleach_exporter::{
    export::{Calibrated, Drawn, Exported},
    verify::{Compared, Difference, Limit},
};
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
    /// What calibration found, where weights are whole numbers.
    calibration: &'a [Calibrated],
    /// What `--verify` found.
    verification: &'a [Difference],
    /// Graphs that it could not run: those for CUDA where there is none.
    not_verified: Vec<&'a str>,
    /// Pictures beside those in f32.
    pictures: &'a [Drawn],
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
        let all = exported.components();
        let mut components: Vec<Row<'_>> = Vec::new();
        for &(name, component) in &all {
            let mut row = Row::new(name, component);
            // What experts share is told once.
            row.files.retain(|file| components.iter().flat_map(|row| &row.files).all(|known| known.file != file.file));
            components.push(row);
        }
        let is_verified = |file: &str| exported.differences.iter().any(|difference| difference.file == file);
        let graphs = all.iter().flat_map(|(_, component)| &component.graphs).map(|graph| graph.file.as_str());
        let not_verified = graphs.filter(|file| !exported.differences.is_empty() && !is_verified(file)).collect();
        Self {
            bundle: exported.folder.as_deref(),
            components,
            calibration: &exported.calibrated,
            verification: &exported.differences,
            not_verified,
            pictures: &exported.drawn,
        }
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
        for Calibrated { expert, layers } in self.calibration {
            let wide: Vec<&str> = layers.iter().filter(|layer| layer.kept == 32).map(|l| l.layer.as_str()).collect();
            let names = if wide.is_empty() { String::new() } else { format!(": {}", wide.join(", ")) };
            printer.line(format_args!("\n{expert}: {} of {} layers stay wide{names}", wide.len(), layers.len()))?;
        }
        if !self.verification.is_empty() {
            self.print_verification(printer)?;
        }
        if !self.pictures.is_empty() {
            self.print_pictures(printer)?;
        }
        Ok(())
    }

    fn print_pictures(&self, printer: &Printer) -> Result<(), PrintError> {
        let columns =
            [("expert", Align::Left), ("PSNR", Align::Right), ("changed", Align::Left), ("prompt", Align::Left)];
        let mut table = Table::new(columns);
        for Drawn { expert, prompt, psnr, changed } in self.pictures {
            let psnr = psnr.map_or("the same".to_owned(), |psnr| format!("{psnr:.1} dB"));
            table.row([expert.clone(), psnr, changed.join(", "), prompt.clone()]);
        }
        printer.line("")?;
        printer.table(&table)
    }

    fn print_verification(&self, printer: &Printer) -> Result<(), PrintError> {
        let columns = [
            ("graph", Align::Left),
            ("output", Align::Left),
            ("shape", Align::Left),
            ("at", Align::Right),
            ("largest difference", Align::Right),
            ("relative", Align::Right),
            ("RMS", Align::Right),
            ("cosine", Align::Right),
            ("", Align::Left),
        ];
        let mut table = Table::new(columns);
        for difference in self.verification {
            let Difference { file, output, of, timestep, shape, max_abs, max_rel, rms, cosine, limit } = difference;
            let shape = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            let verdict = match limit {
                _ if difference.passed() => "ok".to_owned(),
                Limit::Largest(most) => format!("a relative difference above {most:.0e}"),
                Limit::Rms(most) => format!("an RMS above {most}"),
                Limit::Cosine(least) => format!("a cosine below {least}"),
            };
            let output = match of {
                Compared::Result => output.clone(),
                Compared::Conditioning => format!("{output}, prompt less prompt"),
            };
            let at = timestep.map_or_else(String::new, |timestep| timestep.to_string());
            let [max_abs, max_rel, rms] = [max_abs, max_rel, rms].map(|number| format!("{number:.1e}"));
            table.row([file.clone(), output, shape, at, max_abs, max_rel, rms, format!("{cosine:.9}"), verdict]);
        }
        printer.line("")?;
        printer.table(&table)?;
        if !self.not_verified.is_empty() {
            printer.line(format_args!("not verified, for want of CUDA: {}", self.not_verified.join(", ")))?;
        }
        Ok(())
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
