//! Progress of an export on the terminal, and Ctrl-C.

use pleach_console::{Interrupt, Printer, Progress};
use pleach_exporter::watch::{Stage, Watch};
use std::sync::{Mutex, PoisonError};

/// Shows each stage.
pub(super) struct Bars {
    printer: Printer,
    interrupt: Interrupt,
    bar: Mutex<Option<Progress>>,
}

impl Bars {
    pub fn new(printer: &Printer, interrupt: Interrupt) -> Self {
        Self { printer: printer.clone(), interrupt, bar: Mutex::new(None) }
    }
}

impl Watch for Bars {
    fn begin(&self, stage: Stage) {
        let bar = match stage {
            Stage::Writing { bytes } => Some(self.printer.progress_bytes(bytes, "Exporting")),
            Stage::Calibrating => {
                self.printer.status("Calibrating", "what goes through each expert as it draws");
                None
            }
            Stage::Drawing => {
                self.printer.status("Drawing", "the same pictures as in single precision");
                None
            }
            Stage::Verifying => {
                self.printer.status("Verifying", "the graphs against the reference");
                None
            }
        };
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn wrote(&self, bytes: u64) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(bytes);
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupt.requested()
    }
}
