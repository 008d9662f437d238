//! Networks that belong to no bundle: graphs with their data files, and what the caller puts beside them.

use super::{
    Options,
    network::{Context, Plan},
    source::{NAME, Part},
};
use crate::{
    error::Result,
    verify::{Difference, verify},
    watch::{Stage, Watch},
};
use pleach_model::{
    counter::At,
    files::{AtomicFolder, Overwrite},
    manifest::Component,
};
use std::path::{Path, PathBuf};

/// The side of the pictures that multiply-accumulates are counted for, where a network takes any.
const SIDE: usize = 64;

/// What was written.
pub(super) struct Written {
    /// Where; none where it was verified and failed, and therefore not kept.
    pub folder: Option<PathBuf>,
    /// Each part's network, with the name that it has.
    pub components: Vec<(&'static str, Component)>,
    /// How far the graphs are from the reference.
    pub differences: Vec<Difference>,
}

/// Writes the networks of parts into the folder `out`, and `others` beside them. A folder that holds the file `mark` may be replaced
/// where the options allow it.
pub(super) fn write(
    parts: &[Part],
    out: &Path,
    mark: &'static str,
    options: &Options,
    watch: &dyn Watch,
    others: &dyn Fn(&Path) -> Result<()>,
) -> Result<Written> {
    let bound = parts.iter().map(Part::bind).collect::<Result<Vec<_>>>()?;
    let mut plans = Vec::new();
    for (part, tensors) in parts.iter().zip(&bound) {
        for network in &part.networks {
            plans.push((part, tensors, Plan::new(network.clone(), options.precision)?));
        }
    }
    let overwrite = if options.overwrite { Overwrite::IfItHolds(mark) } else { Overwrite::Never };
    let folder = AtomicFolder::create(out, overwrite)?;
    watch.begin(Stage::Writing { bytes: plans.iter().map(|(_, _, plan)| plan.bytes()).sum() });
    let mut components = Vec::new();
    for (part, tensors, plan) in &plans {
        let written = plan.write_weights(NAME, tensors, folder.path(), watch)?;
        let sources = part.files()?.iter().map(|file| file.sha256).collect();
        let counted_at = At { height: SIDE, width: SIDE, tokens: 0 };
        let context = Context { counted_at, sources, metadata: Vec::new(), data_files: &[] };
        let component = plan.write_graphs(NAME, &context, &written, folder.path())?;
        components.push((plan.network().component(), component));
    }
    others(folder.path())?;
    let mut differences = Vec::new();
    if let Some(engine) = options.verifier() {
        watch.begin(Stage::Verifying);
        for ((_, tensors, plan), (_, component)) in plans.iter().zip(&components) {
            differences.extend(verify(engine, plan.network(), tensors, component, folder.path(), None)?);
        }
    }
    let passed = differences.iter().all(Difference::passed);
    let folder = passed.then(|| folder.persist()).transpose()?;
    Ok(Written { folder, components, differences })
}
