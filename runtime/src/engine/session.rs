//! Opening a session: which options ONNX Runtime gets, and how it gets the weights.

use super::{Cancellation, Engine, GraphFile, NetworkOptions, Provider, Result, network::failure};
use ort::session::{
    Session,
    builder::{GraphOptimizationLevel, SessionBuilder},
};

/// Opens the session of a network.
pub(super) fn open(engine: &Engine, graph: &GraphFile, options: &NetworkOptions) -> Result<Session> {
    let failed = failure(graph.name(), "open it", options.cancellation.as_ref());
    let mut builder = configure(engine, options).map_err(&failed)?;
    if let Some(folder) = graph.weight_file().and_then(|file| file.parent()) {
        let folder = folder.to_string_lossy();
        builder = builder
            .with_config_entry("session.model_external_initializers_file_folder_path", folder)
            .map_err(ort::Error::from)
            .map_err(&failed)?;
    }
    load(&mut builder, options.cancellation.as_ref(), |builder| builder.commit_from_memory(graph.contents()))
        .map_err(failed)
}

fn load<T>(
    builder: &mut SessionBuilder,
    cancellation: Option<&Cancellation>,
    load: impl FnOnce(&mut SessionBuilder) -> T,
) -> T {
    match cancellation {
        None => load(builder),
        Some(cancellation) => cancellation.while_loading(builder, load),
    }
}

/// A builder with everything set but the model.
fn configure(engine: &Engine, options: &NetworkOptions) -> ort::Result<SessionBuilder> {
    let mut builder = Session::builder(engine.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        // Whatever the bytes look like: only what was checked as ONNX is read, and as nothing else.
        .with_config_entry("session.load_model_format", "ONNX")?;
    if let Some(threads) = options.threads {
        builder = builder.with_independent_thread_pool()?.with_intra_threads(threads.get())?;
    }
    for (name, &size) in &options.dimensions {
        builder = builder.with_dimension_override(name, i64::try_from(size).unwrap_or(i64::MAX))?;
    }
    match options.provider {
        Provider::Cpu => Ok(builder),
    }
}
