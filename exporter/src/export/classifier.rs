//! A classifier, which belongs to no pipeline, as a graph of its own: `model.onnx` with its data file, and `config.json`.

use super::{
    Exported, Options, What,
    alone::{self, Written},
    others::copy,
    source::Part,
};
use crate::{error::Result, network::Network, watch::Watch};
use pleach_model::{
    pipeline::{self, PipelineFolder},
    vision::{self, VisionConfig},
};
use std::path::Path;

const CONFIG: &str = "config.json";

/// The classifier whose configuration and weights lie right in `folder`; none where something else does.
pub(super) fn find(folder: &Path) -> Result<Option<pipeline::Network>> {
    if !folder.join(CONFIG).is_file() || PipelineFolder::open(folder).is_ok() {
        return Ok(None);
    }
    let network = pipeline::Network::open(folder)?;
    let class = network.config.get("_class_name").and_then(|class| class.as_str());
    Ok((class == Some(vision::CLASS)).then_some(network))
}

/// As [`export`](super::export), of a classifier.
pub(super) fn export(stored: pipeline::Network, out: &Path, options: &Options, watch: &dyn Watch) -> Result<Exported> {
    let network = Network::Classifier(VisionConfig::from_json(&stored.config)?);
    let root = stored.folder.clone();
    let part = Part::open(&root, stored, options.variant.as_deref(), vec![network])?;
    let config = part.config_path.clone();
    let others = |root: &Path| copy(&config, root, CONFIG.to_owned()).map(drop);
    let Written { folder, components, differences } =
        alone::write(&[part], out, "model.onnx", options, watch, &others)?;
    Ok(Exported { folder, what: What::Networks(components), differences, drawn: Vec::new(), calibrated: Vec::new() })
}
