//! What is exported, as the exporter sees it: configurations read and compared, weights opened and matched, before anything else.

use crate::{
    error::{Error, Result},
    network::Network,
};
use pleach_model::{
    architecture::Architecture,
    checkpoint::{Bound, Checkpoint},
    clip::ClipTextConfig,
    counter::At,
    family::{self, FamilyFolder},
    files::Sha256,
    manifest::{self, FamilyExpert, FileEntry},
    pipeline::{self, CheckpointPipeline, Common, PipelineFolder},
    schedule::PredictionType,
    sentence::SentenceConfig,
    student::Student,
    unet::UNetConfig,
    vae::VaeConfig,
    vector::VectorLayout,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The side of Stable Diffusion's latents, where a UNet's configuration does not say.
pub(super) const USUAL_SIDE: usize = 64;
/// Name of the files of every network but the experts that are not the default one, and of the one expert that a plain checkpoint has.
pub(super) const NAME: &str = "model";

/// What takes the place of a pipeline's UNet.
#[derive(Clone, Copy)]
pub(super) enum Instead<'a> {
    /// Nothing.
    Nothing,
    /// The one expert that a student is.
    Student(&'a Student),
    /// A family's experts: all, or those named.
    Family(&'a FamilyFolder, Option<&'a [String]>),
}

/// A diffusers pipeline whose configurations fit each other, with its own UNet, a student or the experts of a family.
pub(super) struct Source {
    pub folder: PipelineFolder,
    pub common: Common,
    pub prediction_type: PredictionType,
    pub counted_at: At,
    /// Pixels of a latent's side.
    factor: usize,
    /// Hash of the family's manifest.
    pub family: Option<Sha256>,
    /// Text encoder, experts, autoencoder, router.
    pub parts: Vec<Part>,
    /// The sentence encoder's tokenizer, where there is a router.
    pub router_tokenizer: Option<PathBuf>,
}

/// Networks that come from the same checkpoints.
pub(super) struct Part {
    pub networks: Vec<Network>,
    pub config_path: PathBuf,
    /// Where the paths of its files begin.
    root: PathBuf,
    /// One, or two of a router or a text tower.
    checkpoints: Vec<Checkpoint>,
    /// What it is, where it is an expert.
    pub expert: Option<ExpertPart>,
}

/// What is known of an expert beside its network.
#[derive(Clone)]
pub(super) struct ExpertPart {
    pub name: String,
    /// Name of its files.
    pub stem: String,
    pub suppressed: Vec<String>,
    pub made: Vec<String>,
}

impl Source {
    /// The pipeline in a folder.
    pub fn open(root: &Path, variant: Option<&str>, instead: Instead<'_>) -> Result<Self> {
        let folder = PipelineFolder::open(root)?;
        let CheckpointPipeline { text_encoder, unet, vae, common } = folder.checkpoint()?;
        let failed = |source| pipeline::Error::Scheduler { path: common.scheduler_path.clone(), source };
        let prediction_type = PredictionType::from_config(&common.scheduler).map_err(failed)?;
        let text = ClipTextConfig::from_json(&text_encoder.config)?;
        let config = UNetConfig::from_json(&unet.config)?;
        let autoencoder = VaeConfig::from_json(&vae.config)?;
        compare("cross_attention_dim", config.cross_attention_dim, "the text encoder's hidden_size", text.hidden_size)?;
        for (field, channels) in [("in_channels", config.in_channels), ("out_channels", config.out_channels)] {
            compare(field, channels, "the autoencoder's latent_channels", autoencoder.latent_channels)?;
        }
        let (tokens, factor) = (text.max_position_embeddings, autoencoder.factor());
        let side = config.sample_size.unwrap_or(USUAL_SIDE);
        let open = |stored, networks| Part::open(root, stored, variant, networks);
        let mut parts = vec![open(text_encoder, vec![Network::TextEncoder(text)])?];
        let (mut router, mut family_hash) = (None, None);
        match instead {
            Instead::Nothing => {
                let network = Network::Unet { config, architecture: Architecture::full(), tokens };
                parts.push(Part { expert: Some(ExpertPart::only()), ..open(unet, vec![network])? });
            }
            Instead::Student(Student { unet, architecture }) => {
                if UNetConfig::from_json(&unet.config)? != config {
                    return Err(Error::Base { experts: unet.folder.clone(), base: root.to_owned() });
                }
                let network = Network::Unet { config, architecture: architecture.clone(), tokens };
                let around = unet.folder.parent().unwrap_or(&unet.folder).to_owned();
                let part = Part::open(&around, unet.clone(), None, vec![network])?;
                parts.push(Part { expert: Some(ExpertPart::only()), ..part });
            }
            Instead::Family(family, chosen) => {
                if *family.config() != config {
                    return Err(Error::Base { experts: family.root().to_owned(), base: root.to_owned() });
                }
                family_hash = Some(manifest_hash(family.root())?);
                let numbers = numbers(family, chosen)?;
                parts.extend(experts(family, &numbers, tokens)?);
                router = router_part(family, numbers)?;
            }
        }
        parts.push(open(vae, vec![Network::VaeDecoder(autoencoder.clone()), Network::VaeEncoder(autoencoder)])?);
        let router_tokenizer = router.as_ref().map(|part| part.config_path.with_file_name("tokenizer.json"));
        parts.extend(router);
        Ok(Self {
            folder,
            common,
            prediction_type,
            counted_at: At { height: side, width: side, tokens },
            factor,
            family: family_hash,
            parts,
            router_tokenizer,
        })
    }

    /// Leaves out every network but those named.
    ///
    /// # Errors
    /// A name that no network has.
    pub fn keep(&mut self, only: &[String]) -> Result<()> {
        let known: BTreeSet<&str> = self.parts.iter().flat_map(|part| &part.networks).map(Network::component).collect();
        if let Some(name) = only.iter().find(|name| !known.contains(name.as_str())) {
            let known = known.into_iter().map(str::to_owned).collect();
            return Err(Error::Component { name: name.clone(), known });
        }
        for part in &mut self.parts {
            part.networks.retain(|network| only.iter().any(|name| name == network.component()));
        }
        self.parts.retain(|part| !part.networks.is_empty());
        if !only.iter().any(|name| name == "router") {
            self.router_tokenizer = None;
        }
        Ok(())
    }

    /// Height and width of the latents of pictures of this width and height.
    ///
    /// # Errors
    /// A size that the autoencoder cannot make.
    pub fn latents(&self, [width, height]: [usize; 2]) -> Result<[usize; 2]> {
        let factor = self.factor;
        if width == 0 || height == 0 || !width.is_multiple_of(factor) || !height.is_multiple_of(factor) {
            return Err(Error::Size { width, height, factor });
        }
        Ok([height / factor, width / factor])
    }

    /// The tensors of every part, in the order of the parts.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with all that is wrong in any of them.
    pub fn bind(&self) -> Result<Vec<Bound<'_>>> {
        let (mut bound, mut mismatches) = (Vec::new(), Vec::new());
        for part in &self.parts {
            match part.bind() {
                Ok(tensors) => bound.push(tensors),
                Err(Error::Mismatch(more)) => mismatches.extend(more),
                Err(other) => return Err(other),
            }
        }
        if mismatches.is_empty() { Ok(bound) } else { Err(Error::Mismatch(mismatches)) }
    }

    /// What the graph of a network says about the pipeline it comes from, under the keys of Stability AI's ModelSpec.
    pub fn metadata(&self, network: &Network) -> Vec<(String, String)> {
        let prediction = match self.prediction_type {
            PredictionType::Epsilon => "epsilon",
            PredictionType::VPrediction => "v",
            PredictionType::Sample => "sample",
        };
        let implementation = "https://github.com/huggingface/diffusers";
        let pairs = [("modelspec.implementation", implementation), ("modelspec.prediction_type", prediction)];
        let said = match network {
            Network::Unet { .. } => 2,
            Network::Router { .. } => 0,
            _ => 1,
        };
        pairs[..said].iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}

impl ExpertPart {
    /// The one expert of a pipeline, or a student.
    fn only() -> Self {
        Self { name: NAME.to_owned(), stem: NAME.to_owned(), suppressed: Vec::new(), made: Vec::new() }
    }
}

impl Part {
    pub fn open(root: &Path, stored: pipeline::Network, variant: Option<&str>, networks: Vec<Network>) -> Result<Self> {
        Ok(Self {
            checkpoints: vec![stored.weights(variant)?],
            networks,
            config_path: stored.config_path,
            root: root.to_owned(),
            expert: None,
        })
    }

    /// The same with the weights of another folder as well.
    ///
    /// # Errors
    /// Weights that cannot be opened.
    pub fn and(mut self, stored: &pipeline::Network, variant: Option<&str>) -> Result<Self> {
        self.checkpoints.push(stored.weights(variant)?);
        Ok(self)
    }

    /// The tensors of its networks, which agree on what their checkpoints hold.
    pub fn bind(&self) -> Result<Bound<'_>> {
        // A part has at least one network.
        self.networks
            .first()
            .map_or_else(|| Err(Error::Mismatch(Vec::new())), |network| network.bind(&self.checkpoints))
    }

    /// Name of the files of its networks.
    pub fn stem(&self) -> &str {
        self.expert.as_ref().map_or(NAME, |expert| &expert.stem)
    }

    /// The weight files, by their paths below where they lie.
    pub fn files(&self) -> Result<Vec<FileEntry>> {
        let relative = |path: &Path| {
            let below = path.strip_prefix(&self.root).unwrap_or(path);
            below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
        };
        let files = self.checkpoints.iter().flat_map(Checkpoint::files);
        files.map(|path| Ok(FileEntry::of(&self.root, relative(path))?)).collect()
    }
}

/// The numbers of the experts that are exported, in the order of the family.
fn numbers(family: &FamilyFolder, chosen: Option<&[String]>) -> Result<Vec<usize>> {
    let all = &family.manifest().experts;
    let Some(chosen) = chosen else { return Ok((0..all.len()).collect()) };
    if let Some(unknown) = chosen.iter().find(|name| family.manifest().expert(name).is_none()) {
        let known = all.iter().map(|expert| expert.name.clone()).collect();
        return Err(Error::Expert { family: family.root().to_owned(), name: unknown.clone(), known });
    }
    Ok((0..all.len()).filter(|&i| all.get(i).is_some_and(|expert| chosen.contains(&expert.name))).collect())
}

fn experts(family: &FamilyFolder, numbers: &[usize], tokens: usize) -> Result<Vec<Part>> {
    let all = &family.manifest().experts;
    let chosen: Vec<(&FamilyExpert, &Architecture)> =
        numbers.iter().filter_map(|&i| Some((all.get(i)?, family.architectures().get(i)?))).collect();
    // The first of the largest.
    let largest = chosen.iter().rev().max_by_key(|(expert, _)| expert.macs.exact).map(|(expert, _)| &expert.name);
    let part = |(expert, architecture): &(&FamilyExpert, &Architecture)| {
        let network = Network::Unet { config: family.config().clone(), architecture: (*architecture).clone(), tokens };
        let stored = pipeline::Network::open(&family.unet(&expert.name))?;
        let is_default = Some(&expert.name) == largest;
        if !is_default && (expert.name == NAME || expert.name.contains('.')) {
            return Err(Error::ExpertName { name: expert.name.clone() });
        }
        let about = ExpertPart {
            name: expert.name.clone(),
            stem: if is_default { NAME.to_owned() } else { expert.name.clone() },
            suppressed: expert.suppressed.clone(),
            made: expert.made.iter().map(|made| made.method.clone()).collect(),
        };
        Ok(Part { expert: Some(about), ..Part::open(family.root(), stored, None, vec![network])? })
    };
    chosen.iter().map(part).collect()
}

/// The family's router, where it has more than one expert to choose between.
fn router_part(family: &FamilyFolder, experts: Vec<usize>) -> Result<Option<Part>> {
    let Some(entry) = family.router().filter(|_| experts.len() > 1) else { return Ok(None) };
    let stored = pipeline::Network::open(&family.root().join(family::ENCODER))?;
    let sentence = SentenceConfig::from_json(&stored.config)?;
    compare_router(sentence.hidden_size, entry.config.features)?;
    let layout = VectorLayout::of(family.config())?;
    let network = Network::Router { sentence, router: entry.config, layout, experts };
    let mut part = Part::open(family.root(), stored, None, vec![network])?;
    part.checkpoints.push(Checkpoint::open(&family.root().join(family::ROUTER))?);
    Ok(Some(part))
}

fn manifest_hash(root: &Path) -> Result<Sha256> {
    Ok(FileEntry::of(root, manifest::FILE_NAME)?.sha256)
}

fn compare_router(found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::SentenceEncoder { found, expected }) }
}

fn compare(field: &'static str, found: usize, other: &'static str, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Disagreement { field, found, other, expected }) }
}
