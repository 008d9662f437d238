//! How much of a bundle an execution provider takes, answered without the provider and without its device.
//!
//! A provider gets a graph after ONNX Runtime froze its dimensions and optimised it at its basic level, and says node by node what it
//! takes; the rest stays on the CPU, and every border between the two costs a copy. So each graph is frozen here at the size asked for and
//! given to ONNX Runtime (on the CPU) to optimise and to infer types and shapes, with files of zeros instead of its weights ([`Frozen`]).
//! Then every node is judged by the provider's rules, which are data ([`Rules`]), and what is taken is counted in partitions as ONNX
//! Runtime forms them ([`partitions`]).
//!
//! Rules know what can be known beforehand. A device's own compiler may still refuse something; [`Rules::notes`] says what is not modelled.

mod blank;
mod error;
mod examine;
mod frozen;
mod judge;
mod partition;
mod report;
mod rules;
#[cfg(test)]
mod tests;
mod types;

pub use error::{Error, Result};
pub use examine::examine;
pub use frozen::{Frozen, Value};
pub use judge::{Kind, Reason};
pub use partition::partitions;
pub use report::{Coverage, Missing, NetworkCoverage, Verdict};
pub use rules::{Allowed, Rule, Rules, Target, UnknownTarget};
