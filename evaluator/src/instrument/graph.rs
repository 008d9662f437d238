//! The graph of an instrument: one input for a picture, or a text's ids, and the output that counts.

use super::{Error, Preparation, Result};
use pleach_model::tokenizer::Tokens;
use pleach_runtime::engine::{Engine, GraphFile, HostCache, Network, NetworkOptions, Tensor, TensorRef};
use std::path::Path;

/// A graph in ONNX Runtime.
#[derive(Debug)]
pub(super) struct Graph {
    /// The instrument's name.
    name: String,
    network: Network,
    /// Which output counts.
    output: usize,
    /// The graph file and its weights.
    files: Vec<String>,
}

/// The files of weights that the graph `file` names, as paths in `folder`.
pub(super) fn weights(folder: &Path, file: &str) -> Result<Vec<String>> {
    Ok(listed(&open(folder, file)?))
}

fn open(folder: &Path, file: &str) -> Result<GraphFile> {
    Ok(GraphFile::open(folder, file, None, &HostCache::off()).map_err(pleach_runtime::engine::Error::from)?)
}

fn listed(graph: &GraphFile) -> Vec<String> {
    let inside =
        |name: &str| graph.name().rsplit_once('/').map_or_else(|| name.to_owned(), |(at, _)| format!("{at}/{name}"));
    graph.weights().map(|(name, _)| inside(name)).collect()
}

impl Graph {
    pub(super) fn open(engine: &Engine, name: &str, folder: &Path, file: &str, output: Option<&str>) -> Result<Self> {
        let graph = open(folder, file)?;
        let files = [file.to_owned()].into_iter().chain(listed(&graph)).collect();
        let network = engine.open(&graph, &NetworkOptions::default())?;
        let outputs = network.outputs();
        let wrong = |problem: String| Error::Graph { name: name.to_owned(), file: file.to_owned(), problem };
        let index = match output {
            Some(wanted) => outputs.iter().position(|output| output.name == wanted),
            None => (outputs.len() == 1).then_some(0),
        };
        let index = index.ok_or_else(|| {
            let found = outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
            wrong(match output {
                Some(wanted) => format!("has no output {wanted:?}; it has: {found}"),
                None => format!("has the outputs {found}: name the one that counts as `output`"),
            })
        })?;
        Ok(Self { name: name.to_owned(), network, output: index, files })
    }

    pub(super) fn files(&self) -> &[String] {
        &self.files
    }

    pub(super) fn wrong(&self, problem: String) -> Error {
        Error::Graph { name: self.name.clone(), file: self.network.name().to_owned(), problem }
    }

    /// Runs it on one prepared picture. The output's shape is `[1]` and `expected`, where 0 stands for any size.
    pub(super) fn run(&mut self, input: &Preparation, values: &[f32], expected: &[usize]) -> Result<Vec<f32>> {
        let [only] = self.network.inputs() else {
            let names: Vec<_> = self.network.inputs().iter().map(|input| input.name.as_str()).collect();
            return Err(self.wrong(format!("takes {}, not one picture", names.join(", "))));
        };
        let name = only.name.clone();
        let shape = [1, 3, input.height as usize, input.width as usize];
        let outputs = self.network.run(&[(&name, TensorRef::new(&shape, values)?)])?;
        self.counting(outputs, expected)
    }

    /// Runs it on one text.
    pub(super) fn run_text(&mut self, tokens: &Tokens) -> Result<Vec<f32>> {
        let ids: Vec<i64> = tokens.ids.iter().map(|&id| i64::from(id)).collect();
        let mask: Vec<i64> = (0..ids.len()).map(|i| i64::from(i < tokens.length)).collect();
        let shape = [1, ids.len()];
        let takes_mask = self.network.inputs().iter().any(|input| input.name == "attention_mask");
        let mut inputs = vec![("input_ids", TensorRef::new(&shape, &ids)?)];
        if takes_mask {
            inputs.push(("attention_mask", TensorRef::new(&shape, &mask)?));
        }
        let outputs = self.network.run(&inputs)?;
        self.counting(outputs, &[0])
    }

    /// The elements of the output that counts.
    fn counting(&self, outputs: Vec<Tensor>, expected: &[usize]) -> Result<Vec<f32>> {
        let output = outputs.into_iter().nth(self.output).ok_or_else(|| self.wrong("gives nothing".into()))?;
        // A pooled feature map may have kept its sides.
        let mut shape = output.shape();
        while let [rest @ .., 1] = shape
            && shape.len() > 1 + expected.len()
        {
            shape = rest;
        }
        let fits = shape.len() == 1 + expected.len()
            && shape[0] == 1
            && shape[1..]
                .iter()
                .zip(expected)
                .all(|(&found, &expected)| found > 0 && (expected == 0 || found == expected));
        if !fits {
            let any = |size: &usize| if *size == 0 { "?".to_owned() } else { size.to_string() };
            let expected = expected.iter().map(any).collect::<Vec<_>>().join(", ");
            return Err(self.wrong(format!("gives the shape {shape:?}, the description expects [1, {expected}]")));
        }
        Ok(output.into_f32())
    }
}
