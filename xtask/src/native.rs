//! The table of pinned parts, `native.toml`: what there is, for whom, and which build of it fits this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::wheel::Wheel;

/// The file in an installed part that says what was installed; written last, so a part that has it is complete.
const STAMP: &str = ".installed.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    part: Vec<Part>,
}

/// One folder of `.native/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub name: String,
    pub about: String,
    pub folder: PathBuf,
    #[serde(rename = "for")]
    pub audience: Audience,
    /// Environment variables with which a person says that he has his own.
    #[serde(default)]
    pub variables: Vec<String>,
    build: Vec<Build>,
}

/// Who wants a part.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    All,
    Trainer,
    Cuda,
    Provider,
    Instrument,
}

/// What a part is on one platform.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    platform: String,
    #[serde(default)]
    cuda: bool,
    /// Files that set-up writes itself: path in the folder, text.
    #[serde(default)]
    pub write: Vec<(PathBuf, String)>,
    pub wheel: Vec<Wheel>,
}

/// Every part that is pinned.
pub fn parts() -> Result<Vec<Part>> {
    let table: Table = toml::from_str(include_str!("../native.toml")).context("xtask/native.toml")?;
    Ok(table.part)
}

/// The platform that this program was built for, as `native.toml` spells it.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

impl Part {
    /// The build for `platform`; with `cuda`, the one for NVIDIA GPUs where there is one.
    pub fn build(&self, platform: &str, cuda: bool) -> Option<&Build> {
        self.build
            .iter()
            .filter(|build| (build.platform == platform || build.platform == "any") && (cuda || !build.cuda))
            .max_by_key(|build| build.cuda)
    }
}

impl Build {
    /// The packages and versions of its wheels: `torch 2.11.0, ...`.
    pub fn packages(&self) -> Result<String> {
        let named = self.wheel.iter().map(|wheel| Ok(wheel.name()?.to_string())).collect::<Result<Vec<_>>>()?;
        Ok(named.join(", "))
    }

    /// Whether exactly this is in `folder`, with every file or folder that the table names.
    pub fn is_installed(&self, folder: &Path) -> Result<bool> {
        let stamp = match std::fs::read_to_string(folder.join(STAMP)) {
            Ok(stamp) => stamp,
            Err(_) => return Ok(false),
        };
        let taken = self.wheel.iter().flat_map(|wheel| wheel.take.iter().map(|take| take.destination()));
        let mut files = taken.chain(self.write.iter().map(|(path, _)| path.clone()));
        Ok(stamp == self.stamp()? && files.all(|file| folder.join(file).exists()))
    }

    /// Marks `folder` as complete.
    pub fn write_stamp(&self, folder: &Path) -> Result<()> {
        std::fs::write(folder.join(STAMP), self.stamp()?)
            .with_context(|| format!("cannot write to {}", folder.display()))
    }

    fn stamp(&self) -> Result<String> {
        toml::to_string(self).context("cannot describe an installed part")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_can_be_asked_for() {
        for part in parts().unwrap() {
            assert!(part.folder.is_relative(), "{}", part.name);
            for build in &part.build {
                assert!(!build.packages().unwrap().is_empty(), "{}", part.name);
                for wheel in &build.wheel {
                    assert_eq!(wheel.sha256.len(), 64, "{}", wheel.file);
                    assert!(wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", wheel.file);
                    assert!(!wheel.take.is_empty(), "{}", wheel.file);
                }
            }
        }
    }

    #[test]
    fn every_part_is_pinned_for_linux_and_only_gpus_get_cuda() {
        for part in parts().unwrap() {
            assert!(part.build("linux-x86_64", true).is_some(), "{}", part.name);
            assert!(part.build("plan9-mips", true).is_none_or(|build| build.platform == "any"), "{}", part.name);
            let plain = part.build("linux-x86_64", false);
            assert!(plain.is_none_or(|build| !build.cuda), "{}", part.name);
            assert_eq!(plain.is_none(), part.audience == Audience::Cuda, "{}", part.name);
        }
    }

    #[test]
    fn installed_means_the_same_pins_and_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let parts = parts().unwrap();
        let build = parts[0].build("linux-x86_64", false).unwrap();
        assert!(!build.is_installed(folder.path()).unwrap());

        for take in &build.wheel[0].take {
            let file = folder.path().join(take.destination());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        assert!(!build.is_installed(folder.path()).unwrap(), "complete only with its stamp");
        build.write_stamp(folder.path()).unwrap();
        assert!(build.is_installed(folder.path()).unwrap());

        let other = parts[0].build("linux-x86_64", true).unwrap();
        assert!(!other.is_installed(folder.path()).unwrap(), "another build");

        std::fs::remove_file(folder.path().join("libonnxruntime.so")).unwrap();
        assert!(!build.is_installed(folder.path()).unwrap(), "a file is gone");
    }
}
