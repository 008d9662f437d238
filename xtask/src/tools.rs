//! The programs that set-up needs and a machine may lack. All that is missing is told at once, with how to get it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PYTHON: &str = "python3 is not on the PATH; install it and its pip
    (Debian, Ubuntu: apt install python3 python3-pip; Fedora: dnf install python3 python3-pip; macOS: brew install python)";
const PIP: &str = "has no pip; install it
    (Debian, Ubuntu: apt install python3-pip; Fedora: dnf install python3-pip; elsewhere: python3 -m ensurepip --user)";
const COMPILER: &str = "a C++ compiler, which builds the trainer's bindings to libtorch, is not on the PATH; install one
    (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install), or leave the trainer out with --without-trainer";

/// The python3 on `path`, which must have pip; otherwise what to install.
pub fn python(path: &OsStr) -> Result<PathBuf, String> {
    let python = find("python3", path).ok_or(PYTHON)?;
    let pip =
        Command::new(&python).args(["-m", "pip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match pip {
        Ok(status) if status.success() => Ok(python),
        _ => Err(format!("{} {PIP}", python.display())),
    }
}

/// Checks that the C++ compiler is on `path`: `cxx`, as the variable CXX names it, or else the system's.
pub fn compiler(cxx: Option<&str>, path: &OsStr) -> Result<(), String> {
    // CXX may carry a launcher or options: "ccache g++ -m64".
    let program = cxx.and_then(|cxx| cxx.split_whitespace().next()).unwrap_or("c++");
    match find(program, path) {
        Some(_) => Ok(()),
        None => Err(COMPILER.to_owned()),
    }
}

fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    if program.contains('/') {
        return is_executable(Path::new(program)).then(|| program.into());
    }
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.with_extension("exe").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_path_lacks_everything_and_says_how_to_get_it() {
        let nothing = OsStr::new("");
        let python = python(nothing).unwrap_err();
        assert!(python.starts_with("python3 is not on the PATH; install it"), "{python}");
        assert!(python.contains("apt install python3 python3-pip"), "{python}");
        let compiler = compiler(None, nothing).unwrap_err();
        assert!(compiler.starts_with("a C++ compiler"), "{compiler}");
        assert!(compiler.contains("apt install g++"), "{compiler}");
    }

    #[cfg(unix)]
    #[test]
    fn a_python_without_pip_is_told_apart() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("python3");
        std::fs::write(&file, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = python(folder.path().as_os_str()).unwrap_err();
        assert!(error.starts_with(&format!("{} has no pip; install it", file.display())), "{error}");
        assert!(error.contains("apt install python3-pip"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn the_compiler_may_be_named_by_cxx() {
        let folder = tempfile::tempdir().unwrap();
        assert!(compiler(Some("/bin/sh -c"), folder.path().as_os_str()).is_ok());
        assert!(compiler(Some("no-such-compiler"), folder.path().as_os_str()).is_err());
    }
}
