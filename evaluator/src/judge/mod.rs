//! Whether pictures show what was asked for: a classifier looks at them, and its findings are held against labels.

mod classifier;
mod error;
mod score;
mod truth;

pub use classifier::{Classifier, Seen};
pub use error::{Error, Result};
pub use score::{ClassScore, HeadScore, Rate, score};
pub use truth::{Asked, Labels, Truth};
pub(crate) use truth::{Line, lines};
