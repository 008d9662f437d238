//! The learning rate over the updates of a run.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How the rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// It falls to zero along half a cosine, over the updates that are left.
    Cosine,
}

/// A learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateSettings {
    /// The rate after the warm-up.
    pub peak: f64,
    /// Updates over which it rises linearly; the first has the rate `peak / warmup`.
    pub warmup: u64,
    /// What follows.
    pub decay: Decay,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self { peak: 1e-5, warmup: 0, decay: Decay::Constant }
    }
}

impl RateSettings {
    /// The rate of update number `update` (from 0) of `updates`.
    pub fn at(&self, update: u64, updates: u64) -> f64 {
        if update < self.warmup {
            return self.peak * (update + 1) as f64 / self.warmup as f64;
        }
        match self.decay {
            Decay::Constant => self.peak,
            Decay::Cosine => {
                let (done, all) = (update - self.warmup, updates.saturating_sub(self.warmup).max(1));
                self.peak * 0.5 * (1.0 + (PI * done as f64 / all as f64).min(PI).cos())
            }
        }
    }
}
