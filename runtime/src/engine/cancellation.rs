//! Stopping work from another thread.

use super::{Error, Result};
use ort::session::{
    RunOptions,
    builder::{LoadCanceler, SessionBuilder},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A switch that stops the runs and the loading of every network opened with it: what an interrupt handler holds.
///
/// Once thrown it stays so, and everything that begins later fails at once, until [`reset`](Self::reset).
#[derive(Clone)]
pub struct Cancellation(Arc<Switch>);

struct Switch {
    thrown: AtomicBool,
    running: RunOptions,
    loading: Mutex<Loading>,
}

/// The sessions that are being opened.
#[derive(Debug, Default)]
struct Loading {
    next: u64,
    cancelers: BTreeMap<u64, LoadCanceler>,
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancellation").field(&self.is_cancelled()).finish()
    }
}

impl Cancellation {
    pub(super) fn new() -> ort::Result<Self> {
        let running = RunOptions::new()?;
        Ok(Self(Arc::new(Switch { thrown: AtomicBool::new(false), running, loading: Mutex::default() })))
    }

    /// Stops what runs: a network within one operator, loading within one step.
    pub fn cancel(&self) {
        self.0.thrown.store(true, Ordering::SeqCst);
        // Neither call can fail on a live object; if one did, the flag still stops whatever begins next.
        let _ = self.0.running.terminate();
        for canceler in self.loading().cancelers.values() {
            let _ = canceler.cancel();
        }
    }

    /// Lets networks run again.
    pub fn reset(&self) {
        self.0.thrown.store(false, Ordering::SeqCst);
        let _ = self.0.running.unterminate();
    }

    /// Whether it was thrown.
    pub fn is_cancelled(&self) -> bool {
        self.0.thrown.load(Ordering::SeqCst)
    }

    /// What a run is started with.
    pub(super) fn run_options(&self) -> &RunOptions {
        &self.0.running
    }

    /// Calls `load`, which opens the session that `builder` describes, so that it can be stopped.
    pub(super) fn while_loading<T>(
        &self,
        builder: &mut SessionBuilder,
        load: impl FnOnce(&mut SessionBuilder) -> T,
    ) -> T {
        let canceler = builder.canceler();
        let number = {
            let mut loading = self.loading();
            loading.next += 1;
            let number = loading.next;
            loading.cancelers.insert(number, canceler.clone());
            number
        };
        // It may have been thrown just before the canceler stood where it would be called.
        if self.is_cancelled() {
            let _ = canceler.cancel();
        }
        let result = load(builder);
        self.loading().cancelers.remove(&number);
        result
    }

    fn loading(&self) -> MutexGuard<'_, Loading> {
        self.0.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error where it was thrown.
    pub(super) fn check(&self, network: &str) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled { network: network.to_owned() }) } else { Ok(()) }
    }
}
