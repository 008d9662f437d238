//! Finding ONNX Runtime: a shared library that is opened when the program runs.
//!
//! The places are `--ort-lib`, `ORT_DYLIB_PATH`, the folder of the program, and where the system looks for libraries, in this
//! order. A place that the user named is not passed over: if the library there cannot be used, that is the error.

use ort::{environment::EnvironmentBuilder, sys::OrtApiBase};
use std::{
    env::{
        self,
        consts::{DLL_PREFIX, DLL_SUFFIX},
    },
    error::Error as _,
    ffi::CStr,
    fmt,
    path::{Path, PathBuf},
};

/// The variable that names the library.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The oldest ONNX Runtime that can be used: 1.24.
pub const OLDEST_MINOR_VERSION: u32 = ort::MINOR_VERSION;

/// A place where ONNX Runtime is looked for, in the order of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The path given by the caller: the option `--ort-lib`.
    Option,
    /// The path in `ORT_DYLIB_PATH`.
    Variable,
    /// The folder of the running program.
    BesideProgram,
    /// Where the system looks for libraries.
    System,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Option => "--ort-lib",
            Self::Variable => LIBRARY_VARIABLE,
            Self::BesideProgram => "beside the program",
            Self::System => "the system's libraries",
        })
    }
}

/// What was tried at one place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attempt {
    /// Where.
    pub place: Place,
    /// The file; absent where the place names none.
    pub path: Option<PathBuf>,
    /// What was found instead of a library that can be used.
    pub problem: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}: {}", self.place, path.display(), self.problem),
            None => write!(f, "{}: {}", self.place, self.problem),
        }
    }
}

/// No ONNX Runtime can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "ONNX Runtime 1.{OLDEST_MINOR_VERSION} or newer was not found{}\n\
     name the library with --ort-lib or {LIBRARY_VARIABLE}; the PyPI wheel onnxruntime holds one",
    attempts.iter().map(|attempt| format!("\n  {attempt}")).collect::<String>()
)]
pub struct LibraryError {
    /// All four places and what was found there.
    pub attempts: Vec<Attempt>,
}

/// The library that is used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Library {
    /// Which place it was found at.
    pub place: Place,
    /// The file, as it was opened: a bare name where the system found it.
    pub path: PathBuf,
    /// `1.30.0`
    pub version: String,
}

/// A place's candidates: files to try in turn, or why there are none.
struct Candidates {
    place: Place,
    paths: Result<Vec<PathBuf>, String>,
    /// Whether the user named it, so that nothing after it is tried.
    named: bool,
}

/// `libonnxruntime.so`; and its SONAME, the only name that distributions give it where nothing is to be compiled against it.
fn file_names() -> Vec<String> {
    let plain = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
    if cfg!(all(unix, not(target_vendor = "apple"))) { vec![plain.clone(), format!("{plain}.1")] } else { vec![plain] }
}

fn candidates(option: Option<&Path>) -> Vec<Candidates> {
    let named = |place, path: Option<&Path>, absent: &str| Candidates {
        place,
        paths: path.map(|path| vec![std::path::absolute(path).unwrap_or_else(|_| path.into())]).ok_or(absent.into()),
        named: path.is_some(),
    };
    let variable = env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty());
    let beside = match env::current_exe() {
        Ok(program) => Ok(file_names().iter().map(|name| program.with_file_name(name)).collect()),
        Err(error) => Err(format!("the program's own folder is unknown: {error}")),
    };
    vec![
        named(Place::Option, option, "not given"),
        named(Place::Variable, variable.as_deref().map(Path::new), "not set"),
        Candidates { place: Place::BesideProgram, paths: beside, named: false },
        Candidates {
            place: Place::System,
            paths: Ok(file_names().into_iter().map(PathBuf::from).collect()),
            named: false,
        },
    ]
}

/// Opens the first library that can be used.
pub(super) fn find(option: Option<&Path>) -> Result<(Library, EnvironmentBuilder), LibraryError> {
    let mut attempts = Vec::new();
    let mut decided = false;
    for Candidates { place, paths, named } in candidates(option) {
        let mut tried = |path: Option<PathBuf>, problem: String| attempts.push(Attempt { place, path, problem });
        match paths {
            Err(problem) => tried(None, problem),
            Ok(_) if decided => tried(None, "not tried, because a library is named".into()),
            Ok(paths) => {
                for path in paths {
                    match open(&path, place) {
                        Ok((version, environment)) => return Ok((Library { place, path, version }, environment)),
                        Err(problem) => tried(Some(path), problem),
                    }
                }
            }
        }
        decided |= named;
    }
    Err(LibraryError { attempts })
}

/// Opens `path` and checks its version, before anything else in it is used.
pub(super) fn open(path: &Path, place: Place) -> Result<(String, EnvironmentBuilder), String> {
    if place != Place::System && !path.is_file() {
        return Err("no such file".into());
    }
    let version = version(path)?;
    let number = |i| version.split('.').nth(i).and_then(|part| part.parse::<u32>().ok());
    if number(0) != Some(1) || number(1).is_none_or(|minor| minor < OLDEST_MINOR_VERSION) {
        return Err(format!("its version is {version}"));
    }
    let environment = ort::init_from(path).map_err(|error| error.to_string())?;
    Ok((version, environment))
}

/// What the library says that it is.
fn version(path: &Path) -> Result<String, String> {
    // SAFETY: loading a library runs its initialisers, so it is as trusted as the program itself: it is one that the user named,
    // installed beside the program, or installed for the system.
    let library = unsafe { libloading::Library::new(path) };
    let library = library.map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))?;
    // SAFETY: the only thing called OrtGetApiBase is this function of ONNX Runtime, of this type in every version.
    let entry = unsafe { library.get::<unsafe extern "system" fn() -> *const OrtApiBase>(b"OrtGetApiBase") };
    let entry = entry.map_err(|_| "not ONNX Runtime: it has no OrtGetApiBase".to_owned())?;
    // SAFETY: it takes nothing and returns a structure that lives as long as the library, or null.
    let base = unsafe { entry().as_ref() }.ok_or("it has no API")?;
    // SAFETY: the text is a constant of the library, which is open until the end of this function.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) };
    Ok(version.to_string_lossy().into_owned())
}
