//! What was measured, for people and for programs.

use anyhow::Result;
use pleach_console::{Align, PrintError, Printer, Table, human};
use pleach_tests::stepping::{Settings, Timed, median};
use serde::Serialize;

/// The comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    parameters: u64,
    macs: u64,
    batch: usize,
    size: usize,
    threads: usize,
    /// The first is what the others are compared with.
    engines: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    timed: Timed,
    median_seconds: f64,
    /// Time of the first engine divided by this one's: how many times as fast.
    speed: f64,
    /// Largest difference from the first engine's output, in units of its largest number.
    difference: Option<f32>,
}

impl Report {
    pub fn new(settings: &Settings, engines: Vec<Timed>) -> Result<Self> {
        let count = settings.count()?;
        let first = engines.first().map(|timed| (median(&timed.step_seconds), timed.output.clone()));
        let row = |timed: Timed| {
            let median_seconds = median(&timed.step_seconds);
            let (speed, difference) = match (&first, &timed.output) {
                (Some((seconds, Some(expected))), Some(found)) => {
                    (seconds / median_seconds, Some(found.difference(expected) / expected.largest()))
                }
                _ => (1.0, None),
            };
            Row { timed, median_seconds, speed, difference }
        };
        Ok(Self {
            parameters: count.parameters(),
            macs: count.macs().exact * settings.batch as u64,
            batch: settings.batch,
            size: settings.size,
            threads: settings.threads.get(),
            engines: engines.into_iter().map(row).collect(),
        })
    }

    pub fn print(&self, printer: &Printer) -> Result<(), PrintError> {
        let Self { parameters, macs, batch, size, threads, engines } = self;
        let (parameters, macs) = (human::count(*parameters), human::count(*macs));
        printer.line(format_args!(
            "UNet of {parameters} parameters, {batch} x {size} x {size} latents ({macs} multiply-accumulates), {threads} threads"
        ))?;
        let (l, r) = (Align::Left, Align::Right);
        let mut table = Table::new([
            ("engine", l),
            ("precision", l),
            ("bytes", r),
            ("load", r),
            ("private", r),
            ("step (median)", r),
            ("min to max", r),
            ("speed", r),
            ("peak", r),
            ("private", r),
            ("difference", r),
        ]);
        for Row { timed, median_seconds, speed, difference } in engines {
            let seconds = |x: f64| format!("{x:.2} s");
            let bytes = |x: Option<u64>| x.map_or("?".into(), human::bytes);
            let steps = &timed.step_seconds;
            let least = steps.iter().copied().fold(f64::INFINITY, f64::min);
            let most = steps.iter().copied().fold(0.0, f64::max);
            table.row([
                timed.engine.to_string(),
                timed.precision.to_string(),
                human::bytes(timed.bytes),
                seconds(timed.load_seconds),
                bytes(timed.opened.private),
                seconds(*median_seconds),
                format!("{least:.2} to {most:.2} s"),
                format!("{speed:.2}x"),
                bytes(timed.stepped.peak),
                bytes(timed.stepped.private),
                difference.map_or("?".into(), |difference| format!("{difference:.1e}")),
            ]);
        }
        printer.table(&table)
    }
}
