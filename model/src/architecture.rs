//! What is left of a network after pruning.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// Which units and modules of a network are kept. The full network is the value that names nothing.
///
/// Sites are module paths: a ResNet's (`down_blocks.0.resnets.1`, units are `norm2`'s groups), an attention's
/// (`.....transformer_blocks.0.attn1`, units are heads), a feed-forward's (`.....transformer_blocks.0.ff`, units are as many
/// groups of the hidden features as the network's norms have). A removed module is a ResNet, a transformer, `mid_block`, or the coarsest
/// level: its down and its up block, together, with the samplers between it and the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept: BTreeMap<String, Vec<usize>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    removed: BTreeSet<String>,
}

impl Architecture {
    /// The whole network.
    pub fn full() -> Self {
        Self::default()
    }

    /// Keeps only these units (ascending indices into the full network's) at a site.
    pub fn keep(mut self, site: impl Into<String>, units: Vec<usize>) -> Self {
        self.kept.insert(site.into(), units);
        self
    }

    /// Removes a module.
    pub fn remove(mut self, module: impl Into<String>) -> Self {
        self.removed.insert(module.into());
        self
    }

    /// The units kept at a site, where not all are.
    pub fn kept(&self, site: &str) -> Option<&[usize]> {
        self.kept.get(site).map(Vec::as_slice)
    }

    /// Whether a module is removed.
    pub fn is_removed(&self, module: &str) -> bool {
        self.removed.contains(module)
    }

    /// How many of a site's units are left: none where it is inside a removed module.
    pub fn left(&self, site: &str, units: usize) -> usize {
        if self.is_removed(site) || self.is_inside_removed(site) {
            return 0;
        }
        self.kept(site).map_or(units, <[usize]>::len)
    }

    fn is_inside_removed(&self, name: &str) -> bool {
        name.match_indices('.').any(|(end, _)| self.removed.contains(&name[..end]))
    }
}

/// What can be pruned at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    /// Channel groups inside a ResNet.
    ResnetGroups,
    /// Attention heads.
    Heads,
    /// Groups of hidden features of a feed-forward layer.
    FeedForwardGroups,
    /// The module as a whole.
    Module,
}

/// A site of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunableSite {
    /// Module path.
    pub path: String,
    /// What its units are.
    pub kind: SiteKind,
    /// How many units the full network has there (1 for a whole module).
    pub units: usize,
}

/// Applies an architecture while a network is built, and notes the sites that there are.
#[derive(Debug)]
pub(crate) struct Cutter<'a> {
    architecture: &'a Architecture,
    sites: RefCell<Vec<PrunableSite>>,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(architecture: &'a Architecture) -> Self {
        Self { architecture, sites: RefCell::default() }
    }

    /// Number of units left at a site that has `units`.
    pub(crate) fn units(&self, path: &str, kind: SiteKind, units: usize) -> Result<usize> {
        self.sites.borrow_mut().push(PrunableSite { path: path.into(), kind, units });
        let Some(kept) = self.architecture.kept(path) else { return Ok(units) };
        let wrong = |reason: String| Error::Architecture { site: path.into(), reason };
        if kept.is_empty() {
            return Err(wrong("keeps nothing; remove the module instead".into()));
        }
        if !kept.is_sorted_by(|a, b| a < b) || kept.iter().any(|unit| *unit >= units) {
            return Err(wrong(format!("kept units must be ascending and below {units}, found {kept:?}")));
        }
        Ok(kept.len())
    }

    /// Whether a module is there. `removable` says whether its input can stand in for its output.
    pub(crate) fn present(&self, path: &str, removable: bool) -> Result<bool> {
        if removable {
            let site = PrunableSite { path: path.into(), kind: SiteKind::Module, units: 1 };
            self.sites.borrow_mut().push(site);
        }
        match (self.architecture.is_removed(path), removable) {
            (true, false) => {
                let reason = "cannot be removed: it changes the number of channels".into();
                Err(Error::Architecture { site: path.into(), reason })
            }
            (removed, _) => Ok(!removed),
        }
    }

    /// The sites in the order of construction; an error for a name in the architecture that the network does not have.
    pub(crate) fn finish(self) -> Result<Vec<PrunableSite>> {
        let sites = self.sites.into_inner();
        let unknown = |name: &&String, module: bool| {
            !sites.iter().any(|site| site.path == **name && (site.kind == SiteKind::Module) == module)
        };
        let Architecture { kept, removed } = self.architecture;
        // Sites inside a removed module are never visited, so what is said about them is not looked at.
        let inside = |name: &&String| self.architecture.is_inside_removed(name);
        let stray =
            kept.keys().filter(|name| !removed.contains(*name) && !inside(name)).find(|name| unknown(name, false));
        match stray.or_else(|| removed.iter().filter(|name| !inside(name)).find(|name| unknown(name, true))) {
            Some(name) => {
                let reason = "the network has no such site".into();
                Err(Error::Architecture { site: name.clone(), reason })
            }
            None => Ok(sites),
        }
    }
}
