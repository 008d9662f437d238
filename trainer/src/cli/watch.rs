//! Progress of a run on the terminal.

use crate::run::{Event, Watch};
use pleach_console::{Interrupt, Printer, Progress};
use std::sync::Mutex;

/// Shows a run's steps, losses and files; ends it after Ctrl-C.
pub struct Shown<'a> {
    printer: &'a Printer,
    interrupt: &'a Interrupt,
    what: String,
    bar: Mutex<Option<(Progress, u64)>>,
}

impl<'a> Shown<'a> {
    /// Shows the run of this name.
    pub fn new(printer: &'a Printer, interrupt: &'a Interrupt, what: &str) -> Self {
        Self { printer, interrupt, what: what.to_owned(), bar: Mutex::default() }
    }
}

impl Watch for Shown<'_> {
    fn event(&self, event: Event<'_>) {
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Begin { step, steps } => {
                let progress = self.printer.progress(steps - step, &self.what, "steps");
                *bar = Some((progress, step));
            }
            Event::Step { report } => {
                if let Some((bar, at)) = bar.as_mut() {
                    let parts = report.means.iter().map(|(name, value)| format!("{name} {value:.4}"));
                    bar.message(parts.collect::<Vec<_>>().join(", "));
                    bar.inc(report.step - *at);
                    *at = report.step;
                }
            }
            Event::Sampled { path } => self.printer.status("Drew", path.display()),
            Event::Saved { .. } => {}
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupt.requested()
    }
}
