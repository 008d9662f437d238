//! Opening a session: which options ONNX Runtime gets, and how it gets graph and weights.
//!
//! It gets the bytes of the graph that were checked, and the name of the folder in which the one file lies that they name; it maps
//! that file. Giving it the weights as well, from memory, makes it copy all of them.
//!
//! With a cache, ONNX Runtime optimises a graph once, and writes what came out together with the weights in the layouts that its
//! kernels want. Opened from there, without optimisation, the weights stay in the mapped file, and results are bit-identical.

use super::{
    Cancellation, Engine, GraphFile, NetworkOptions, Provider, Providers, Result, Source,
    cache::{Entry, GRAPH, Key, WEIGHTS, align, free_zero_points},
    network::failure,
    placement, provider,
};
use ort::{
    logging::LogLevel,
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};
use std::{fs, path::Path};
use tracing::level_filters::LevelFilter;

/// Constants below this many bytes stay in the optimised graph: all shapes, which ONNX Runtime reads nowhere else, and as little else as
/// possible, for what is packed of a matrix there is not kept.
const INLINE: &str = "128";

/// Opens the session of a network; with the providers that it has in the end, where fallback is allowed.
pub(super) fn open(engine: &Engine, graph: &GraphFile, options: &NetworkOptions) -> Result<(Session, Providers)> {
    let mut providers = engine.check(&options.providers)?;
    loop {
        match open_with(engine, graph, options, &providers) {
            Ok(session) => return Ok((session, providers)),
            Err(error) => providers = providers.without_blamed(error)?,
        }
    }
}

fn open_with(engine: &Engine, graph: &GraphFile, options: &NetworkOptions, providers: &Providers) -> Result<Session> {
    let opening = Opening { engine, graph, options, providers, chosen: provider::choose(engine, providers)? };
    let cached = opening.cached().unwrap_or_else(|problem| {
        tracing::warn!("{} is opened without the cache: {problem}", graph.name());
        None
    });
    match cached {
        Some(session) => Ok(session),
        None => opening.original(Ok),
    }
}

/// Writes a graph with all its weights in ONNX Runtime's own format to `to`, optimised in ways that no processor's layouts are part of.
pub(super) fn convert(engine: &Engine, graph: &GraphFile, to: &Path) -> Result<()> {
    let (options, providers) = (NetworkOptions::default(), Providers::default());
    let chosen = provider::choose(engine, &providers)?;
    let opening = Opening { engine, graph, options: &options, providers: &providers, chosen };
    let (bytes, folder) = graph.contents()?;
    let session = opening.session(GraphOptimizationLevel::Level2, &bytes, folder, |builder| {
        Ok(builder.with_optimized_model_path(to)?.with_config_entry("session.save_model_format", "ORT")?)
    })?;
    drop(session);
    return_memory();
    Ok(())
}

/// One network that is being opened.
struct Opening<'a> {
    engine: &'a Engine,
    graph: &'a GraphFile,
    options: &'a NetworkOptions,
    providers: &'a Providers,
    chosen: Vec<(&'a Provider, Source)>,
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

impl Opening<'_> {
    /// The session over the optimised graph, which is made now if there is none; nothing where there is no cache for it, or where
    /// it was cancelled.
    fn cached(&self) -> Result<Option<Session>, Problem> {
        let cache = &self.options.cache;
        // What other providers compile is not in an optimised graph.
        if !self.providers.is_cpu() || !cache.takes(self.graph.bytes() + self.graph.weight_bytes()) {
            return Ok(None);
        }
        let weights = self.graph.weight_files().map(|file| Ok(cache.digest(file)?.sha256));
        let weights = weights.collect::<Result<Vec<_>>>()?;
        let (graph, maps_convolutions) = (self.graph.sha256(), self.maps_convolutions());
        let key = Key::new(self.engine, self.providers, &self.options.dimensions, graph, weights, maps_convolutions);
        if let Some(session) = self.find(&key) {
            return Ok(Some(session));
        }
        let _lock = cache.lock(self.options.cancellation.as_ref());
        // Another process may have made it in the meantime.
        if let Some(session) = self.find(&key) {
            return Ok(Some(session));
        }
        let entry = match cache.store(&key, |folder| self.optimise(folder)) {
            Err(_) if self.is_cancelled() => return Ok(None),
            entry => entry?,
        };
        Ok(Some(self.entry(&entry)?))
    }

    /// The session over an optimised graph that is there already. One that cannot be opened is removed.
    fn find(&self, key: &Key<'_>) -> Option<Session> {
        let cache = &self.options.cache;
        match self.entry(&cache.find(key)?) {
            Ok(session) => Some(session),
            Err(_) if self.is_cancelled() => None,
            Err(error) => {
                tracing::warn!("the cached graph is made anew: {error}");
                cache.forget(key);
                None
            }
        }
    }

    fn entry(&self, entry: &Entry) -> Result<Session> {
        let meant = |builder| if self.maps_convolutions() { without_warnings(builder) } else { Ok(builder) };
        self.session(GraphOptimizationLevel::Disable, &entry.graph, Some(&entry.folder), meant)
    }

    /// Writes the optimised graph to `folder`.
    fn optimise(&self, folder: &Path) -> Result<(), Problem> {
        // Otherwise every start packs matrices anew, into memory of its own.
        let packed = |builder| {
            Ok(writing(builder, folder)?
                .with_config_entry("session.save_external_prepacked_constant_initializers", "1")?)
        };
        if self.maps_convolutions() {
            // Which convolutions there are is known once the graph is optimised, and how they are packed must be known before they are.
            let aside = folder.join("unpacked");
            fs::create_dir(&aside)?;
            let unpacked =
                |builder| Ok(writing(builder, &aside)?.with_config_entry("session.disable_prepacking", "1")?);
            drop(self.original(unpacked)?);
            let graph = free_zero_points(&fs::read(aside.join(GRAPH))?)?;
            drop(self.session(GraphOptimizationLevel::Disable, &graph, Some(&aside), packed)?);
            fs::remove_dir_all(&aside)?;
        } else {
            drop(self.original(packed)?);
        }
        return_memory();
        align(folder)
    }

    /// Whether the graph has 8-bit convolutions, whose weights the cache is to map.
    fn maps_convolutions(&self) -> bool {
        self.options.cache.maps_all() && self.graph.is_quantised()
    }

    /// The session over the graph as it was exported, which takes more options.
    fn original(&self, more: impl FnOnce(SessionBuilder) -> ort::Result<SessionBuilder>) -> Result<Session> {
        let (bytes, folder) = self.graph.contents()?;
        self.session(GraphOptimizationLevel::All, &bytes, folder, |mut builder| {
            for (name, &size) in &self.options.dimensions {
                builder = builder.with_dimension_override(name, i64::try_from(size).unwrap_or(i64::MAX))?;
            }
            more(builder)
        })
    }

    fn session(
        &self,
        optimisation: GraphOptimizationLevel,
        graph: &[u8],
        weights: Option<&Path>,
        more: impl FnOnce(SessionBuilder) -> ort::Result<SessionBuilder>,
    ) -> Result<Session> {
        let cancellation = self.options.cancellation.as_ref();
        let failed = failure(self.graph.name(), "open it", cancellation);
        let configure = || -> ort::Result<SessionBuilder> {
            let mut builder = Session::builder(self.engine.environment())?
                .with_optimization_level(optimisation)?
                .with_config_entry(placement::RECORD, "1")?
                // Only as what the bytes were checked are they read.
                .with_config_entry("session.load_model_format", "ONNX")?;
            if let Some(folder) = weights {
                let folder = folder.to_str().ok_or_else(|| ort::Error::new("the folder's name is not Unicode"))?;
                builder = builder.with_config_entry("session.model_external_initializers_file_folder_path", folder)?;
            }
            if let Some(threads) = self.options.threads {
                builder = builder.with_independent_thread_pool()?.with_intra_threads(threads.get())?;
            }
            if self.providers.refuse_cpu() {
                builder = builder.with_disable_cpu_fallback()?;
            }
            more(builder)
        };
        let builder = configure().map_err(&failed)?;
        let mut builder = provider::add(self.engine, builder, &self.chosen)?;
        let load = |builder: &mut SessionBuilder| builder.commit_from_memory(graph);
        match cancellation {
            None => load(&mut builder),
            Some(cancellation) => cancellation.while_loading(&mut builder, load),
        }
        .map_err(&failed)
    }

    fn is_cancelled(&self) -> bool {
        self.options.cancellation.as_ref().is_some_and(Cancellation::is_cancelled)
    }
}

/// A session that writes its optimised graph into `folder`.
fn writing(builder: SessionBuilder, folder: &Path) -> ort::Result<SessionBuilder> {
    Ok(without_warnings(builder)?
        .with_optimized_model_path(folder.join(GRAPH))?
        .with_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)?
        .with_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", INLINE)?)
}

/// ONNX Runtime warns that an optimised graph is this machine's alone, and that an input with a default is no constant. Both are meant; who wants
/// to hear more than warnings hears these as well.
fn without_warnings(builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    if LevelFilter::current() > LevelFilter::WARN {
        return Ok(builder);
    }
    Ok(builder.with_log_level(LogLevel::Error)?)
}

/// Gives back to the system what the allocator keeps of the gigabytes that optimising took.
fn return_memory() {
    // SAFETY: it takes no pointer, and locks what it works on.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}
