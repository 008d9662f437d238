//! One UNet step, timed: engines and networks in processes of their own that take turns.

mod contender;
mod fixture;

pub use contender::{Contender, Engine, Timed, contend, python_command, take_turns};
pub use fixture::{CPU_GRAPH, INPUTS, Settings, TORCH_EXPORT};
pub use pleach_runtime::measure::median;
