//! Weights as whole numbers of 8 or 4 bits.
//!
//! What is quantised, and how, is a [`Scheme`]: which operations of a graph, each in one of the forms that measured best on CPUs.
//! Convolutions need to know what goes through them ([`calibrate`]); linear layers find out as they run.

pub mod calibrate;
pub mod numbers;
mod prompts;
mod trajectory;

use crate::graph::{Graph, Node};
use pleach_model::op::Op;
use std::collections::BTreeMap;

/// Inputs that share a scale and a zero point in 4-bit weights.
pub const BLOCK: usize = 32;

/// How an operation is quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantized {
    /// A convolution between 8-bit numbers: what goes in and comes out is rounded to 256 steps of the range that was seen, the weights to
    /// 255 of each output channel's own.
    Static {
        /// What goes in.
        input: Span,
        /// What comes out.
        output: Span,
    },
    /// A linear layer between 8-bit numbers: weights as in [`Static`](Self::Static), the range of what goes in is found as it runs.
    Dynamic,
    /// A linear layer whose weights are 4-bit numbers, 16 steps between the least and the largest of each block of [`BLOCK`] inputs.
    Blocks,
    /// 8-bit weights, made wide again before they are used.
    Weights,
    /// A table whose rows are 8-bit numbers.
    Rows,
}

/// A range of values, which 256 steps cover. Zero is one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    low: f32,
    high: f32,
}

impl Span {
    /// From the least to the largest value, and zero.
    pub fn new(low: f32, high: f32) -> Self {
        Self { low: low.min(0.0), high: high.max(0.0) }
    }

    /// One that covers both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Size of a step.
    pub fn scale(self) -> f32 {
        let scale = (self.high - self.low) / 255.0;
        if scale > 0.0 && scale.is_finite() { scale } else { 1.0 }
    }

    /// Which step is zero.
    pub fn zero(self) -> u8 {
        // As a cast, which stays within the 256.
        (-self.low / self.scale()).round() as u8
    }
}

/// Which operations of a graph are quantised: by their number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheme(BTreeMap<usize, Quantized>);

impl Scheme {
    /// How an operation is quantised, if it is.
    pub fn get(&self, node: usize) -> Option<Quantized> {
        self.0.get(&node).copied()
    }

    /// The operations that are quantised, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Quantized)> {
        self.0.iter().map(|(node, quantized)| (*node, *quantized))
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps an operation wide.
    pub fn remove(&mut self, node: usize) {
        self.0.remove(&node);
    }

    /// Every operation that `how` knows a form for.
    pub fn of(graph: &Graph, how: impl Fn(usize, &Node) -> Option<Quantized>) -> Self {
        let quantizable = |node: &Node| {
            let stored = |operand: usize| node.inputs.get(operand).is_some_and(|&id| graph.parameter(id).is_some());
            match node.op {
                Op::Conv2d(_) | Op::Linear => stored(1) && (node.inputs.len() < 3 || stored(2)),
                Op::Embedding => stored(0),
                _ => false,
            }
        };
        let nodes = graph.nodes.iter().enumerate().filter(|(_, node)| quantizable(node));
        Self(nodes.filter_map(|(i, node)| Some((i, how(i, node)?))).collect())
    }

    /// What needs no calibration: linear layers as they run, tables by rows, convolutions by their weights alone.
    pub fn uncalibrated(graph: &Graph) -> Self {
        Self::of(graph, |_, node| match node.op {
            Op::Linear => Some(Quantized::Dynamic),
            Op::Embedding => Some(Quantized::Rows),
            Op::Conv2d(_) => Some(Quantized::Weights),
            _ => None,
        })
    }

    /// Weights alone, everywhere: for networks that draw what people look at.
    pub fn weights(graph: &Graph) -> Self {
        Self::of(graph, |_, node| matches!(node.op, Op::Linear | Op::Conv2d(_)).then_some(Quantized::Weights))
    }
}

/// Whether a linear layer's inputs fall into blocks of which two fill a byte with their zero points.
pub fn has_blocks(graph: &Graph, node: &Node) -> bool {
    let inputs = node.inputs.get(1).and_then(|&id| graph.fact(id).shape.get(1)?.known());
    inputs.is_some_and(|inputs| inputs > 0 && inputs.is_multiple_of(2 * BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_zero_in_256_steps() {
        let span = Span::new(-1.0, 4.1);
        assert!((span.scale() - 0.02).abs() < 1e-7);
        assert_eq!(span.zero(), 50);
        assert_eq!((Span::new(1.0, 2.0).zero(), Span::new(-2.0, -1.0).zero()), (0, 255));
        assert_eq!(Span::new(1.0, 2.0).and(Span::new(-3.0, 0.5)), Span::new(-3.0, 2.0));
        // What is always zero, and what is not finite, has steps all the same.
        assert_eq!((Span::new(0.0, 0.0).scale(), Span::new(0.0, f32::INFINITY).scale()), (1.0, 1.0));
    }
}
