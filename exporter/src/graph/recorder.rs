//! From a network to a [`Graph`]: a sink that keeps every operation, and a source that keeps every parameter's name.

use super::{Graph, Node, Origin, Output, Value, ValueId};
use crate::error::{Error, Result};
use pleach_model::{
    backend::Constant,
    error,
    op::Op,
    params::{Params, Source},
    shape::Fact,
    tensor::{Dtype, TensorSpec},
    trace::{Sink, Traced, Tracer},
};
use std::collections::{BTreeSet, HashMap};

/// The interpreter of networks that records them.
pub type Recording = Tracer<Recorder>;

/// Keeps what a network does.
#[derive(Debug, Default)]
pub struct Recorder {
    values: Vec<Value>,
    nodes: Vec<Node>,
    inputs: Vec<ValueId>,
    parameters: HashMap<String, ValueId>,
    /// The first operation that took a value from somewhere else.
    stray: Option<String>,
}

impl Recorder {
    /// Declares an input. Names are checked when the recording ends.
    pub fn input(&mut self, name: &str, fact: Fact) -> Traced {
        let id = self.value(fact.clone(), Origin::Input(name.to_owned()));
        self.inputs.push(id);
        Traced { id, fact }
    }

    fn value(&mut self, fact: Fact, origin: Origin) -> ValueId {
        self.values.push(Value { fact, origin });
        self.values.len() - 1
    }

    fn knows(&self, value: &Traced) -> bool {
        self.values.get(value.id).is_some_and(|known| known.fact == value.fact)
    }

    /// The graph with these outputs.
    fn finish(self, outputs: Vec<(String, Traced)>) -> Result<Graph> {
        if let Some(path) = &self.stray {
            return Err(Error::Undeclared { path: path.clone() });
        }
        if let Some((name, _)) = outputs.iter().find(|(_, value)| !self.knows(value)) {
            return Err(Error::Undeclared { path: name.clone() });
        }
        let outputs: Vec<Output> = outputs.into_iter().map(|(name, value)| Output { name, value: value.id }).collect();
        let graph = Graph { values: self.values, nodes: self.nodes, inputs: self.inputs, outputs };
        check_names(&graph)?;
        check_use(&graph)?;
        Ok(graph)
    }
}

fn check_names(graph: &Graph) -> Result<()> {
    let mut names = BTreeSet::new();
    let inputs = graph.named_inputs().map(|(name, _)| name);
    let parameters = graph.parameters().map(|spec| spec.name.as_str());
    for name in inputs.chain(graph.outputs.iter().map(|output| output.name.as_str())).chain(parameters) {
        if !names.insert(name) {
            return Err(Error::Duplicate { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Every input and every parameter must matter.
fn check_use(graph: &Graph) -> Result<()> {
    let mut used = vec![false; graph.values.len()];
    let operands = graph.nodes.iter().flat_map(|node| node.inputs.iter().copied());
    for id in operands.chain(graph.outputs.iter().map(|output| output.value)) {
        used[id] = true;
    }
    let unused = graph.values.iter().zip(used).filter(|(_, used)| !used);
    let names: Vec<String> = unused
        .filter_map(|(value, _)| match &value.origin {
            Origin::Input(name) => Some(name.clone()),
            Origin::Parameter(spec) => Some(spec.name.clone()),
            Origin::Constant(_) | Origin::Node(_) => None,
        })
        .collect();
    if names.is_empty() { Ok(()) } else { Err(Error::Unused { names }) }
}

impl Sink for Recorder {
    fn node(&mut self, path: &str, op: &Op, inputs: &[&Traced], output: &Fact) -> usize {
        if self.stray.is_none() && !inputs.iter().all(|value| self.knows(value)) {
            self.stray = Some(format!("{path}: {}", op.name()));
        }
        let id = self.value(output.clone(), Origin::Node(self.nodes.len()));
        let inputs = inputs.iter().map(|value| value.id).collect();
        self.nodes.push(Node { path: path.into(), op: op.clone(), inputs, output: id });
        id
    }

    fn constant(&mut self, _: &str, data: Constant, fact: &Fact) -> usize {
        self.value(fact.clone(), Origin::Constant(data))
    }
}

/// Makes an initialiser of every parameter asked for, in one element type.
#[derive(Clone, Copy, Debug)]
pub struct Parameters(pub Dtype);

impl Source<Recording> for Parameters {
    fn parameter(&self, recording: &Recording, spec: &TensorSpec) -> error::Result<Traced> {
        let fact = Fact::new(self.0, spec.shape.iter().copied());
        recording.with(|recorder| match recorder.parameters.get(&spec.name) {
            Some(&id) if recorder.values[id].fact == fact => Ok(Traced { id, fact }),
            Some(&id) => Err(error::Error::Parameter {
                name: spec.name.clone(),
                reason: format!("asked for as {fact} and as {}", recorder.values[id].fact),
            }),
            None => {
                let id = recorder.value(fact.clone(), Origin::Parameter(spec.clone()));
                recorder.parameters.insert(spec.name.clone(), id);
                Ok(Traced { id, fact })
            }
        })
    }
}

/// Records a network: `describe` declares inputs, builds and runs the network with parameters of type `dtype`, and gives the
/// outputs with their names.
///
/// # Errors
/// What the network says; [`Error::Unused`], [`Error::Duplicate`], [`Error::Undeclared`].
pub fn record(
    dtype: Dtype,
    describe: impl FnOnce(&Recording, &Params<Recording>) -> error::Result<Vec<(String, Traced)>>,
) -> Result<Graph> {
    let (recording, parameters) = (Recording::default(), Parameters(dtype));
    let outputs = describe(&recording, &Params::new(&recording, &parameters))?;
    recording.finish().finish(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_model::{backend::Backend, layers::Linear};

    fn input(b: &Recording, name: &str) -> Traced {
        b.with(|recorder| recorder.input(name, Fact::new(Dtype::F32, [2, 3])))
    }

    fn error(describe: impl FnOnce(&Recording, &Params<Recording>) -> error::Result<Vec<(String, Traced)>>) -> String {
        record(Dtype::F32, describe).unwrap_err().to_string()
    }

    #[test]
    fn a_parameter_that_nothing_uses_is_an_error() {
        let error = error(|b, p| {
            p.at("proj").get("weight", &[4, 3])?;
            let x = input(b, "x");
            Ok(vec![("y".into(), b.silu(&x)?)])
        });
        assert_eq!(error, "the network never uses: proj.weight");
    }

    #[test]
    fn an_input_that_nothing_uses_is_an_error() {
        let error = error(|b, _| {
            input(b, "ignored");
            let x = input(b, "x");
            Ok(vec![("y".into(), b.silu(&x)?)])
        });
        assert_eq!(error, "the network never uses: ignored");
    }

    #[test]
    fn a_name_is_declared_once() {
        let error = error(|b, _| {
            let sum = b.add(&input(b, "x"), &input(b, "x"))?;
            Ok(vec![("y".into(), sum)])
        });
        assert_eq!(error, "the name x is declared twice");
    }

    #[test]
    fn an_input_must_be_declared() {
        let stranger = Traced { id: 7, fact: Fact::new(Dtype::F32, [2, 3]) };
        let error = error(|b, _| Ok(vec![("y".into(), b.silu(&stranger)?)]));
        assert_eq!(error, ": silu: a value that was not declared as an input of this graph");
    }

    #[test]
    fn a_parameter_asked_for_twice_is_one_value() {
        let graph = record(Dtype::F16, |b, p| {
            let bias = p.at("proj").get("bias", &[4])?;
            let linear = Linear::new(&p.at("proj"), 3, 4, true)?;
            let x = b.with(|recorder| recorder.input("x", Fact::new(Dtype::F16, [2, 3])));
            Ok(vec![("y".into(), b.add(&linear.forward(b, &x)?, &bias)?)])
        })
        .unwrap();
        assert_eq!(graph.parameters().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["proj.bias", "proj.weight"]);
        assert_eq!(&*graph.nodes[0].path, "proj");
    }

    #[test]
    fn a_parameter_has_one_shape() {
        let error = error(|_, p| {
            p.get("weight", &[4])?;
            p.get("weight", &[5]).map(|_| Vec::new())
        });
        assert_eq!(error, "parameter weight: asked for as f32[5] and as f32[4]");
    }
}
