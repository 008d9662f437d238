//! What was measured, for people and for programs.

use crate::contender::Timed;
use pleach_console::{Align, PrintError, Printer, Table, human};
use pleach_model::counter;
use pleach_tests::stepping::median;
use serde::Serialize;

/// The comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    parameters: u64,
    batch: usize,
    size: usize,
    threads: usize,
    ours: Row,
    peer: Row,
    /// Our time divided by PyTorch's: the median over steps that followed each other.
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    timed: Timed,
    median_seconds: f64,
}

impl Report {
    pub fn new(counted: &counter::Report, [batch, size, threads]: [usize; 3], [ours, peer]: [Timed; 2]) -> Self {
        let seconds = |timed: &Timed| timed.steps.iter().skip(1).map(|step| step.seconds).collect::<Vec<_>>();
        let pairs = seconds(&ours).into_iter().zip(seconds(&peer));
        let ratio = median(&pairs.map(|(ours, peer)| ours / peer).collect::<Vec<_>>());
        let row = |timed: Timed| Row { median_seconds: median(&seconds(&timed)), timed };
        Self { parameters: counted.parameters(), batch, size, threads, ours: row(ours), peer: row(peer), ratio }
    }

    /// Largest relative difference of the losses.
    pub fn apart(&self) -> f64 {
        let pairs = self.ours.timed.steps.iter().zip(&self.peer.timed.steps);
        pairs.map(|(a, b)| (a.loss - b.loss).abs() / b.loss.abs()).fold(0.0, f64::max)
    }

    pub fn print(&self, printer: &Printer) -> Result<(), PrintError> {
        let Self { parameters, batch, size, threads, ours, peer, ratio } = self;
        let parameters = human::count(*parameters);
        printer.line(format_args!(
            "UNet of {parameters} parameters, batch {batch}, {size} x {size} latents, f32, {threads} threads"
        ))?;
        let (l, r) = (Align::Left, Align::Right);
        let mut table = Table::new([("", l), ("step (median)", r), ("min to max", r), ("peak", r)]);
        for Row { timed, median_seconds } in [ours, peer] {
            let steps = timed.steps.iter().skip(1).map(|step| step.seconds);
            let (least, most) = (steps.clone().fold(f64::INFINITY, f64::min), steps.fold(0.0, f64::max));
            table.row([
                timed.name.to_owned(),
                format!("{median_seconds:.3} s"),
                format!("{least:.3} to {most:.3} s"),
                timed.peak.map_or("?".into(), human::bytes),
            ]);
        }
        printer.table(&table)?;
        printer.line(format_args!("ratio (median of pairs) {ratio:.3}; losses at most {:.1e} apart", self.apart()))
    }
}
