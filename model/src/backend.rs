//! The trait that networks are written over. An interpreter says what [`Op`]s mean; everything else here is notation.

use crate::{
    error::{Error, Result},
    op::{Attention, Binary, Conv2d, Extent, Op, Unary},
    shape::Fact,
    tensor::Dtype,
};
use std::{cell::RefCell, sync::Arc};

/// Numbers that a network brings with it: frequencies, masks, tables of positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Single-precision numbers in row-major order.
    F32(Vec<f32>),
    /// Whole numbers in row-major order.
    I64(Vec<i64>),
}

/// An interpreter of networks. `Value` clones cheaply (a handle).
///
/// Only [`apply`](Self::apply), [`constant`](Self::constant), [`fact`](Self::fact) and [`scopes`](Self::scopes) are to be given;
/// the other methods spell the operations as networks use them and put the module path into errors.
pub trait Backend {
    /// A tensor, a node of a graph, or a shape.
    type Value: Clone;

    /// Carries out one operation as [`Op`] defines it. The error is the bare reason: path, name and operands are added here.
    fn apply(&self, op: &Op, inputs: &[&Self::Value]) -> Result<Self::Value, String>;

    /// A value known when the network is described.
    fn constant(&self, data: Constant, shape: &[usize]) -> Result<Self::Value>;

    /// Element type and shape of a value; networks use it for types and ranks, never to read a batch or picture size.
    fn fact(&self, value: &Self::Value) -> Fact;

    /// Where the interpreter is in the network.
    fn scopes(&self) -> &Scopes;

    /// Enters the module at `path` until the guard is dropped.
    fn scope(&self, path: &Arc<str>) -> ScopeGuard<'_> {
        self.scopes().enter(path)
    }

    /// Carries out a part of a network of which only the result is used outside. An interpreter that records gradients may forget
    /// the values inside, and compute them again when it needs them.
    fn segment(&self, body: &mut dyn FnMut() -> Result<Self::Value>) -> Result<Self::Value> {
        body()
    }

    /// [`apply`](Self::apply) with a full error.
    fn run(&self, op: Op, inputs: &[&Self::Value]) -> Result<Self::Value> {
        self.apply(&op, inputs).map_err(|reason| {
            let operands: Vec<Fact> = inputs.iter().map(|value| self.fact(value)).collect();
            Error::op(&self.scopes().path(), op.name(), &operands, reason)
        })
    }

    /// [`Op::Linear`].
    fn linear(&self, x: &Self::Value, weight: &Self::Value, bias: Option<&Self::Value>) -> Result<Self::Value> {
        self.run(Op::Linear, &[&[x, weight], bias.as_slice()].concat())
    }

    /// [`Op::Conv2d`].
    fn conv2d(
        &self,
        x: &Self::Value,
        weight: &Self::Value,
        bias: Option<&Self::Value>,
        conv: Conv2d,
    ) -> Result<Self::Value> {
        self.run(Op::Conv2d(conv), &[&[x, weight], bias.as_slice()].concat())
    }

    /// [`Op::GroupNorm`].
    fn group_norm(
        &self,
        x: &Self::Value,
        weight: &Self::Value,
        bias: &Self::Value,
        groups: usize,
        eps: f64,
    ) -> Result<Self::Value> {
        self.run(Op::GroupNorm { groups, eps }, &[x, weight, bias])
    }

    /// [`Op::LayerNorm`].
    fn layer_norm(&self, x: &Self::Value, weight: &Self::Value, bias: &Self::Value, eps: f64) -> Result<Self::Value> {
        self.run(Op::LayerNorm { eps }, &[x, weight, bias])
    }

    /// [`Op::Attention`].
    fn attention(
        &self,
        q: &Self::Value,
        k: &Self::Value,
        v: &Self::Value,
        bias: Option<&Self::Value>,
        attention: Attention,
    ) -> Result<Self::Value> {
        self.run(Op::Attention(attention), &[&[q, k, v], bias.as_slice()].concat())
    }

    /// [`Op::Unary`].
    fn unary(&self, x: &Self::Value, function: Unary) -> Result<Self::Value> {
        self.run(Op::Unary(function), &[x])
    }

    /// [`Unary::Silu`].
    fn silu(&self, x: &Self::Value) -> Result<Self::Value> {
        self.unary(x, Unary::Silu)
    }

    /// [`Binary::Add`].
    fn add(&self, a: &Self::Value, b: &Self::Value) -> Result<Self::Value> {
        self.run(Op::Binary(Binary::Add), &[a, b])
    }

    /// [`Binary::Mul`].
    fn mul(&self, a: &Self::Value, b: &Self::Value) -> Result<Self::Value> {
        self.run(Op::Binary(Binary::Mul), &[a, b])
    }

    /// [`Binary::Div`].
    fn div(&self, a: &Self::Value, b: &Self::Value) -> Result<Self::Value> {
        self.run(Op::Binary(Binary::Div), &[a, b])
    }

    /// [`Op::Affine`].
    fn affine(&self, x: &Self::Value, scale: f64, shift: f64) -> Result<Self::Value> {
        self.run(Op::Affine { scale, shift }, &[x])
    }

    /// [`Op::AtLeast`].
    fn at_least(&self, x: &Self::Value, least: f64) -> Result<Self::Value> {
        self.run(Op::AtLeast(least), &[x])
    }

    /// [`Op::Sum`].
    fn sum(&self, x: &Self::Value, axis: usize) -> Result<Self::Value> {
        self.run(Op::Sum { axis }, &[x])
    }

    /// [`Op::Max`].
    fn max(&self, x: &Self::Value, axis: usize) -> Result<Self::Value> {
        self.run(Op::Max { axis }, &[x])
    }

    /// [`Op::ArgMax`].
    fn arg_max(&self, x: &Self::Value, axis: usize) -> Result<Self::Value> {
        self.run(Op::ArgMax { axis }, &[x])
    }

    /// [`Op::Largest`].
    fn largest(&self, x: &Self::Value, axis: usize, count: usize) -> Result<Self::Value> {
        self.run(Op::Largest { axis, count }, &[x])
    }

    /// [`Op::Reshape`].
    fn reshape(&self, x: &Self::Value, to: &[Extent]) -> Result<Self::Value> {
        self.run(Op::Reshape(to.to_vec()), &[x])
    }

    /// [`Op::ReshapeLike`].
    fn reshape_like(&self, x: &Self::Value, like: &Self::Value) -> Result<Self::Value> {
        self.run(Op::ReshapeLike, &[x, like])
    }

    /// [`Op::Permute`].
    fn permute(&self, x: &Self::Value, order: &[usize]) -> Result<Self::Value> {
        self.run(Op::Permute(order.to_vec()), &[x])
    }

    /// [`Op::Concat`].
    fn concat(&self, parts: &[&Self::Value], axis: usize) -> Result<Self::Value> {
        self.run(Op::Concat { axis }, parts)
    }

    /// [`Op::Chunk`] into two halves.
    fn halves(&self, x: &Self::Value, axis: usize) -> Result<(Self::Value, Self::Value)> {
        let part = |index| self.run(Op::Chunk { axis, parts: 2, index }, &[x]);
        Ok((part(0)?, part(1)?))
    }

    /// [`Op::NarrowLike`], left out where nothing would be cut off.
    fn narrow_like(
        &self,
        x: &Self::Value,
        axis: usize,
        start: usize,
        like: &Self::Value,
        like_axis: usize,
    ) -> Result<Self::Value> {
        let (have, want) = (self.fact(x), self.fact(like));
        if start == 0 && have.shape.get(axis).is_some_and(|dim| Some(dim) == want.shape.get(like_axis)) {
            return Ok(x.clone());
        }
        self.run(Op::NarrowLike { axis, start, like_axis }, &[x, like])
    }

    /// [`Op::Upsample2x`].
    fn upsample2x(&self, x: &Self::Value, like: Option<&Self::Value>) -> Result<Self::Value> {
        self.run(Op::Upsample2x, &[&[x], like.as_slice()].concat())
    }

    /// [`Op::Embedding`].
    fn embedding(&self, table: &Self::Value, ids: &Self::Value) -> Result<Self::Value> {
        self.run(Op::Embedding, &[table, ids])
    }

    /// [`Op::Cast`], left out where the type is already right.
    fn cast(&self, x: &Self::Value, dtype: Dtype) -> Result<Self::Value> {
        if self.fact(x).dtype == dtype { Ok(x.clone()) } else { self.run(Op::Cast(dtype), &[x]) }
    }
}

/// The module paths entered and not yet left.
#[derive(Debug, Default)]
pub struct Scopes(RefCell<Vec<Arc<str>>>);

impl Scopes {
    /// Enters a module.
    pub fn enter(&self, path: &Arc<str>) -> ScopeGuard<'_> {
        self.0.borrow_mut().push(path.clone());
        ScopeGuard(self)
    }

    /// Path of the innermost module.
    pub fn path(&self) -> Arc<str> {
        self.0.borrow().last().cloned().unwrap_or_else(|| "".into())
    }
}

/// Leaves the module when dropped.
#[derive(Debug)]
pub struct ScopeGuard<'a>(&'a Scopes);

impl Drop for ScopeGuard<'_> {
    fn drop(&mut self) {
        self.0.0.borrow_mut().pop();
    }
}
