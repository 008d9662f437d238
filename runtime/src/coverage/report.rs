//! What is said about a bundle: per network, how much is taken, in how many pieces, and what is not.

use super::{Frozen, Kind, Reason, Rules, Target, partitions};
use crate::pipeline::Size;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// How much of a bundle a provider takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Name of the bundle.
    pub bundle: String,
    /// The provider.
    pub provider: Target,
    /// The version of the provider that its rules describe.
    pub rules: String,
    /// Where its rules come from.
    pub sources: Vec<String>,
    /// The size of the picture that the graphs were frozen for.
    pub size: Size,
    /// What a person should know before choosing the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// What the rules leave out.
    pub notes: Vec<String>,
    /// The networks.
    pub networks: Vec<NetworkCoverage>,
}

/// How much of a network a provider takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkCoverage {
    /// `text_encoder`, `unet`, `vae_decoder`, `router`.
    pub component: &'static str,
    /// Name of the expert, for the UNets of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert: Option<String>,
    /// The graph's file inside the bundle.
    pub graph: String,
    /// Nodes that the provider is asked about.
    pub nodes: usize,
    /// Nodes that it takes.
    pub taken: usize,
    /// Sizes of the partitions that they are in, in nodes.
    pub partitions: Vec<usize>,
    /// What it comes to.
    pub verdict: Verdict,
    /// What is not taken, the most frequent first.
    pub missing: Vec<Missing>,
}

/// Nodes of one operator that are not taken for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The operator; after `DOMAIN:` where it is not a standard one.
    pub operator: String,
    /// How many there are.
    pub count: usize,
    /// The sort of the first reason found.
    pub kind: Kind,
    /// The first reason found.
    pub reason: String,
}

/// What a network's coverage comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All nodes, in one partition.
    Whole,
    /// Some nodes, in one partition.
    Piece,
    /// Some nodes in several partitions, with copies at every border.
    Islands,
    /// No node.
    Nothing,
}

impl NetworkCoverage {
    /// Judges `graph` by `rules`.
    pub fn of(component: &'static str, expert: Option<&str>, file: &str, graph: &Frozen, rules: &Rules) -> Self {
        let reasons: Vec<Option<Reason>> = graph.nodes.iter().map(|node| rules.refuses(graph, node)).collect();
        let taken: Vec<bool> = reasons.iter().map(Option::is_none).collect();
        let mut counts: BTreeMap<(String, &Reason), usize> = BTreeMap::new();
        for (node, reason) in graph.nodes.iter().zip(&reasons) {
            let Some(reason) = reason else { continue };
            let operator = match node.domain.as_str() {
                "" | "ai.onnx" => node.op_type.clone(),
                domain => format!("{domain}:{}", node.op_type),
            };
            *counts.entry((operator, reason)).or_default() += 1;
        }
        let missing = counts.into_iter().map(|((operator, Reason { kind, text }), count)| Missing {
            operator,
            count,
            kind: *kind,
            reason: text.clone(),
        });
        let mut missing: Vec<Missing> = missing.collect();
        missing.sort_by_key(|missing| std::cmp::Reverse(missing.count));
        let partitions = partitions(graph, &taken);
        let count = taken.iter().filter(|&&taken| taken).count();
        Self {
            component,
            expert: expert.map(Into::into),
            graph: file.to_owned(),
            nodes: graph.nodes.len(),
            taken: count,
            verdict: match count {
                0 => Verdict::Nothing,
                count if count == graph.nodes.len() => Verdict::Whole,
                _ if partitions.len() == 1 => Verdict::Piece,
                _ => Verdict::Islands,
            },
            partitions,
            missing,
        }
    }
}

impl fmt::Display for NetworkCoverage {
    /// The verdict in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, taken, partitions, .. } = self;
        let borders = match partitions.len() {
            1 => "1 partition".to_owned(),
            count => format!("{count} partitions"),
        };
        match self.verdict {
            Verdict::Whole => write!(f, "all of it, in {borders}"),
            Verdict::Piece => write!(f, "{taken} of {nodes} nodes, in {borders}"),
            Verdict::Islands => {
                write!(f, "islands, {taken} of {nodes} nodes in {borders}: runs, but slowly")
            }
            Verdict::Nothing => f.write_str("nothing: all of it runs on the processor"),
        }
    }
}
