//! Ctrl-C. Long work polls a flag between steps, so that it can write a checkpoint; whoever cannot wait presses again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::printer::Printer;

/// The handler could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for Ctrl-C")]
pub struct InterruptError(#[from] ctrlc::Error);

/// Set by the first SIGINT, SIGTERM or SIGHUP. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// What a shell expects of a process that Ctrl-C ended.
    const AT_ONCE: i32 = 130;

    /// A flag that no signal sets: for tests and for programs that embed Pleach.
    pub fn manual() -> Self {
        Self::default()
    }

    /// Takes the signals over: the first sets the flag and says so, the second ends the process. Once per process,
    /// by the commands that poll; all others end at the first signal, as every program does.
    pub fn install(printer: &Printer) -> Result<Self, InterruptError> {
        let interrupt = Self::default();
        let (flag, printer) = (interrupt.clone(), printer.clone());
        ctrlc::set_handler(move || {
            if flag.request() {
                printer.warn("finishing this step, press again to stop at once");
            } else {
                std::process::exit(Self::AT_ONCE);
            }
        })?;
        Ok(interrupt)
    }

    /// Whether to stop after this step.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the flag; false if it was set before.
    pub fn request(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_flag() {
        let interrupt = Interrupt::manual();
        let polled = interrupt.clone();
        assert!(!polled.requested());
        assert!(interrupt.request());
        assert!(polled.requested());
        assert!(!polled.request());
    }
}
