//! The schemes of a bundle's experts: each draws for itself, because each has weights of its own.

use super::{
    Options, beside,
    network::{Context, Plan},
    source::{NAME, Source},
};
use crate::{
    error::{Error, Result},
    network::Network,
    quantize::calibrate::{self, Calibration, Embedding, Sensitivity},
    watch::{Stage, Watch},
};
use pleach_model::{
    checkpoint::Bound,
    files::{AtomicFolder, Overwrite},
    manifest::Precision,
    pipeline,
    samplers::SamplerKind,
    schedule::Schedule,
    tokenizer::Tokenizer,
};
use pleach_runtime::engine::{self, Engine, GraphFile, HostCache, NetworkOptions, TensorRef};
use serde::Serialize;
use std::path::Path;

/// What calibration found of an expert.
#[derive(Clone, Debug, Serialize)]
pub struct Calibrated {
    /// Its name.
    pub expert: String,
    /// Every layer that could be quantised.
    pub layers: Vec<Sensitivity>,
}

/// Gives each expert's plan its scheme, where weights are whole numbers. Files are written to a folder beside `bundle` meanwhile.
pub(super) fn calibrate(
    source: &Source,
    tensors: &[Bound<'_>],
    plans: &mut [Vec<Plan>],
    bundle: &Path,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Vec<Calibrated>> {
    if !matches!(options.precision, Precision::Int8 | Precision::Int4) {
        return Ok(Vec::new());
    }
    let engine = options.engine.as_ref().ok_or(Error::NoEngine(options.precision))?;
    watch.begin(Stage::Calibrating);
    // It is never kept, so it goes with the end of this function.
    let folder = AtomicFolder::create(&beside(bundle, "calibration"), Overwrite::Never)?;
    let embedded = embeddings(source, tensors, options, engine, folder.path())?;
    let schedule = Schedule::from_config(&source.common.scheduler).map_err(|source_error| {
        pipeline::Error::Scheduler { path: source.common.scheduler_path.clone(), source: source_error }
    })?;
    let mut calibrated = Vec::new();
    for ((part, tensors), plans) in source.parts.iter().zip(tensors).zip(plans) {
        let (Some(expert), Some(plan)) = (&part.expert, plans.first_mut()) else { continue };
        let Network::Unet { config, .. } = plan.network() else { continue };
        let (null, prompts) = embedded.clone();
        let calibration = Calibration {
            engine,
            schedule: &schedule,
            sampler: SamplerKind::from_config(schedule.config())?,
            steps: options.calibration.steps,
            guidance: options.calibration.guidance,
            latents: [1, config.in_channels, source.counted_at.height, source.counted_at.width],
            null,
            prompts,
            watch,
        };
        let (scheme, layers) =
            calibrate::scheme(plan.graph(), tensors, options.precision, &calibration, folder.path())?;
        *plan = plan.clone().with_scheme(scheme);
        calibrated.push(Calibrated { expert: expert.name.clone(), layers });
    }
    Ok(calibrated)
}

/// The empty prompt and the others through the text encoder, in f32.
fn embeddings(
    source: &Source,
    tensors: &[Bound<'_>],
    options: &Options,
    engine: &Engine,
    folder: &Path,
) -> Result<(Embedding, Vec<Embedding>)> {
    let mut found = Vec::new();
    for (part, tensors) in source.parts.iter().zip(tensors) {
        let Some(network @ Network::TextEncoder(config)) = part.networks.first() else { continue };
        let plan = Plan::new(network.clone(), Precision::F32)?;
        let written = plan.write_weights(NAME, tensors, folder, &())?;
        let context =
            Context { counted_at: source.counted_at, sources: Vec::new(), metadata: Vec::new(), data_files: &[] };
        plan.write_graphs(NAME, &context, &written, folder)?;
        let file = format!("{}.onnx", network.file(NAME));
        let file = GraphFile::open(folder, &file, None, &HostCache::off()).map_err(engine::Error::from)?;
        let mut network = engine.open(&file, &NetworkOptions::default())?;
        let tokenizer = Tokenizer::clip(&source.common.tokenizer, config.max_position_embeddings)?;
        let nothing = String::new();
        for prompt in std::iter::once(&nothing).chain(&options.calibration.prompts) {
            let ids: Vec<i64> = tokenizer.encode(prompt)?.ids.into_iter().map(i64::from).collect();
            let outputs = network.run(&[("input_ids", TensorRef::new(&[1, ids.len()], &ids)?)])?;
            let hidden = outputs.first().map(|output| output.view().to_f32().into_owned()).unwrap_or_default();
            found.push(Embedding { shape: [1, ids.len(), config.hidden_size], values: hidden });
        }
    }
    let mut found = found.into_iter();
    // A source has a text encoder.
    let null = found.next().unwrap_or(Embedding { shape: [1, 0, 0], values: Vec::new() });
    Ok((null, found.collect()))
}
