//! The interpreter that computes nothing: it infers shapes and hands every operation to a [`Sink`].
//! The MAC counter and the ONNX recorder are sinks.

use crate::{
    backend::{Backend, Constant, Scopes},
    error::Result,
    infer::infer,
    op::Op,
    shape::Fact,
};
use std::cell::RefCell;

/// A value of a traced network: what it is and which one it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// Given by the sink.
    pub id: usize,
    /// Type and shape.
    pub fact: Fact,
}

/// Receives a network's operations in order of execution.
pub trait Sink {
    /// An operation at a module path, with its operands and the result's type and shape; gives the result's id.
    fn node(&mut self, path: &str, op: &Op, inputs: &[&Traced], output: &Fact) -> usize;

    /// A constant of a module; gives its id.
    fn constant(&mut self, path: &str, data: Constant, fact: &Fact) -> usize;
}

/// Interprets a network for a sink.
#[derive(Debug, Default)]
pub struct Tracer<S> {
    sink: RefCell<S>,
    scopes: Scopes,
}

impl<S: Sink> Tracer<S> {
    /// A tracer that fills `sink`.
    pub fn new(sink: S) -> Self {
        Self { sink: RefCell::new(sink), scopes: Scopes::default() }
    }

    /// Works on the sink: to declare inputs, say.
    pub fn with<T>(&self, work: impl FnOnce(&mut S) -> T) -> T {
        work(&mut self.sink.borrow_mut())
    }

    /// What the sink has gathered.
    pub fn finish(self) -> S {
        self.sink.into_inner()
    }
}

impl<S: Sink> Backend for Tracer<S> {
    type Value = Traced;

    fn apply(&self, op: &Op, inputs: &[&Traced]) -> Result<Traced, String> {
        let facts: Vec<&Fact> = inputs.iter().map(|value| &value.fact).collect();
        let fact = infer(op, &facts)?;
        let id = self.with(|sink| sink.node(&self.scopes.path(), op, inputs, &fact));
        Ok(Traced { id, fact })
    }

    fn constant(&self, data: Constant, shape: &[usize]) -> Result<Traced> {
        let dtype = match data {
            Constant::F32(_) => crate::tensor::Dtype::F32,
            Constant::I64(_) => crate::tensor::Dtype::I64,
        };
        let fact = Fact::new(dtype, shape.iter().copied());
        let id = self.with(|sink| sink.constant(&self.scopes.path(), data, &fact));
        Ok(Traced { id, fact })
    }

    fn fact(&self, value: &Traced) -> Fact {
        value.fact.clone()
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }
}
