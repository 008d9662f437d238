//! One UNet step, timed: engines and networks in processes of their own that take turns.

mod contender;
mod fixture;

pub use contender::{Contender, Engine, Timed, contend, take_turns};
pub use fixture::Settings;
pub use pleach_runtime::measure::median;
