//! The parts of a value, cut together. Backward, libtorch joins their gradients in one pass; the gradient of a part that was cut alone is
//! laid into zeros of the whole's size, and then these are added.

use super::Value;
use std::cell::RefCell;
use tch::{TchError, Tensor};

/// Remembers the last value that was cut until its last part is taken.
#[derive(Debug, Default)]
pub(super) struct Chunks(RefCell<Option<Cut>>);

#[derive(Debug)]
struct Cut {
    /// Number of the value.
    of: u64,
    axis: usize,
    parts: Vec<Tensor>,
}

impl Chunks {
    /// One of so many equal parts of `value` along `axis`.
    pub fn part(&self, value: &Value, axis: usize, parts: usize, index: usize) -> Result<Tensor, TchError> {
        let of = value.number();
        let same = |cut: &Cut| (cut.of, cut.axis, cut.parts.len()) == (of, axis, parts);
        let cut = match self.0.take().filter(same) {
            Some(cut) => cut,
            None => Cut { of, axis, parts: value.tensor().f_chunk(parts as i64, axis as i64)? },
        };
        let part = cut.parts.get(index).ok_or_else(|| TchError::Shape(format!("there is no part {index}")))?;
        let part = part.shallow_clone();
        if index + 1 < parts {
            self.0.replace(Some(cut));
        }
        Ok(part)
    }
}
