//! Wheels: fetched through pip, which checks their hashes; unpacked here, and only what is needed of them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use zip::ZipArchive;

/// A pinned wheel.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Its file name, whose fields say what pip must be asked for.
    pub file: String,
    pub sha256: String,
    pub take: Vec<Take>,
}

/// What is taken out of a wheel: a file, or a folder if the path ends in a slash; and the path it gets.
#[derive(Deserialize, Serialize)]
pub struct Take(String, String);

impl Take {
    /// Where the file or folder comes to lie; a folder's name in the wheel is not kept, a file's is unless another is given.
    pub fn destination(&self) -> PathBuf {
        let Self(from, to) = self;
        if from.ends_with('/') || !(to.is_empty() || to.ends_with('/')) {
            return PathBuf::from(to);
        }
        Path::new(to).join(from.rsplit('/').next().unwrap_or(from))
    }

    /// Where the wheel's file `name` comes to lie, if it is wanted.
    fn target(&self, name: &str) -> Option<PathBuf> {
        let Self(from, _) = self;
        if !from.ends_with('/') {
            return (name == from).then(|| self.destination());
        }
        let rest = name.strip_prefix(from.as_str())?;
        (!rest.ends_with('/') && !rest.is_empty()).then(|| self.destination().join(rest))
    }
}

/// The fields of a wheel's file name: `torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl`.
pub struct WheelName<'a> {
    package: &'a str,
    version: &'a str,
    python: &'a str,
    abi: &'a str,
    platforms: Vec<&'a str>,
}

impl fmt::Display for WheelName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.package.replace('_', "-"), self.version)
    }
}

impl Wheel {
    /// The fields of the file's name.
    pub fn name(&self) -> Result<WheelName<'_>> {
        let fields: Vec<&str> = self.file.strip_suffix(".whl").unwrap_or_default().split('-').collect();
        let [package, version, python, abi, platforms] = fields[..] else {
            bail!("`{}` is not the name of a wheel: package-version-python-abi-platform.whl", self.file);
        };
        Ok(WheelName { package, version, python, abi, platforms: platforms.split('.').collect() })
    }

    /// Copies what is wanted from the wheel in `downloads` into `folder`; gives the bytes written.
    pub fn unpack(&self, downloads: &Path, folder: &Path) -> Result<u64> {
        let path = downloads.join(&self.file);
        let file = File::open(&path).with_context(|| format!("pip has not left {}", path.display()))?;
        let mut archive = ZipArchive::new(BufReader::new(file)).with_context(|| self.file.clone())?;
        let names: Vec<String> = archive
            .file_names()
            .map(|name| Ok(name?.into_owned()))
            .collect::<Result<_>>()
            .with_context(|| self.file.clone())?;
        let mut bytes = 0;
        for take in &self.take {
            let mut wanted = names.iter().filter_map(|name| Some((name, take.target(name)?))).peekable();
            ensure!(wanted.peek().is_some(), "{} holds no `{}`", self.file, take.0);
            for (name, target) in wanted {
                ensure!(
                    target.components().all(|part| matches!(part, Component::Normal(_))),
                    "{} holds a file whose path leaves its folder: `{name}`",
                    self.file
                );
                bytes += extract(&mut archive, name, &folder.join(target))
                    .with_context(|| format!("{}: {name}", self.file))?;
            }
        }
        Ok(bytes)
    }
}

/// Writes one file of the archive, whose checksum is checked on the way, to `target`.
fn extract(archive: &mut ZipArchive<BufReader<File>>, name: &str, target: &Path) -> Result<u64> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(io::copy(&mut archive.by_name(name)?, &mut File::create(target)?)?)
}

/// Has pip download the wheels into `downloads`; pip refuses a file whose hash is not the pinned one.
pub fn download(python: &Path, wheels: &[Wheel], downloads: &Path) -> Result<()> {
    fs::create_dir_all(downloads).with_context(|| format!("cannot create {}", downloads.display()))?;
    let list = downloads.join("requirements.txt");
    fs::write(&list, requirements(wheels)?).with_context(|| format!("cannot write {}", list.display()))?;
    let status = Command::new(python)
        .args(["-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-deps", "--require-hashes"])
        .args(selection(wheels)?)
        .arg("--dest")
        .arg(downloads)
        .arg("--requirement")
        .arg(&list)
        .status()
        .with_context(|| format!("cannot run {}", python.display()))?;
    ensure!(status.success(), "pip could not fetch it; what pip said is above");
    Ok(())
}

/// The wheels as a requirements file.
fn requirements(wheels: &[Wheel]) -> Result<String> {
    wheels
        .iter()
        .map(|wheel| {
            let name = wheel.name()?;
            Ok(format!("{}=={} --hash=sha256:{}\n", name.package, name.version, wheel.sha256))
        })
        .collect()
}

/// The options that make any pip choose these wheels, whichever Python it runs in.
fn selection(wheels: &[Wheel]) -> Result<Vec<String>> {
    let mut options = vec!["--only-binary=:all:".to_owned()];
    let mut add = |option: String| {
        if !options.contains(&option) {
            options.push(option);
        }
    };
    for wheel in wheels {
        let name = wheel.name()?;
        if let Some((major, minor)) = name.python.strip_prefix("cp").and_then(|version| version.split_at_checked(1)) {
            add("--implementation=cp".to_owned());
            add(format!("--python-version={major}.{minor}"));
        }
        add(format!("--abi={}", name.abi));
        for platform in name.platforms {
            add(format!("--platform={platform}"));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    fn wheel(file: &str, take: &[(&str, &str)]) -> Wheel {
        let take = take.iter().map(|(from, to)| Take((*from).to_owned(), (*to).to_owned())).collect();
        Wheel { file: file.to_owned(), sha256: "ab".repeat(32), take }
    }

    /// A folder with the wheel `w-1-py3-none-any.whl` in it, which holds these files.
    fn downloads(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = ZipWriter::new(File::create(folder.path().join("w-1-py3-none-any.whl")).unwrap());
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for file in files {
            archive.start_file(*file, stored).unwrap();
            archive.write_all(file.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        folder
    }

    #[test]
    fn any_pip_is_told_which_wheel_is_meant() {
        let wheels = [
            wheel("torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl", &[]),
            wheel("nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", &[]),
        ];
        let options = [
            "--only-binary=:all:",
            "--implementation=cp",
            "--python-version=3.11",
            "--abi=cp311",
            "--platform=manylinux_2_28_x86_64",
            "--abi=none",
            "--platform=manylinux2014_x86_64",
            "--platform=manylinux_2_17_x86_64",
        ];
        assert_eq!(selection(&wheels).unwrap(), options);
        let hash = "ab".repeat(32);
        let expected =
            format!("torch==2.11.0 --hash=sha256:{hash}\nnvidia_cuda_runtime==13.0.96 --hash=sha256:{hash}\n");
        assert_eq!(requirements(&wheels).unwrap(), expected);
        assert_eq!(wheels[1].name().unwrap().to_string(), "nvidia-cuda-runtime 13.0.96");
    }

    #[test]
    fn only_what_is_named_is_unpacked() {
        let downloads = downloads(&["t/lib/a.so.1", "t/lib/b.so", "t/include/x.h", "t/include/y/z.h", "t/other"]);
        let folder = tempfile::tempdir().unwrap();
        let take = [("t/lib/a.so.1", "a.so"), ("t/lib/b.so", "lib/"), ("t/include/", "include/")];
        let bytes = wheel("w-1-py3-none-any.whl", &take).unpack(downloads.path(), folder.path()).unwrap();
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(read("a.so"), "t/lib/a.so.1");
        assert_eq!(read("lib/b.so"), "t/lib/b.so");
        assert_eq!(read("include/x.h"), "t/include/x.h");
        assert_eq!(read("include/y/z.h"), "t/include/y/z.h");
        assert_eq!(bytes, 12 + 10 + 13 + 15);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_a_wheel_lacks_or_smuggles_is_named() {
        let downloads = downloads(&["t/include/../../x.h"]);
        let folder = tempfile::tempdir().unwrap();
        let unpack = |take| {
            let unpacked = wheel("w-1-py3-none-any.whl", &[take]).unpack(downloads.path(), folder.path());
            unpacked.unwrap_err().to_string()
        };
        assert_eq!(unpack(("t/lib/a.so", "lib/")), "w-1-py3-none-any.whl holds no `t/lib/a.so`");
        assert_eq!(
            unpack(("t/include/", "include/")),
            "w-1-py3-none-any.whl holds a file whose path leaves its folder: `t/include/../../x.h`"
        );
    }

    #[test]
    fn a_name_that_is_no_wheel_is_refused() {
        let error = wheel("torch-2.11.0.tar.gz", &[]).name().err().unwrap().to_string();
        assert_eq!(error, "`torch-2.11.0.tar.gz` is not the name of a wheel: package-version-python-abi-platform.whl");
    }
}
