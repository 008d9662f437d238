//! Loss scaling: gradients of a loss in f16 vanish below 6e-8 unless the loss is multiplied first.

use serde::{Deserialize, Serialize};

/// Factor at the start, as `torch.amp.GradScaler` has it.
const START: f64 = 65536.0;
/// Good updates after which the factor is doubled.
const INTERVAL: u64 = 2000;

/// The factor of the loss; it halves where gradients overflow and grows while they do not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    factor: f64,
    good: u64,
}

impl Default for Scaler {
    fn default() -> Self {
        Self { factor: START, good: 0 }
    }
}

impl Scaler {
    /// The factor.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Whether a factor so small still overflows: then scaling is not what is wrong.
    pub fn is_exhausted(&self) -> bool {
        self.factor < 1.0
    }

    /// An update was made, or left out because gradients were not finite.
    pub fn record(&mut self, finite: bool) {
        if !finite {
            *self = Self { factor: self.factor / 2.0, good: 0 };
        } else if self.good + 1 == INTERVAL {
            *self = Self { factor: self.factor * 2.0, good: 0 };
        } else {
            self.good += 1;
        }
    }
}
