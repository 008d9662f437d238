//! One UNet step, timed: engines and networks in processes of their own that take turns.

mod contender;
mod fixture;

pub use contender::{Contender, Engine, Timed, contend, take_turns};
pub use fixture::Settings;

/// The middle one, or the mean of the two in the middle.
pub fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle), sorted.get(middle.wrapping_sub(1))) {
        (0, Some(above), Some(below)) => (above + below) / 2.0,
        (_, Some(middle), _) => *middle,
        _ => f64::NAN,
    }
}
