//! What was measured of a large network, for people and for programs.

use crate::resident::Resident;
use anyhow::Result;
use pleach_console::{Align, Printer, Table, human};
use pleach_model::manifest::Precision;
use pleach_tests::stepping::{Engine, Settings, Timed, median};
use serde::Serialize;

/// Everything.
#[derive(Serialize)]
pub struct Report {
    parameters: u64,
    /// Multiply-accumulates of a step of the whole network.
    macs: u64,
    batch: usize,
    size: usize,
    threads: usize,
    exported: Vec<Exported>,
    contests: Vec<Contest>,
    resident: Vec<Resident>,
}

/// An export for the CPU.
#[derive(Serialize)]
pub struct Exported {
    pub share: f64,
    pub precision: Precision,
    /// Seconds, calibration included.
    pub seconds: f64,
    /// Of the graph for the CPU and its weights.
    pub bytes: u64,
}

/// Networks that took turns.
#[derive(Serialize)]
pub struct Contest {
    name: &'static str,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    share: f64,
    /// Of the whole network's multiply-accumulates.
    macs: f64,
    #[serde(flatten)]
    timed: Timed,
    median_seconds: f64,
    /// Median of the times over those of the same expert in f32 for the CPU, round by round.
    over_f32: Option<f64>,
    /// The same over those of the whole network in the same precision.
    over_whole: Option<f64>,
    /// Largest difference from the output of the same expert in f32, in units of its largest number.
    difference: Option<f32>,
}

impl Contest {
    pub fn new<'a>(
        name: &'static str,
        timed: impl Iterator<Item = ((f64, Engine, &'a Settings), Timed)>,
    ) -> Result<Self> {
        let counted = timed.map(|((share, _, settings), timed)| Ok((share, settings.count()?.macs().exact, timed)));
        let counted = counted.collect::<Result<Vec<_>>>()?;
        let find = |share: f64, engine: Engine, precision: Precision| {
            let is = |(other, _, timed): &&(f64, u64, Timed)| {
                *other == share && timed.engine == engine && timed.precision == precision
            };
            counted.iter().find(is)
        };
        let over = |timed: &Timed, other: Option<&(f64, u64, Timed)>| {
            let pairs = timed.step_seconds.iter().zip(&other?.2.step_seconds).map(|(own, other)| own / other);
            Some(median(&pairs.collect::<Vec<_>>()))
        };
        let all = find(1.0, Engine::Cpu, Precision::F32).map_or(f64::NAN, |(_, macs, _)| *macs as f64);
        let figures = counted.iter().map(|(share, macs, timed)| {
            let f32 = find(*share, Engine::Cpu, Precision::F32);
            let outputs = timed.output.as_ref().zip(f32.and_then(|(_, _, f32)| f32.output.as_ref()));
            let difference = outputs.map(|(found, expected)| found.difference(expected) / expected.largest());
            let whole = find(1.0, timed.engine, timed.precision);
            (*macs as f64 / all, over(timed, f32), over(timed, whole), difference)
        });
        let figures: Vec<_> = figures.collect();
        let rows = counted.into_iter().zip(figures);
        let rows = rows.map(|((share, _, timed), (macs, over_f32, over_whole, difference))| Row {
            share,
            macs,
            median_seconds: median(&timed.step_seconds),
            over_f32,
            over_whole,
            difference,
            timed,
        });
        Ok(Self { name, rows: rows.collect() })
    }

    fn print(&self, printer: &Printer) -> Result<()> {
        let (l, r) = (Align::Left, Align::Right);
        let mut table = Table::new([
            ("expert", l),
            ("precision", l),
            ("engine", l),
            ("bytes", r),
            ("load", r),
            ("step (median)", r),
            ("min to max", r),
            ("over f32", r),
            ("MACs", r),
            ("over whole", r),
            ("peak", r),
            ("private", r),
            ("difference", r),
        ]);
        for row in &self.rows {
            let Row { share, macs, timed, median_seconds, over_f32, over_whole, difference } = row;
            let ratio = |ratio: &Option<f64>| ratio.map_or("-".into(), |ratio| format!("{ratio:.3}"));
            let steps = &timed.step_seconds;
            let least = steps.iter().copied().fold(f64::INFINITY, f64::min);
            let most = steps.iter().copied().fold(0.0, f64::max);
            table.row([
                share.to_string(),
                timed.precision.to_string(),
                timed.engine.to_string(),
                human::bytes(timed.bytes),
                format!("{:.2} s", timed.load_seconds),
                format!("{median_seconds:.3} s"),
                format!("{least:.3} to {most:.3} s"),
                ratio(over_f32),
                format!("{macs:.3}"),
                ratio(over_whole),
                bytes(timed.stepped.peak),
                bytes(timed.stepped.dirty),
                difference.map_or("-".into(), |difference| format!("{difference:.1e}")),
            ]);
        }
        printer.line(format_args!("\nBeside each other: {}", self.name))?;
        Ok(printer.table(&table)?)
    }
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or("?".into(), human::bytes)
}

impl Report {
    pub fn new(
        whole: &Settings,
        exported: Vec<Exported>,
        contests: Vec<Contest>,
        resident: Vec<Resident>,
    ) -> Result<Self> {
        let count = whole.count()?;
        Ok(Self {
            parameters: count.parameters(),
            macs: count.macs().exact * whole.batch as u64,
            batch: whole.batch,
            size: whole.size,
            threads: whole.threads.get(),
            exported,
            contests,
            resident,
        })
    }

    pub fn print(&self, printer: &Printer) -> Result<()> {
        let Self { parameters, macs, batch, size, threads, exported, contests, resident } = self;
        let (parameters, macs) = (human::count(*parameters), human::count(*macs));
        printer.line(format_args!(
            "UNet of {parameters} parameters, {batch} x {size} x {size} latents ({macs} multiply-accumulates), {threads} threads"
        ))?;
        let (l, r) = (Align::Left, Align::Right);
        let mut table = Table::new([("expert", l), ("precision", l), ("exported in", r), ("bytes", r)]);
        for Exported { share, precision, seconds, bytes } in exported {
            table.row([share.to_string(), precision.to_string(), format!("{seconds:.1} s"), human::bytes(*bytes)]);
        }
        printer.table(&table)?;
        contests.iter().try_for_each(|contest| contest.print(printer))?;
        printer.line("\nIn one process, through the host cache, one after the other")?;
        let mut table = Table::new([
            ("precision", l),
            ("engine", l),
            ("experts", l),
            ("opened: dirty", r),
            ("clean", r),
            ("stepped: dirty", r),
            ("clean", r),
            ("peak", r),
        ]);
        for Resident { precision, engine, experts } in resident {
            let mut names = Vec::new();
            for expert in experts {
                names.push(expert.share.to_string());
                let (opened, stepped) = (&expert.opened, &expert.stepped);
                let figures = [opened.dirty, opened.clean, stepped.dirty, stepped.clean, stepped.peak].map(bytes);
                table.row([precision.to_string(), engine.to_string(), names.join(" + ")].into_iter().chain(figures));
            }
        }
        Ok(printer.table(&table)?)
    }
}
