//! Puts ONNX nodes together: names, constants and shapes, each made once.

use super::{
    layout::{Form, Layout},
    target::Target,
    tensors,
};
use crate::graph::{Graph, ValueId};
use pleach_model::{
    manifest::Flavour,
    op::{Extent, Op, Unary},
    shape::{Dim, Fact},
    tensor::Dtype,
};
use pleach_runtime::onnx::{AttributeProto, DataType, NodeProto, TensorProto};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

/// The domain of ONNX Runtime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// The name of a value, or why an operation cannot be written.
pub(super) type Rule<T = String> = std::result::Result<T, String>;

/// Gathers the nodes of one graph.
pub(super) struct Builder<'a> {
    pub graph: &'a Graph,
    pub target: &'a Target,
    pub layout: &'a Layout,
    pub nodes: Vec<NodeProto>,
    pub constants: Vec<TensorProto>,
    known_constants: HashSet<String>,
    /// ONNX names of the graph's values; parameters and constants have theirs from the layout.
    names: HashMap<ValueId, String>,
    /// How many nodes of this name there are.
    uses: HashMap<String, usize>,
    shapes: HashMap<(ValueId, Range<usize>), String>,
    pieces: HashMap<(ValueId, usize, usize), Vec<String>>,
    scope: String,
}

impl<'a> Builder<'a> {
    pub fn new(graph: &'a Graph, layout: &'a Layout, target: &'a Target) -> Self {
        let names = graph.inputs.iter().zip(graph.named_inputs()).map(|(&id, (name, _))| (id, name.to_owned()));
        Self {
            graph,
            target,
            layout,
            nodes: Vec::new(),
            constants: Vec::new(),
            known_constants: HashSet::new(),
            names: names.collect(),
            uses: HashMap::new(),
            shapes: HashMap::new(),
            pieces: HashMap::new(),
            scope: String::new(),
        }
    }

    /// Enters the module at `path`: `down_blocks.0.resnets.1` names nodes `/down_blocks.0/resnets.1/...`.
    pub fn enter(&mut self, path: &str) {
        self.scope.clear();
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let index = part.bytes().all(|byte| byte.is_ascii_digit());
            self.scope.push(if index && !self.scope.is_empty() { '.' } else { '/' });
            self.scope.push_str(part);
        }
    }

    /// A node with one output, of the standard domain; gives the output's name.
    pub fn emit(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.emit_in("", op, inputs, attributes, 1).swap_remove(0)
    }

    /// A node with `outputs` outputs.
    pub fn emit_in(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<String> {
        let mut name = format!("{}/{op}", self.scope);
        let used = self.uses.entry(name.clone()).or_default();
        *used += 1;
        if *used > 1 {
            name = format!("{name}_{}", *used - 1);
        }
        let outputs: Vec<String> = (0..outputs).map(|i| format!("{name}_output_{i}")).collect();
        let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let node = NodeProto::new(op, &name, inputs, &names);
        self.nodes.push(NodeProto { domain: domain.to_owned(), attribute: attributes, ..node });
        outputs
    }

    /// Says under which name a value of the graph can be had.
    pub fn define(&mut self, value: ValueId, name: String) {
        self.names.insert(value, name);
    }

    /// The name of a value of the graph.
    pub fn operand(&self, value: ValueId) -> Rule {
        let name = self.names.get(&value).cloned();
        name.or_else(|| Some(self.layout.find(value, Form::Plain)?.name.clone())).ok_or("an operand is missing".into())
    }

    /// A value in a form: stored so where it is a parameter, computed otherwise.
    pub fn in_form(&mut self, value: ValueId, form: Form) -> Rule {
        let stored = self.layout.find(value, form).map(|weight| weight.name.clone());
        let plain = match stored {
            // Stored as it is declared there: a vector.
            Some(name) if form == Form::PerChannel && self.target.flavour == Flavour::Cuda => name,
            Some(name) => return Ok(name),
            None => self.operand(value)?,
        };
        Ok(match form {
            Form::Plain => plain,
            Form::Transposed => self.emit("Transpose", &[&plain], vec![AttributeProto::ints("perm", [1, 0])]),
            Form::PerChannel => {
                let shape = self.whole(&[-1, 1, 1]);
                self.emit("Reshape", &[&plain, &shape], Vec::new())
            }
            _ => return Err("a quantised form that is not stored".into()),
        })
    }

    /// One number for each channel as a vector: stored where it is a norm's parameter.
    pub fn vector(&self, value: ValueId) -> Rule {
        self.layout.find(value, Form::PerChannel).map_or_else(|| self.operand(value), |weight| Ok(weight.name.clone()))
    }

    /// The name that a value has already, where it is defined before its own operation is reached.
    pub fn defined(&self, value: ValueId) -> Option<String> {
        self.names.get(&value).cloned()
    }

    /// The SiLU that is all that becomes of a value: what it gives.
    pub fn silu_of(&self, value: ValueId) -> Option<ValueId> {
        let mut users = self.graph.nodes.iter().filter(|node| node.inputs.contains(&value));
        let (user, others) = (users.next()?, users.next());
        let is_output = self.graph.outputs.iter().any(|output| output.value == value);
        (user.op == Op::Unary(Unary::Silu) && others.is_none() && !is_output).then_some(user.output)
    }

    /// Gives the result of the operation that made `value` another name; false where it is no operation's, or has its final
    /// name already.
    pub fn rename(&mut self, value: ValueId, to: &str) -> bool {
        let taken = |name: &str| self.graph.outputs.iter().any(|output| output.name == name);
        let Some(from) = self.names.get(&value).filter(|name| !taken(name)).cloned() else { return false };
        if !self.nodes.iter().any(|node| node.output.contains(&from)) {
            return false;
        }
        let names = self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        for name in names.chain(self.names.values_mut()).filter(|name| **name == from) {
            *name = to.to_owned();
        }
        true
    }

    /// Gives the output of the last node another name.
    pub fn rename_node_output(&mut self, from: &str, to: &str) {
        for name in self.nodes.iter_mut().flat_map(|node| &mut node.output).filter(|name| *name == from) {
            *name = to.to_owned();
        }
    }

    /// A constant that is made when its name is first asked for; the name must say everything about it.
    pub fn constant(&mut self, name: String, make: impl FnOnce(&str) -> TensorProto) -> String {
        if self.known_constants.insert(name.clone()) {
            self.constants.push(make(&name));
        }
        name
    }

    /// A list of whole numbers: a shape, axes, limits.
    pub fn whole(&mut self, numbers: &[i64]) -> String {
        let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.constant(format!("const.i64[{list}]"), |name| tensors::whole(name, numbers))
    }

    /// A single number of a floating-point type.
    pub fn scalar(&mut self, dtype: Dtype, number: f64) -> String {
        self.constant(format!("const.{dtype}.{number}"), |name| tensors::floats(name, dtype, &[], &[number as f32]))
    }

    /// A single number of 8 bits.
    pub fn byte(&mut self, number: u8) -> String {
        self.constant(format!("const.u8.{number}"), |name| {
            TensorProto::inline(name, DataType::Uint8, Vec::new(), vec![number])
        })
    }

    /// `length` times the same number.
    pub fn filled(&mut self, dtype: Dtype, length: usize, number: f32) -> String {
        self.constant(format!("const.{dtype}.{number}x{length}"), |name| {
            tensors::floats(name, dtype, &[length], &vec![number; length])
        })
    }

    /// The dimensions of a value, computed where it is known when the graph runs. One node for each value and range.
    pub fn shape_of(&mut self, value: ValueId, dims: Range<usize>) -> Rule {
        if let Some(name) = self.shapes.get(&(value, dims.clone())) {
            return Ok(name.clone());
        }
        let name = self.operand(value)?;
        let mut attributes = Vec::new();
        if dims != (0..self.graph.fact(value).rank()) {
            attributes.push(AttributeProto::int("start", dims.start as i64));
            attributes.push(AttributeProto::int("end", dims.end as i64));
        }
        let shape = self.emit("Shape", &[&name], attributes);
        self.shapes.insert((value, dims), shape.clone());
        Ok(shape)
    }

    /// The shape operand of a `Reshape` from `from` to `to`, if it can be a constant: at most one dimension left to be
    /// computed, others known or the same as in `from`.
    pub fn static_target(&mut self, from: &[Dim], to: &[Dim]) -> Option<String> {
        let mut open = 0;
        let dims: Vec<i64> = to
            .iter()
            .enumerate()
            .map(|(i, dim)| match dim.known() {
                Some(n) => n as i64,
                None if from.get(i) == Some(dim) => 0,
                None => {
                    open += 1;
                    -1
                }
            })
            .collect();
        (open <= 1).then(|| self.whole(&dims))
    }

    /// `x` (of shape `from`) under the shape of `like`.
    pub fn reshape_like(&mut self, x: &str, from: &[Dim], like: ValueId) -> Rule {
        let fact = self.graph.fact(like);
        let target = match self.static_target(from, &fact.shape) {
            Some(target) => target,
            None => self.shape_of(like, 0..fact.rank())?,
        };
        Ok(self.emit("Reshape", &[x, &target], Vec::new()))
    }

    /// A described shape of `x` that no constant can say: its parts joined.
    pub fn joined_target(&mut self, x: ValueId, to: &[Extent]) -> Rule {
        let parts = to
            .iter()
            .map(|extent| match extent {
                Extent::Keep(i) => self.shape_of(x, *i..i + 1),
                Extent::Is(n) => Ok(self.whole(&[*n as i64])),
                Extent::Rest => Ok(self.whole(&[-1])),
            })
            .collect::<Rule<Vec<_>>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(self.emit("Concat", &parts, vec![AttributeProto::int("axis", 0)]))
    }

    /// Equal pieces of a value along one dimension: one `Split` however many of them are asked for, one at a time.
    pub fn piece(&mut self, x: ValueId, axis: usize, parts: usize, index: usize) -> Rule {
        let key = (x, axis, parts);
        if !self.pieces.contains_key(&key) {
            let name = self.operand(x)?;
            let attributes =
                vec![AttributeProto::int("axis", axis as i64), AttributeProto::int("num_outputs", parts as i64)];
            let pieces = self.emit_in("", "Split", &[&name], attributes, parts);
            self.pieces.insert(key, pieces);
        }
        self.pieces[&key].get(index).cloned().ok_or("no such piece".into())
    }

    /// `x` of type `from` as `to`; nothing where they are the same.
    pub fn cast(&mut self, x: String, from: Dtype, to: Dtype) -> String {
        if from == to {
            return x;
        }
        self.emit("Cast", &[&x], vec![AttributeProto::int("to", tensors::data_type(to) as i64)])
    }

    /// Type and shape of a value.
    pub fn fact(&self, value: ValueId) -> &'a Fact {
        self.graph.fact(value)
    }
}
