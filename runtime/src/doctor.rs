//! What this machine offers: the native libraries that are found, the processor, memory, the cache; what is wrong, and what to do.
//!
//! Looking changes nothing, except that ONNX Runtime is started, since only that tells whether it works.

use crate::engine::{
    Attempt, CACHE_VARIABLE, Engine, EngineOptions, Error, HostCache, LIBRARY_VARIABLE, Library, Offered, Provider,
    ProviderKind, cpu_features,
};
use pleach_model::files::{HumanSize, can_write};
use serde::Serialize;
use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
};

/// The variable that names libtorch's folder.
pub const LIBTORCH_VARIABLE: &str = "LIBTORCH";

/// Where set-up puts native libraries, in the repository.
const NATIVE: &str = ".native";

/// Less memory than this is not enough to draw with Stable Diffusion at all.
const LITTLE_MEMORY: u64 = 2_000_000_000;

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this program.
    pub pleach: &'static str,
    /// ONNX Runtime, if one can be used.
    pub onnx_runtime: Option<Runtime>,
    /// Where ONNX Runtime was looked for in vain, if none can be used.
    pub tried: Vec<Attempt>,
    /// libtorch, which only training needs, if one is where programs are built with it.
    pub libtorch: Option<Libtorch>,
    /// The processor.
    pub processor: Processor,
    /// Memory, where the system tells.
    pub memory: Option<Memory>,
    /// The host cache.
    pub cache: Cache,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// ONNX Runtime.
#[derive(Clone, Debug, Serialize)]
pub struct Runtime {
    /// Place, file and version.
    #[serde(flatten)]
    pub dylib: Library,
    /// Branch, commit and compiler flags.
    pub build: String,
    /// The providers that can be asked for.
    pub providers: Vec<FoundProvider>,
}

/// A provider that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundProvider {
    /// Which one, and where it is.
    #[serde(flatten)]
    pub offered: Offered,
    /// Why it cannot be used; nothing where what it needs was loaded.
    pub problem: Option<String>,
}

/// libtorch, told from its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Libtorch {
    /// Its folder.
    pub folder: PathBuf,
    /// What its file `build-version` says.
    pub version: Option<String>,
    /// Whether it can use NVIDIA's GPUs.
    pub cuda: bool,
}

/// The processor.
#[derive(Clone, Debug, Serialize)]
pub struct Processor {
    /// `x86_64`, `aarch64`, ...
    pub architecture: &'static str,
    /// Threads that can run at the same time.
    pub threads: usize,
    /// Instruction sets that make a difference to ONNX Runtime.
    pub features: Vec<&'static str>,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What programs can still get without swapping.
    pub available: u64,
}

/// The host cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// Its folder; none where it is off.
    pub folder: Option<PathBuf>,
    /// Bytes in it.
    pub bytes: u64,
    /// Bytes that it may grow to.
    pub limit: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Whether nothing can be drawn until that is done.
    pub fatal: bool,
}

/// Looks at everything.
pub fn examine(options: &EngineOptions, cache: &HostCache) -> Report {
    let mut problems = Vec::new();
    let (onnx_runtime, tried) = onnx_runtime(options, &mut problems);
    let libtorch = libtorch(env::var_os(LIBTORCH_VARIABLE).as_deref().map(Path::new), &mut problems);
    let processor = Processor {
        architecture: env::consts::ARCH,
        threads: thread::available_parallelism().map_or(1, Into::into),
        features: cpu_features(),
    };
    if processor.architecture == "x86_64" && !processor.features.contains(&"avx2") {
        problems.push(Problem {
            what: "the processor has no AVX2: convolutions take several times as long".into(),
            remedy: "use another machine, or an expert with fewer multiply-accumulates".into(),
            fatal: false,
        });
    }
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| Memory::read(&text));
    if let Some(memory) = memory.filter(|memory| memory.available < LITTLE_MEMORY) {
        problems.push(Problem {
            what: format!("{} of memory are free", HumanSize(memory.available)),
            remedy: "close other programs, or draw with --max-memory".into(),
            fatal: false,
        });
    }
    let cache = Cache::examine(cache, &mut problems);
    Report { pleach: env!("CARGO_PKG_VERSION"), onnx_runtime, tried, libtorch, processor, memory, cache, problems }
}

fn onnx_runtime(options: &EngineOptions, problems: &mut Vec<Problem>) -> (Option<Runtime>, Vec<Attempt>) {
    let mut found = |engine: &Engine, offered: Offered| {
        // The CPU is in every library.
        let provider = Some(offered.provider).filter(|kind| *kind != ProviderKind::Cpu);
        let tried = provider.map_or(Ok(()), |kind| engine.try_provider(&Provider::new(kind)));
        let problem = tried.err().map(|error| error.to_string());
        problems.extend(problem.clone().map(|what| Problem {
            what,
            remedy: format!("needed for --provider {} only: install its libraries", offered.provider),
            fatal: false,
        }));
        FoundProvider { offered, problem }
    };
    let examined = Engine::start(options).and_then(|engine| {
        Ok(Runtime {
            dylib: engine.dylib().clone(),
            build: engine.build_info().to_owned(),
            providers: engine.offered()?.into_iter().map(|offered| found(&engine, offered)).collect(),
        })
    });
    let error = match examined {
        Ok(runtime) => return (Some(runtime), Vec::new()),
        Err(error) => error,
    };
    problems.push(Problem {
        what: error.to_string(),
        remedy: format!(
            "run `cargo xtask setup` in the repository, or install the PyPI wheel onnxruntime and name its library with --ort-lib \
             or {LIBRARY_VARIABLE}"
        ),
        fatal: true,
    });
    match error {
        Error::Library(error) => (None, error.attempts),
        _ => (None, Vec::new()),
    }
}

/// libtorch where `named` says that it is, or where set-up puts it.
fn libtorch(named: Option<&Path>, problems: &mut Vec<Problem>) -> Option<Libtorch> {
    let folder = named.map_or_else(|| Path::new(NATIVE).join("libtorch"), Path::to_owned);
    let library = |name: &str| {
        let file = format!("{}{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        folder.join("lib").join(file).is_file()
    };
    if !library("torch_cpu") {
        if named.is_some() {
            problems.push(Problem {
                what: format!("{LIBTORCH_VARIABLE} is {}, where no libtorch is", folder.display()),
                remedy:
                    "needed to train only: run `cargo xtask setup`, or name the folder that holds lib/ and include/"
                        .into(),
                fatal: false,
            });
        }
        return None;
    }
    let version = fs::read_to_string(folder.join("build-version")).ok().map(|text| text.trim().to_owned());
    Some(Libtorch { version, cuda: library("torch_cuda"), folder })
}

impl Memory {
    /// Reads `/proc/meminfo`, whose lines are `MemTotal:       24588844 kB`.
    fn read(text: &str) -> Option<Self> {
        let bytes = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self { total: bytes("MemTotal")?, available: bytes("MemAvailable")? })
    }
}

impl Cache {
    fn examine(cache: &HostCache, problems: &mut Vec<Problem>) -> Self {
        if let Some(folder) = cache.folder() {
            let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
            if let Err(error) = can_write(existing) {
                problems.push(Problem {
                    what: format!("the cache folder {} cannot be written to: {error}", folder.display()),
                    remedy: format!(
                        "every start takes as long as the first: name another folder with {CACHE_VARIABLE}"
                    ),
                    fatal: false,
                });
            }
        }
        Self { folder: cache.folder().map(Path::to_owned), bytes: cache.size(), limit: cache.limit() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Source;

    #[test]
    fn tells_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = HostCache::at(folder.path().join("cache"), 1000);
        let report = examine(&EngineOptions::default(), &cache);
        let runtime = report.onnx_runtime.unwrap();
        assert!(runtime.dylib.version.starts_with("1."), "{}", runtime.dylib.version);
        let cpu = Offered { provider: ProviderKind::Cpu, source: Source::BuiltIn };
        assert_eq!(runtime.providers[0], FoundProvider { offered: cpu, problem: None });
        assert!(runtime.build.contains("git-commit-id"), "{}", runtime.build);
        assert_eq!(report.tried, []);
        assert_eq!(report.cache, Cache { folder: Some(folder.path().join("cache")), bytes: 0, limit: 1000 });
        assert!(!report.problems.iter().any(|problem| problem.fatal));
    }

    #[test]
    fn tells_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let mut problems = Vec::new();
        assert_eq!(libtorch(Some(folder.path()), &mut problems), None);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = Cache::examine(&HostCache::at(&file, 1000), &mut problems);
        assert_eq!(cache.bytes, 0);
        let found: Vec<_> = problems.iter().map(|problem| problem.what.as_str()).collect();
        let place = folder.path().display();
        assert_eq!(
            found,
            [
                format!("LIBTORCH is {place}, where no libtorch is"),
                format!("the cache folder {place}/file cannot be written to: Not a directory (os error 20)")
            ]
        );
    }

    #[test]
    fn finds_libtorch_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        let library = format!("{}torch_cpu{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        fs::write(folder.path().join("lib").join(library), "").unwrap();
        fs::write(folder.path().join("build-version"), "2.11.0\n").unwrap();
        let mut problems = Vec::new();
        let found = libtorch(Some(folder.path()), &mut problems).unwrap();
        assert_eq!(found, Libtorch { folder: folder.path().into(), version: Some("2.11.0".into()), cuda: false });
        assert_eq!(problems, []);
    }

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:       24588844 kB\nMemFree:          500000 kB\nMemAvailable:   12000000 kB\n";
        assert_eq!(Memory::read(text), Some(Memory { total: 24588844 * 1024, available: 12000000 * 1024 }));
        assert_eq!(Memory::read("MemTotal: many kB\n"), None);
    }
}
