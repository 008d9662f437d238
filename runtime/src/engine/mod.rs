//! ONNX Runtime behind a small surface: finding the library, opening graphs safely, running them.
//!
//! ```no_run
//! use pleach_runtime::engine::{Engine, EngineOptions, GraphFile, HostCache, NetworkOptions, TensorRef, CACHE_LIMIT};
//! # fn main() -> Result<(), pleach_runtime::engine::Error> {
//! let engine = Engine::start(&EngineOptions::default())?;
//! let cache = HostCache::of_user(CACHE_LIMIT);
//! let graph = GraphFile::open("bundle".as_ref(), "text_encoder/model.onnx", None, &cache)?;
//! let mut encoder = engine.open(&graph, &NetworkOptions { cache, ..NetworkOptions::default() })?;
//! let ids = [49406i64, 320, 2368, 49407];
//! let outputs = encoder.run(&[("input_ids", TensorRef::new(&[1, 4], &ids)?)])?;
//! # Ok(())
//! # }
//! ```
//!
//! No type of `ort` crosses this module's border.

mod bound;
mod cache;
mod cancellation;
mod declared;
mod error;
mod graph;
mod library;
mod network;
mod placement;
mod provider;
mod rewrite;
mod session;
mod telemetry;
mod tensor;

pub use bound::Bound;
pub use cache::{CACHE_LIMIT, CACHE_VARIABLE, HostCache, cpu_features};
pub use cancellation::Cancellation;
pub use declared::{Declared, Dim};
pub use error::{Error, Result};
pub use graph::{Facts, GraphError, GraphFile, Listed};
pub use library::{Attempt, LIBRARY_VARIABLE, Library, LibraryError, OLDEST_MINOR_VERSION, Place};
pub use network::{Network, NetworkOptions};
pub use placement::{Placement, Share};
pub use provider::{Offered, Provider, ProviderError, ProviderKind, Providers, Source};
pub use telemetry::disable_telemetry;
pub use tensor::{Data, Element, Slice, Tensor, TensorRef};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use ort::environment::{Environment, GlobalThreadPoolOptions};
use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tracing::level_filters::LevelFilter;

/// How ONNX Runtime is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// The library, where it is not to be looked for: `--ort-lib`.
    pub dylib: Option<PathBuf>,
    /// Threads that all networks share; one per physical core unless given.
    pub threads: Option<NonZeroUsize>,
}

impl fmt::Display for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.threads {
            Some(threads) => write!(f, "{threads} threads, ")?,
            None => f.write_str("a thread per core, ")?,
        }
        match &self.dylib {
            Some(library) => library.display().fmt(f),
            None => f.write_str("any library"),
        }
    }
}

/// ONNX Runtime, started: cheap to clone, and one in a process.
#[derive(Clone)]
pub struct Engine(Arc<Started>);

struct Started {
    options: EngineOptions,
    dylib: Library,
    environment: Environment,
    plugins: provider::Plugins,
}

/// ONNX Runtime can be started once, and stays until the process ends.
static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("library", &self.0.dylib).field("options", &self.0.options).finish()
    }
}

impl Engine {
    /// Finds and starts ONNX Runtime, or returns the one that runs already. It collects no telemetry, and its messages go to
    /// `tracing`.
    ///
    /// # Errors
    /// [`Error::Library`]; [`Error::Started`] where it runs with other options; [`Error::Runtime`].
    pub fn start(options: &EngineOptions) -> Result<Self> {
        let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*engine {
            if running.0.options == *options {
                return Ok(running.clone());
            }
            return Err(Error::Started { running: running.0.options.to_string(), asked: options.to_string() });
        }
        let (dylib, builder) = library::find(options.dylib.as_deref())?;
        let start = || -> ort::Result<Environment> {
            let threads = options.threads.map_or(0, NonZeroUsize::get);
            let pool = GlobalThreadPoolOptions::default().with_intra_threads(threads)?;
            let environment =
                builder.with_name("pleach").with_telemetry(false).with_global_thread_pool(pool).build()?;
            environment.set_log_level(log_level());
            Ok(environment)
        };
        let environment = start().map_err(network::failure(&dylib.path.to_string_lossy(), "start", None))?;
        let started = Self(Arc::new(Started {
            options: options.clone(),
            dylib,
            environment,
            plugins: provider::Plugins::default(),
        }));
        Ok(engine.insert(started).clone())
    }

    /// The library that is used.
    pub fn dylib(&self) -> &Library {
        &self.0.dylib
    }

    /// How the library was built: branch, commit, compiler flags.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// The providers that can be asked for: those that the library was built with, and plug-ins that lie where they are looked
    /// for. One of them may still lack its own libraries or its device, which [`try_provider`](Self::try_provider) tells.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn offered(&self) -> Result<Vec<Offered>> {
        provider::offered(self)
    }

    /// Loads what a provider needs, without opening a graph.
    ///
    /// # Errors
    /// [`Error::NoProvider`], [`Error::Plugin`], [`Error::ProviderFailed`].
    pub fn try_provider(&self, provider: &Provider) -> Result<()> {
        let providers = Providers::new(vec![provider.clone()])?;
        let builder = ort::session::Session::builder(self.environment());
        let builder = builder.map_err(network::failure("the library", "make a session", None))?;
        provider::add(self, builder, &provider::choose(self, &providers)?).map(drop)
    }

    /// The same providers, which are all there. Where fallback is allowed, those that are missing are left out, and the log says
    /// so.
    ///
    /// # Errors
    /// [`Error::NoProvider`], [`Error::Plugin`].
    pub fn check(&self, providers: &Providers) -> Result<Providers> {
        let mut providers = providers.clone();
        loop {
            let Err(error) = provider::choose(self, &providers) else { return Ok(providers) };
            providers = providers.without_blamed(error)?;
        }
    }

    /// A switch that stops the networks opened with it.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn cancellation(&self) -> Result<Cancellation> {
        Cancellation::new().map_err(network::failure("a cancellation", "make", None))
    }

    /// Opens a graph.
    ///
    /// # Errors
    /// [`Error::Runtime`] where ONNX Runtime refuses it, [`Error::Cancelled`].
    pub fn open(&self, graph: &GraphFile, options: &NetworkOptions) -> Result<Network> {
        Network::open(self, graph, options)
    }

    /// Writes a graph with all its weights to a file in ONNX Runtime's own format (`.ort`), which builds for mobile devices read that know
    /// no other. It is optimised in ways that suit every processor. Such files end at 2 GB.
    ///
    /// # Errors
    /// [`Error::Runtime`] where ONNX Runtime refuses it, [`Error::Graph`].
    pub fn convert(&self, graph: &GraphFile, to: &Path) -> Result<()> {
        session::convert(self, graph, to)
    }

    fn plugins(&self) -> &provider::Plugins {
        &self.0.plugins
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.0.environment
    }
}

/// The least severe messages of ONNX Runtime that anybody listens to.
fn log_level() -> ort::logging::LogLevel {
    use ort::logging::LogLevel;
    match LevelFilter::current() {
        LevelFilter::TRACE => LogLevel::Verbose,
        LevelFilter::DEBUG | LevelFilter::INFO => LogLevel::Info,
        LevelFilter::WARN => LogLevel::Warning,
        _ => LogLevel::Error,
    }
}
