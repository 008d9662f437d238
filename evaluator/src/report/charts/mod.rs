//! The drawings of a report.

mod dots;
mod forest;
mod sweep;

pub(super) use dots::{Dot, dots};
pub(super) use forest::{ForestRow, forest};
pub(super) use sweep::{SweepMark, sweep};
