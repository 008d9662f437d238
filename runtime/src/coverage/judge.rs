//! Whether a provider takes a node, and if not, the first reason found.

use super::{Frozen, Rule, Rules, Value, types};
use crate::onnx::{AttributeProto, AttributeType, NodeProto};
use serde::Serialize;
use serde_json::Value as Json;
use std::fmt;

/// Why a node is not taken. Inputs are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Reason {
    /// What sort of reason it is.
    pub kind: Kind,
    /// The reason, to be read after the operator's name: `input 1 is no constant`.
    pub text: String,
}

/// Sorts of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The provider does not know the operator.
    Operator,
    /// An optional input is left out.
    Omitted,
    /// A shape is not fixed.
    Shape,
    /// Too many dimensions, or too few.
    Rank,
    /// An element type.
    Type,
    /// An input that is computed and should be a constant.
    Constant,
    /// Value of an attribute.
    Attribute,
    /// A dimension is too large.
    Size,
    /// More inputs or outputs than are taken.
    Arity,
    /// What uses it does not compute between quantised numbers.
    Group,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn because(kind: Kind, text: impl Into<String>) -> Reason {
    Reason { kind, text: text.into() }
}

impl Rules {
    /// Why the provider does not take `node` of `graph`; nothing where it does.
    pub fn refuses(&self, graph: &Frozen, node: &NodeProto) -> Option<Reason> {
        let Some(rule) = self.rule(&node.domain, &node.op_type) else {
            return Some(because(Kind::Operator, "not an operator that it takes"));
        };
        let general = node.input.iter().enumerate().find_map(|(i, input)| self.refuses_input(graph, i, input));
        general.or_else(|| {
            let reason = self.refuses_rule(graph, node, rule)?;
            let otherwise = rule.or.iter().any(|rule| self.refuses_rule(graph, node, rule).is_none());
            (!otherwise).then_some(reason)
        })
    }

    /// Whether `node` is taken as far as ONNX Runtime's mobile usability checker looks: the operator stands in the published list, the shapes
    /// of all inputs are fixed (one that is left out has none), and their ranks are not too high.
    pub fn is_listed(&self, graph: &Frozen, node: &NodeProto) -> bool {
        let listed = self.rule(&node.domain, &node.op_type).is_some_and(|rule| !rule.unlisted);
        let mut inputs = node.input.iter().enumerate();
        listed && inputs.all(|(i, input)| !input.is_empty() && self.refuses_input(graph, i, input).is_none())
    }

    /// What every input must be.
    fn refuses_input(&self, graph: &Frozen, i: usize, input: &str) -> Option<Reason> {
        if input.is_empty() {
            return (!self.omitted_inputs).then(|| because(Kind::Omitted, format!("input {i} is left out")));
        }
        let value = graph.values.get(input);
        if self.fixed_shapes && !value.is_some_and(Value::is_fixed) {
            return Some(because(Kind::Shape, format!("the shape of input {i} is not fixed")));
        }
        let rank = value.and_then(Value::rank).filter(|&rank| rank > self.max_rank)?;
        Some(because(Kind::Rank, format!("input {i} has {rank} dimensions, at most {} are taken", self.max_rank)))
    }

    /// What the operator wants besides.
    fn refuses_rule(&self, graph: &Frozen, node: &NodeProto, rule: &Rule) -> Option<Reason> {
        let value = |i: usize| node.input.get(i).and_then(|input| graph.values.get(input));
        let given = |i: usize| node.input.get(i).is_some_and(|input| !input.is_empty());
        let first = (0, &self.types);
        let kinds = rule.types.iter().map(|(&i, kinds)| (i, kinds));
        let kinds = kinds.chain((!rule.types.contains_key(&0)).then_some(first));
        let types = kinds.filter_map(|(i, kinds)| {
            let kind = value(i)?.dtype;
            (!kinds.contains(&kind)).then(|| because(Kind::Type, format!("input {i} is {}", types::name(kind))))
        });
        let ranks = rule.ranks.iter().filter_map(|(&i, &[low, high])| {
            let rank = value(i)?.rank()?;
            let range = if low == high { low.to_string() } else { format!("{low} to {high}") };
            let text = || format!("input {i} has {rank} dimensions, {range} are taken");
            (!(low..=high).contains(&rank)).then(|| because(Kind::Rank, text()))
        });
        let constants = rule.constant.iter().filter_map(|&i| {
            let constant = value(i).is_some_and(|value| value.constant);
            (given(i) && !constant).then(|| because(Kind::Constant, format!("input {i} is no constant")))
        });
        let attributes = rule.attributes.iter().filter_map(|(name, allowed)| {
            let found = types::attribute(node, name).map_or_else(|| allowed.default.clone(), json);
            let taken = allowed.one_of.iter().any(|other| is_same(other, &found));
            (!taken).then(|| because(Kind::Attribute, format!("{name} is {found}")))
        });
        let axis = rule.last_axis.iter().filter_map(|(name, default)| {
            let axis = types::attribute(node, name).and_then(|attribute| attribute.i).unwrap_or(*default);
            let last = i64::try_from(value(0)?.rank()?).ok()? - 1;
            let text = || format!("{name} is {axis}, and only the last one is taken");
            (axis != -1 && axis != last).then(|| because(Kind::Attribute, text()))
        });
        let sizes = rule.max_size.iter().filter_map(|&limit| {
            let size = value(0)?.dims.iter().flatten().flatten().copied().max().filter(|&size| size > limit)?;
            Some(because(Kind::Size, format!("input 0 has a side of {size}, at most {limit} are taken")))
        });
        let counts = [("inputs", node.input.len(), rule.max_inputs), ("outputs", node.output.len(), rule.max_outputs)];
        let arity = counts.into_iter().filter_map(|(what, count, limit)| {
            let limit = limit.filter(|&limit| count > limit)?;
            Some(because(Kind::Arity, format!("{count} {what}, at most {limit} are taken")))
        });
        let alone = rule.in_group && !is_in_group(graph, node);
        let group = alone.then(|| because(Kind::Group, "what uses it is not quantised"));
        let mut all =
            types.chain(ranks).chain(constants).chain(attributes).chain(axis).chain(sizes).chain(arity).chain(group);
        all.next()
    }
}

/// Whether the first node that uses what `node` makes takes its first input from a `DequantizeLinear`.
fn is_in_group(graph: &Frozen, node: &NodeProto) -> bool {
    let user = graph.nodes.iter().find(|user| user.input.iter().any(|input| node.output.contains(input)));
    let first = user.and_then(|user| user.input.first());
    first.is_some_and(|first| {
        graph.nodes.iter().any(|maker| maker.op_type == "DequantizeLinear" && maker.output.contains(first))
    })
}

/// Value of an attribute. One of a sort that no rule asks for has none.
fn json(attribute: &AttributeProto) -> Json {
    match AttributeType::try_from(attribute.r#type) {
        Ok(AttributeType::Int) => attribute.i.unwrap_or_default().into(),
        Ok(AttributeType::Float) => attribute.f.unwrap_or_default().into(),
        Ok(AttributeType::String) => String::from_utf8_lossy(attribute.s.as_deref().unwrap_or_default()).into(),
        Ok(AttributeType::Ints) => attribute.ints.clone().into(),
        Ok(AttributeType::Floats) => attribute.floats.clone().into(),
        _ => Json::Null,
    }
}

/// Whether two values are the same, whole numbers or not.
fn is_same(a: &Json, b: &Json) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
