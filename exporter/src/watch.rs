//! What long work tells its caller, and what it asks.

/// What an export does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Weights are written.
    Writing {
        /// How many bytes there will be.
        bytes: u64,
    },
    /// A UNet draws, so that it is known what goes through it.
    Calibrating,
    /// Graphs are compared with the reference.
    Verifying,
    /// Pictures are compared with those in single precision.
    Drawing,
}

/// Follows an export. Called from several threads.
pub trait Watch: Sync {
    /// A stage begins.
    fn begin(&self, stage: Stage) {
        let _ = stage;
    }

    /// That many more bytes of weights are written.
    fn wrote(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Whether to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Watch for () {}
