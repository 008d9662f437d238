//! A classifier, which belongs to no pipeline, as a graph of its own: `model.onnx` with its data file, and `config.json`.

use super::{
    Exported, Options, What,
    network::{Context, Plan},
    others::copy,
    source::{NAME, Part},
};
use crate::{
    error::Result,
    network::Network,
    verify::{Difference, verify},
    watch::{Stage, Watch},
};
use pleach_model::{
    counter::At,
    files::{AtomicFolder, Overwrite},
    pipeline::{self, PipelineFolder},
    vision::{self, VisionConfig},
};
use std::path::Path;

const CONFIG: &str = "config.json";
/// The side of the pictures that multiply-accumulates are counted for.
const SIDE: usize = 64;

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
    let part = Part::open(&root, stored, options.variant.as_deref(), vec![network.clone()])?;
    let tensors = part.bind()?;
    let plan = Plan::new(network, options.precision)?;
    let overwrite = if options.overwrite { Overwrite::IfItHolds("model.onnx") } else { Overwrite::Never };
    let folder = AtomicFolder::create(out, overwrite)?;
    watch.begin(Stage::Writing { bytes: plan.bytes() });
    let written = plan.write_weights(NAME, &tensors, folder.path(), watch)?;
    let sources = part.files()?.iter().map(|file| file.sha256).collect();
    let counted_at = At { height: SIDE, width: SIDE, tokens: 0 };
    let context = Context { counted_at, sources, metadata: Vec::new(), data_files: &[] };
    let component = plan.write_graphs(NAME, &context, &written, folder.path())?;
    copy(&part.config_path, folder.path(), CONFIG.to_owned())?;
    let mut differences = Vec::new();
    if let Some(engine) = options.verifier() {
        watch.begin(Stage::Verifying);
        differences = verify(engine, plan.network(), &tensors, &component, folder.path(), None)?;
    }
    let passed = differences.iter().all(Difference::passed);
    let folder = passed.then(|| folder.persist()).transpose()?;
    Ok(Exported { folder, what: What::Classifier(component), differences, drawn: Vec::new(), calibrated: Vec::new() })
}
