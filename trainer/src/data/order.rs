//! The order of the pictures: a permutation of its own for every epoch, and every choice a function of where it is made.

use super::{Draw, Error, error::Result};
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// Where a loader stands: all that is needed to go on exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Times that all pictures were gone through.
    pub epoch: u64,
    /// Pictures gone through in this epoch, those that cannot be used among them.
    pub offset: usize,
}

impl Position {
    /// A position as a run remembers it.
    pub(crate) fn of_state(state: serde_json::Value) -> crate::run::Result<Self> {
        crate::run::state(state)
    }
}

/// What the choices are for, so that they are independent.
const ORDER: u64 = 1;
const EXAMPLE: u64 = 2;

/// A picture's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub index: usize,
    pub epoch: u64,
    /// Where the order stands after it.
    pub next: Position,
}

/// What is chosen for a picture's turn.
pub(super) struct Choice {
    random: Random,
}

impl Choice {
    pub fn new(seed: u64, turn: &Turn) -> Self {
        Self { random: Random::new(&[seed, EXAMPLE, turn.epoch, turn.index as u64]) }
    }

    pub fn draw(&mut self) -> Draw {
        Draw { left: self.random.bits(), top: self.random.bits(), flip: self.random.coin() }
    }

    /// One of `n`, after [`draw`](Self::draw).
    pub fn one_of(&mut self, n: usize) -> usize {
        self.random.below(n)
    }
}

/// An endless sequence of turns.
#[derive(Debug)]
pub(super) struct Order {
    seed: u64,
    permutation: Vec<usize>,
    position: Position,
}

impl Order {
    /// The order of `len` pictures from `position` on.
    pub fn new(seed: u64, len: usize, position: Position) -> Result<Self> {
        if position.offset > len {
            return Err(Error::Position { offset: position.offset, pictures: len });
        }
        Ok(Self { seed, permutation: permutation(seed, position.epoch, len), position })
    }
}

impl Iterator for Order {
    type Item = Turn;

    /// `None` only where there are no pictures.
    fn next(&mut self) -> Option<Turn> {
        let len = self.permutation.len();
        if self.position.offset >= len {
            self.position = Position { epoch: self.position.epoch + 1, offset: 0 };
            self.permutation = permutation(self.seed, self.position.epoch, len);
        }
        let Position { epoch, offset } = self.position;
        let index = *self.permutation.get(offset)?;
        self.position.offset += 1;
        Some(Turn { index, epoch, next: self.position })
    }
}

fn permutation(seed: u64, epoch: u64, len: usize) -> Vec<usize> {
    Random::new(&[seed, ORDER, epoch]).permutation(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_picture_once_in_an_order_of_its_own() {
        let turns: Vec<Turn> = Order::new(7, 30, Position::default()).unwrap().take(90).collect();
        let epochs: Vec<Vec<usize>> =
            turns.chunks(30).map(|epoch| epoch.iter().map(|turn| turn.index).collect()).collect();
        for (i, epoch) in epochs.iter().enumerate() {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..30));
            assert!(!epochs[..i].contains(epoch));
        }
        assert_ne!(Order::new(8, 30, Position::default()).unwrap().next(), turns.first().copied());
    }

    #[test]
    fn it_goes_on_from_any_position() {
        let turns: Vec<Turn> = Order::new(7, 5, Position::default()).unwrap().take(20).collect();
        for (i, turn) in turns.iter().enumerate() {
            let rest: Vec<Turn> = Order::new(7, 5, turn.next).unwrap().take(19 - i).collect();
            assert_eq!(rest, turns[i + 1..]);
        }
    }

    #[test]
    fn a_position_of_another_data_set_is_refused() {
        let error = Order::new(7, 5, Position { epoch: 2, offset: 6 }).unwrap_err();
        assert_eq!(error.to_string(), "a run cannot go on at picture 6 of 5: it began with another data set");
    }
}
