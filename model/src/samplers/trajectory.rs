//! A run of a sampler over the caller's tensors.

use super::plan::{Plan, Term};
use super::{LinearCombination, SamplerError};
use std::collections::VecDeque;
use std::sync::Arc;

/// The state of one run: which step is next, and what earlier steps left for it.
#[derive(Debug)]
pub struct Trajectory<T> {
    plan: Arc<Plan>,
    memory: usize,
    call: usize,
    kept: VecDeque<T>,
}

impl<T: LinearCombination> Trajectory<T> {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self { memory: plan.memory(), plan, call: 0, kept: VecDeque::new() }
    }

    /// The sample after this step, from the sample `x` before it and the network's raw output for `x` at this call's
    /// timestep (after guidance). `noise` is asked for a standard normal tensor of the same shape, once, and only by
    /// steps that add noise.
    pub fn step(
        &mut self,
        x: &T,
        model_output: T,
        noise: &mut dyn FnMut() -> Result<T, T::Error>,
    ) -> Result<T, T::Error> {
        let step = self.plan.steps.get(self.call).ok_or(SamplerError::Ended { calls: self.plan.steps.len() })?;
        let terms = |sum: &[(f64, Term)]| -> Vec<(f64, &T)> {
            let tensor = |term| match term {
                Term::Sample => x,
                Term::Output => &model_output,
                Term::Kept(age) => &self.kept[age],
            };
            sum.iter().map(|&(factor, term)| (factor, tensor(term))).collect()
        };

        let mut sum = terms(&step.next);
        let fresh;
        if step.noise != 0.0 {
            fresh = noise()?;
            sum.push((step.noise, &fresh));
        }
        let next = T::combine(&sum)?;

        let kept = step.keep.iter().map(|sum| T::combine(&terms(sum))).collect::<Result<Vec<_>, _>>()?;
        kept.into_iter().for_each(|tensor| self.kept.push_front(tensor));
        self.kept.truncate(self.memory);
        self.call += 1;
        Ok(next)
    }
}
