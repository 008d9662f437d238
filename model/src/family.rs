//! The folder of a family: experts of one base, and the router between them.

use crate::{
    architecture::Architecture,
    checkpoint::{self, Checkpoint},
    files,
    manifest::{self, Family, FamilyExpert, RouterEntry},
    pipeline::{self, Network},
    unet::UNetConfig,
    vector::VectorLayout,
};
use std::path::{Path, PathBuf};

/// Folder of the experts.
pub const EXPERTS: &str = "experts";
/// The router's weights.
pub const ROUTER: &str = "router/router.safetensors";
/// Folder of the router's sentence encoder, in the Hugging Face layout.
pub const ENCODER: &str = "router/encoder";
/// What is left of an expert.
pub const ARCHITECTURE: &str = "architecture.json";
/// The experts' gates in the router's weights, `[experts, entries]`.
pub const GATES: &str = "embedding_gs";
/// An architecture names some hundred sites.
const MAX_ARCHITECTURE: u64 = 16 << 20;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a family.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] files::Error),
    /// An expert's configuration.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The router's weights.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// A network's configuration, or an architecture of another network.
    #[error(transparent)]
    Network(#[from] crate::error::Error),
    /// An architecture that is none.
    #[error("{} is no architecture: {reason}", path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Router and experts are not of one family.
    #[error(
        "the router in {} and the expert {expert:?} disagree: {reason}; they were not made together, prune again or use their own",
        folder.display()
    )]
    Disagree {
        /// The family.
        folder: PathBuf,
        /// The expert.
        expert: String,
        /// How.
        reason: String,
    },
}

/// A family that was opened: every file is there, and router and experts belong together.
#[derive(Clone, Debug)]
pub struct FamilyFolder {
    root: PathBuf,
    family: Family,
    config: UNetConfig,
    architectures: Vec<Architecture>,
}

/// The family in the folder of a run, where it is one: what a person means who names the run.
pub fn in_run(run: &Path) -> Option<PathBuf> {
    let family = run.join("family");
    family.join(manifest::FILE_NAME).is_file().then_some(family)
}

impl FamilyFolder {
    /// Opens the family in a folder.
    ///
    /// # Errors
    /// Every variant of [`Error`].
    pub fn open(root: &Path) -> Result<Self> {
        let family = Family::read(root)?;
        for file in family.all_files() {
            file.check(root, manifest::Depth::Size)?;
        }
        let unet = |expert: &FamilyExpert| root.join(EXPERTS).join(&expert.name).join("unet");
        let read = |expert| architecture(&unet(expert).join(ARCHITECTURE));
        let architectures = family.experts.iter().map(read).collect::<Result<Vec<_>>>()?;
        // The manifest has at least one expert.
        let configs =
            family.experts.iter().map(|expert| Ok(UNetConfig::from_json(&Network::open(&unet(expert))?.config)?));
        let mut configs = configs.collect::<Result<Vec<_>>>()?.into_iter();
        let config = configs.next().unwrap_or_else(UNetConfig::sd21_base);
        if let Some(i) = configs.position(|other| other != config) {
            let (name, first) = (&family.experts[i + 1].name, &family.experts[0].name);
            let reason = format!("its config.json is not that of {first:?}");
            return Err(Error::Disagree { folder: root.to_owned(), expert: name.clone(), reason });
        }
        let opened = Self { root: root.to_owned(), family, config, architectures };
        if opened.family.router.is_some() {
            opened.check_router()?;
        }
        Ok(opened)
    }

    /// Each expert is what its gates in the router say.
    fn check_router(&self) -> Result<()> {
        let layout = VectorLayout::of(&self.config)?;
        let checkpoint = Checkpoint::open(&self.root.join(ROUTER))?;
        let gates = checkpoint.get(GATES)?;
        let shape = [self.family.experts.len(), layout.len()];
        let disagree = |expert: usize, reason: String| {
            let expert = self.family.experts.get(expert).map_or_else(String::new, |expert| expert.name.clone());
            Err(Error::Disagree { folder: self.root.clone(), expert, reason })
        };
        if gates.shape != shape {
            return disagree(0, format!("its gates are {:?}, the experts' {shape:?}", gates.shape));
        }
        let gates = gates.to_f32()?;
        for (i, (row, architecture)) in gates.chunks(layout.len()).zip(&self.architectures).enumerate() {
            let open: Vec<bool> = row.iter().map(|gate| *gate >= 0.5).collect();
            if layout.architecture(&open)? != *architecture {
                return disagree(i, format!("row {i} of {GATES} is another architecture than its {ARCHITECTURE}"));
            }
        }
        Ok(())
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Family {
        &self.family
    }

    /// Where its base is: a folder, or a Hugging Face id.
    pub fn base(&self) -> String {
        let source = &self.family.base.source;
        let beside = self.root.join(source);
        if beside.is_dir() {
            return beside.display().to_string();
        }
        source.split('@').next().unwrap_or(source).to_owned()
    }

    /// Its router.
    pub fn router(&self) -> Option<&RouterEntry> {
        self.family.router.as_ref()
    }

    /// Sizes of the network that the experts were cut out of.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// What is left of each expert.
    pub fn architectures(&self) -> &[Architecture] {
        &self.architectures
    }

    /// Folder of an expert's UNet.
    pub fn unet(&self, name: &str) -> PathBuf {
        self.root.join(EXPERTS).join(name).join("unet")
    }
}

/// Reads an `architecture.json`.
///
/// # Errors
/// [`Error::File`], [`Error::Architecture`].
pub fn architecture(path: &Path) -> Result<Architecture> {
    let bytes = files::read_bounded(path, MAX_ARCHITECTURE)?;
    files::json_object(&bytes).map_err(|error| Error::Architecture { path: path.to_owned(), reason: error.to_string() })
}
