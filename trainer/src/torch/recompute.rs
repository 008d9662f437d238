//! Parts of a network whose inner values are forgotten, and computed again when gradients are asked for (activation checkpointing,
//! Chen et al. 2016): less memory for about a third more time.
//!
//! While a part runs, nothing is recorded for gradients; instead its operations go on a tape. Backward, the tape is played once more
//! on what the part took from outside (values and parameters), with gradients recorded this time. A tape holds data alone, so it may
//! outlive the network and the pass that it was recorded in.

use super::{Error, Result, ops, value::Value};
use crate::native;
use pleach_model::{op::Op, tensor::Dtype};
use std::collections::HashMap;
use tch::Tensor;

/// The operations of a part, as they are carried out.
#[derive(Debug, Default)]
pub(super) struct Tape {
    /// What it takes from outside, in the order of use.
    outside: Vec<Value>,
    steps: Vec<Step>,
    /// Where each value comes from, by its number.
    places: HashMap<u64, Place>,
    /// Numbers of values from here on were made while the tape was running.
    begun: u64,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Outside(usize),
    Step(usize),
}

#[derive(Debug)]
struct Step {
    op: Op,
    inputs: Vec<Place>,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl Tape {
    pub fn new() -> Self {
        Self { begun: Value::next_number(), ..Self::default() }
    }

    /// Takes note of a value that came into being without an operation.
    pub fn bring(&mut self, value: &Value) {
        self.places.insert(value.number(), Place::Outside(self.outside.len()));
        self.outside.push(value.clone());
    }

    /// Takes note of an operation.
    pub fn add(&mut self, op: &Op, inputs: &[&Value], shape: &[usize], result: &Value) -> Result<(), String> {
        let mut places = Vec::with_capacity(inputs.len());
        for input in inputs {
            if !self.places.contains_key(&input.number()) {
                if input.number() >= self.begun {
                    return Err(
                        "a hook changed a value in a part of the network that is computed again: its gradient \
                                would be lost; leave out gradient checkpointing"
                            .into(),
                    );
                }
                self.bring(input);
            }
            places.push(self.places[&input.number()]);
        }
        self.places.insert(result.number(), Place::Step(self.steps.len()));
        self.steps.push(Step { op: op.clone(), inputs: places, shape: shape.to_vec(), dtype: result.dtype() });
        Ok(())
    }

    /// The part's result, with gradients that come from playing the tape again.
    pub fn finish(self, result: Value) -> Result<Value> {
        let Self { outside, steps, places, .. } = self;
        let last = match places.get(&result.number()) {
            Some(Place::Step(last)) => *last,
            // Nothing was computed: the result is what came in.
            _ => return Ok(result),
        };
        let tensors: Vec<&Tensor> = outside.iter().map(Value::tensor).collect();
        let replay = move |outside: &[Tensor]| play(&steps, last, outside);
        let tensor = native::recomputed(&tensors, result.tensor(), Box::new(replay))?;
        Ok(Value::new(tensor, result.dtype()))
    }
}

fn play(steps: &[Step], last: usize, outside: &[Tensor]) -> Result<Tensor> {
    let lost = || Error::Torch("a part of the network that is computed again has lost a value".into());
    let mut made: Vec<Tensor> = Vec::with_capacity(steps.len());
    for Step { op, inputs, shape, dtype } in steps {
        let find = |place: &Place| match *place {
            Place::Outside(i) => outside.get(i),
            Place::Step(i) => made.get(i),
        };
        let inputs = inputs.iter().map(find).collect::<Option<Vec<_>>>().ok_or_else(lost)?;
        let result = ops::compute(op, &inputs, shape, *dtype)?;
        made.push(result);
    }
    made.into_iter().nth(last).ok_or_else(lost)
}
