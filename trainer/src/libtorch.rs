//! The libtorch that this process runs with: the right version, and with its CUDA part where there is one.

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use std::{
    error::Error,
    ffi::{CStr, OsStr, c_void},
    fmt,
    mem::{self, MaybeUninit},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Major and minor version that the bindings are made for. Another one may crash or compute something else.
const EXPECTED: (u8, u8) = (2, 11);

/// The libtorch that is loaded.
#[derive(Clone, Debug)]
pub struct Libtorch {
    /// Its version.
    pub version: Version,
    /// The file of its CPU part.
    pub path: Option<PathBuf>,
    /// Its CUDA part.
    pub cuda: Cuda,
}

/// A version of libtorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// 2 of 2.11.0.
    pub major: u8,
    /// 11 of 2.11.0.
    pub minor: u8,
    /// 0 of 2.11.0.
    pub patch: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Whether libtorch can use CUDA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuda {
    /// This libtorch has no CUDA part.
    Absent,
    /// There is a CUDA part, but it does not load: what the loader says.
    Broken(String),
    /// The CUDA part is loaded.
    Loaded {
        /// Devices that it can use, none where there is no driver.
        devices: usize,
    },
}

/// Another libtorch than the bindings are made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is loaded{}, version {}.{} is needed; run `cargo xtask setup`, or set LIBTORCH to the right one, and build again",
    found.map_or("an older libtorch".into(), |version| format!("libtorch {version}")),
    path.as_ref().map(|path| format!(" from {}", path.display())).unwrap_or_default(),
    EXPECTED.0,
    EXPECTED.1
)]
pub struct WrongVersion {
    /// The version found; none where libtorch is too old to tell.
    pub found: Option<Version>,
    /// The file of its CPU part.
    pub path: Option<PathBuf>,
}

/// Checks the version and loads the CUDA part, once for the process.
///
/// Nothing else of libtorch may be called before: it looks for its CUDA part once, at the first call that could need it.
///
/// # Errors
/// [`WrongVersion`].
pub fn libtorch() -> Result<&'static Libtorch, WrongVersion> {
    static LIBTORCH: OnceLock<Result<Libtorch, WrongVersion>> = OnceLock::new();
    LIBTORCH.get_or_init(start).as_ref().map_err(Clone::clone)
}

fn start() -> Result<Libtorch, WrongVersion> {
    let (version, path) = loaded();
    match version {
        Some(version) if (version.major, version.minor) == EXPECTED => {
            let cuda = path.as_deref().map_or(Cuda::Absent, load_cuda);
            Ok(Libtorch { version, path, cuda })
        }
        found => Err(WrongVersion { found, path }),
    }
}

/// What `torch/headeronly/version.h` calls the ABI version: major, minor and patch in its highest bytes.
type AbiVersion = unsafe extern "C" fn() -> u64;

/// Asks the library itself: neither the headers nor a file beside it need be those of the library that was loaded.
fn loaded() -> (Option<Version>, Option<PathBuf>) {
    let process = Library::this();
    // SAFETY: the type is that of the declaration in `torch/csrc/inductor/aoti_torch/c/shim.h`, a stable C interface.
    let symbol: Result<Symbol<AbiVersion>, _> = unsafe { process.get(b"aoti_torch_abi_version\0") };
    let Ok(symbol) = symbol else { return (None, None) };
    // SAFETY: the function takes nothing and returns a constant.
    let [major, minor, patch, ..] = unsafe { symbol() }.to_be_bytes();
    (Some(Version { major, minor, patch }), file_of(*symbol as *const c_void))
}

fn file_of(address: *const c_void) -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `dladdr` only looks the address up and fills `info`, which is valid as zeros too; the name that it points to
    // lives as long as the library, which is never unloaded.
    unsafe {
        if libc::dladdr(address, info.as_mut_ptr()) == 0 || (*info.as_ptr()).dli_fname.is_null() {
            return None;
        }
        let name = CStr::from_ptr((*info.as_ptr()).dli_fname);
        Some(Path::new(OsStr::from_bytes(name.to_bytes())).to_owned())
    }
}

/// The linker leaves the CUDA part out, because nothing refers to it, so that one binary serves every machine; it is loaded
/// here, from beside the CPU part.
fn load_cuda(cpu: &Path) -> Cuda {
    let path = cpu.with_file_name("libtorch_cuda.so");
    if !path.exists() {
        return Cuda::Absent;
    }
    // SAFETY: loading runs libtorch's own initialisers, as linking to it would have done.
    match unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            // Its kernels are registered with the rest of libtorch: it must never be unloaded.
            mem::forget(library);
            Cuda::Loaded { devices: usize::try_from(tch::Cuda::device_count()).unwrap_or(0) }
        }
        Err(error) => Cuda::Broken(error.source().map_or_else(|| error.to_string(), ToString::to_string)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linked_version_is_the_one_that_the_bindings_are_made_for() {
        let libtorch = libtorch().unwrap();
        assert_eq!((libtorch.version.major, libtorch.version.minor), EXPECTED);
        let path = libtorch.path.as_ref().unwrap();
        assert!(path.is_file() && path.ends_with("libtorch_cpu.so"), "{}", path.display());
    }

    #[test]
    fn another_version_is_told_with_its_place() {
        let found = Some(Version { major: 2, minor: 9, patch: 1 });
        assert_eq!(
            WrongVersion { found, path: Some("/opt/libtorch_cpu.so".into()) }.to_string(),
            "libtorch 2.9.1 is loaded from /opt/libtorch_cpu.so, version 2.11 is needed; run `cargo xtask setup`, or set LIBTORCH \
             to the right one, and build again"
        );
        assert!(
            WrongVersion { found: None, path: None }
                .to_string()
                .starts_with("an older libtorch is loaded, version 2.11 ")
        );
    }
}
