//! A cell of the matrix.

use super::{CellStatus, Result, Step, Store};
use std::sync::Arc;

/// A method on a concept with a training seed.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The method.
    pub method: String,
    /// The concept.
    pub concept: String,
    /// The training seed.
    pub seed: u64,
    /// What changes the model, in order; empty where it is ready.
    pub train: Vec<Arc<Step>>,
    /// What makes the bundle; none where it is ready.
    pub export: Option<Arc<Step>>,
    /// What draws and looks.
    pub subject: Arc<Step>,
    /// What compares with the start: the last step.
    pub compare: Arc<Step>,
}

/// A step of a cell that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The step.
    pub step: Arc<Step>,
    /// What it said.
    pub said: String,
}

impl Cell {
    /// What it is called.
    pub fn name(&self) -> String {
        format!("{}, {}, seed {}", self.method, self.concept, self.seed)
    }

    /// How far it came, and the step that failed.
    ///
    /// # Errors
    /// Records that cannot be read.
    pub fn status(&self, store: &Store) -> Result<(CellStatus, Option<Failure>)> {
        if store.is_done(self.compare.key) {
            return Ok((CellStatus::Done, None));
        }
        for step in super::Plan::steps([self]) {
            if !store.is_done(step.key)
                && let Some(failure) = store.record(step.key)?.and_then(|record| record.failure)
            {
                return Ok((CellStatus::Failed, Some(Failure { step, said: failure })));
            }
        }
        Ok((CellStatus::Missing, None))
    }
}
