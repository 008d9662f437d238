//! Which model it is: a bundle by the hashes of its files.

use super::{Error, PlannedModel, Result};
use crate::document::{Component, Model, ModelExpert};
use pleach_model::files::{Sha256, digest_file, resolve_inside};
use pleach_runtime::bundle::{Bundle, NetworkInspection};
use std::collections::BTreeMap;

impl Model {
    /// What a bundle is. The files of a bundle without a manifest are hashed; those of one with a manifest are what it lists, and are
    /// checked when they are opened.
    ///
    /// # Errors
    /// A file that is missing.
    pub fn of(bundle: &Bundle) -> Result<Self> {
        let inspection = bundle.inspect()?;
        let manifest = bundle.manifest();
        let mut listed: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for (_, component) in manifest.iter().flat_map(|manifest| manifest.components()) {
            let entries = component.graphs.iter().map(pleach_model::manifest::Graph::entry);
            for entry in entries.chain(component.weights.iter().cloned()) {
                listed.insert(entry.file, (entry.sha256.to_string(), entry.bytes));
            }
        }
        let mut components = Vec::new();
        for network in &inspection.networks {
            for file in files(network) {
                let (sha256, bytes) = match listed.get(file) {
                    Some((sha256, bytes)) => (sha256.clone(), *bytes),
                    None => {
                        let digest = digest_file(&resolve_inside(bundle.folder(), file)?)?;
                        (digest.sha256.to_string(), digest.bytes)
                    }
                };
                let precision = Some(network.precision.to_string());
                let role = network.component.to_owned();
                components.push(Component { role, file: file.to_owned(), sha256, bytes, precision });
            }
        }
        let experts = inspection.networks.iter().filter_map(|network| {
            let name = network.expert.clone()?;
            let expert = manifest.and_then(|manifest| manifest.expert(&name));
            Some(ModelExpert {
                name,
                macs: network.macs.exact,
                parameters: network.parameters,
                suppressed: expert.map(|expert| expert.suppressed.clone()).unwrap_or_default(),
                made: expert.map(|expert| expert.made.clone()).unwrap_or_default(),
            })
        });
        Ok(Self {
            name: bundle.name().to_owned(),
            sha256: bundle.sha256().unwrap_or_else(|| of_files(&components)).to_string(),
            experts: experts.collect(),
            suppressed: inspection.suppressed.clone(),
            components,
        })
    }
}

impl PlannedModel {
    /// Whether a bundle is the one of the plan.
    ///
    /// # Errors
    /// [`Error::Changed`] where it is not.
    pub fn check(&self, bundle: &Bundle) -> Result<()> {
        let found = Model::of(bundle)?.sha256;
        if found == self.model.sha256 {
            return Ok(());
        }
        let what = format!("the bundle {}", bundle.folder().display());
        Err(Error::Changed { what, planned: self.model.sha256.clone(), found })
    }
}

fn files(network: &NetworkInspection) -> impl Iterator<Item = &str> {
    let graphs = network.graphs.iter().map(|graph| graph.file.file.as_str());
    graphs.chain(network.weights.iter().map(|weights| weights.file.as_str()))
}

/// Stands for a bundle without a manifest.
fn of_files(components: &[Component]) -> Sha256 {
    let mut lines: Vec<String> = components.iter().map(|file| format!("{}  {}\n", file.sha256, file.file)).collect();
    lines.sort();
    Sha256::of(lines.concat().as_bytes())
}
