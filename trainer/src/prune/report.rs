//! What a family is like, for people: what is left of each expert, what it costs, and which prompts go to it.

use super::Routed;
use crate::run::Heatmap;
use pleach_model::{
    architecture::Architecture,
    counter::Macs,
    error::Result,
    family::FamilyFolder,
    vector::{VectorLayout, Width, module},
};
use serde::Serialize;
use std::collections::BTreeSet;

/// Example prompts of each expert.
const EXAMPLES: usize = 5;

/// An expert in a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExpertReport {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: u64,
    /// Its multiply-accumulates.
    pub macs: Macs,
    /// Those of the base that it has, counted exactly.
    pub macs_ratio: f64,
    /// Modules that it lacks.
    pub removed: Vec<String>,
    /// Prompts that go to it.
    pub prompts: Option<usize>,
    /// Those that go there most clearly, with their margins.
    pub examples: Vec<(String, f32)>,
}

/// Reports on the experts, in their order; with routes also which prompts go to them.
///
/// # Errors
/// A configuration that no network can be built of.
pub fn experts(family: &FamilyFolder, routes: Option<&[Routed]>) -> Result<Vec<ExpertReport>> {
    let layout = VectorLayout::of(family.config())?;
    let whole = family.manifest().base.macs.exact as f64;
    let report = |(expert, left): (&pleach_model::manifest::FamilyExpert, &Architecture)| {
        let own = routes.map(|routes| {
            let mut own: Vec<&Routed> = routes.iter().filter(|route| route.expert == expert.name).collect();
            own.sort_by(|a, b| b.margin.total_cmp(&a.margin));
            own
        });
        let examples = own.iter().flatten().take(EXAMPLES).map(|route| (route.text.clone(), route.margin));
        ExpertReport {
            name: expert.name.clone(),
            parameters: expert.parameters,
            macs: expert.macs,
            macs_ratio: expert.macs.exact as f64 / whole,
            removed: removed(&layout, left),
            prompts: own.as_ref().map(Vec::len),
            examples: examples.collect(),
        }
    };
    Ok(family.manifest().experts.iter().zip(family.architectures()).map(report).collect())
}

/// The modules of which nothing is left.
fn removed(layout: &VectorLayout, left: &Architecture) -> Vec<String> {
    let gone = |width: &&Width| left.left(&width.site, width.entries.len()) == 0;
    let modules: BTreeSet<&str> = layout.widths.iter().filter(gone).map(|width| module(&width.site)).collect();
    modules.into_iter().map(str::to_owned).collect()
}

/// For each expert the share of each site's units that is left: blocks from left to right, sites from top to bottom.
///
/// # Errors
/// A configuration that no network can be built of.
pub fn maps(family: &FamilyFolder) -> Result<Vec<Heatmap>> {
    let layout = VectorLayout::of(family.config())?;
    let mut columns: Vec<&str> = Vec::new();
    let mut rows: BTreeSet<Row<'_>> = BTreeSet::new();
    for width in &layout.widths {
        let (block, row) = place(&width.site);
        if !columns.contains(&block) {
            columns.push(block);
        }
        rows.insert(row);
    }
    let map = |(expert, left): (&pleach_model::manifest::FamilyExpert, &Architecture)| {
        let share =
            |width: &Width| left.left(&width.site, width.entries.len()) as f64 / width.entries.len().max(1) as f64;
        let cell = |block: &&str, row: &Row<'_>| {
            layout.widths.iter().find(|width| place(&width.site) == (*block, row.clone())).map(share)
        };
        Heatmap {
            title: expert.name.clone(),
            rows: rows.iter().map(|row| row.name.to_owned()).collect(),
            columns: columns.iter().map(|block| (*block).to_owned()).collect(),
            cells: rows.iter().map(|row| columns.iter().map(|block| cell(block, row)).collect()).collect(),
        }
    };
    Ok(family.manifest().experts.iter().zip(family.architectures()).map(map).collect())
}

/// A site's place in its block: ResNets before transformers, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row<'a> {
    transformer: bool,
    numbers: Vec<usize>,
    name: &'a str,
}

/// A site's block, and its place in there.
fn place(site: &str) -> (&str, Row<'_>) {
    let start = [".resnets.", ".attentions."].iter().filter_map(|kind| site.find(kind)).min().unwrap_or(0);
    let (block, name) = (&site[..start], site[start..].trim_start_matches('.'));
    let numbers = name.split('.').filter_map(|part| part.parse().ok()).collect();
    (block, Row { transformer: name.starts_with("attentions"), numbers, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_have_places() {
        let (block, resnet) = place("down_blocks.1.resnets.0");
        assert_eq!((block, resnet.name, resnet.transformer), ("down_blocks.1", "resnets.0", false));
        let (block, attention) = place("mid_block.attentions.0.transformer_blocks.2.attn1");
        assert_eq!((block, attention.name), ("mid_block", "attentions.0.transformer_blocks.2.attn1"));
        assert_eq!(attention.numbers, [0, 2]);
        let tenth = place("up_blocks.0.resnets.10").1;
        assert!(resnet < place("up_blocks.0.resnets.2").1 && place("up_blocks.0.resnets.2").1 < tenth);
        assert!(tenth < attention);
    }
}
