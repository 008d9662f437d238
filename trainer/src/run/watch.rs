//! Who looks on while a run learns.

use super::metrics::Report;
use std::path::Path;

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The loop begins, at `step` of `steps`.
    Begin {
        /// Steps done before.
        step: u64,
        /// Steps of the whole run.
        steps: u64,
    },
    /// So much has been learnt.
    Step {
        /// Means since the last report.
        report: &'a Report,
    },
    /// A grid of samples was drawn.
    Sampled {
        /// Its file.
        path: &'a Path,
    },
    /// A checkpoint was written.
    Saved {
        /// The step that it holds.
        step: u64,
    },
}

/// Hears of a run's progress, and may end it.
pub trait Watch {
    /// Something happened.
    fn event(&self, event: Event<'_>);

    /// Whether to write a checkpoint after this step and stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Looks away.
impl Watch for () {
    fn event(&self, _: Event<'_>) {}
}
