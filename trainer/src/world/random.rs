//! Random choices.

use pleach_model::noise::Generator;
use std::ops::Range;

/// Random choices from a generator of bits.
pub(super) trait Choose {
    /// A whole number below `n`, each equally likely (to within `n / 2^32`).
    fn below(&mut self, n: usize) -> usize;

    /// A number of `range`.
    fn within(&mut self, range: Range<f32>) -> f32;

    /// True in this share of all cases.
    fn chance(&mut self, share: f32) -> bool {
        self.within(0.0..1.0) < share
    }

    /// One of `all`, which must not be empty.
    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

impl Choose for Generator {
    fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.random()) * n as u64) >> 32) as usize
    }

    fn within(&mut self, range: Range<f32>) -> f32 {
        let unit = (self.random() >> 8) as f32 * 2f32.powi(-24);
        range.start + (range.end - range.start) * unit
    }
}
