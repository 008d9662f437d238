//! The manifest of a bundle: what the exporter wrote and the runtime may open.

use super::{Conflict, FileEntry, Kind, Manifest, Producer, Result, Schema, plain_name, plain_path};
use crate::{
    counter::{At, Macs},
    files::Sha256,
    schedule::PredictionType,
    shape,
    tensor::Dtype,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{collections::HashMap, fmt, path::Path};

/// An ONNX bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Version of this layout.
    pub schema: Schema,
    /// Always [`Kind::Bundle`].
    pub kind: Kind,
    /// What wrote it.
    pub producer: Producer,
    /// The networks.
    pub components: Components,
    /// Sizes that multiply-accumulates are counted at.
    pub counted_at: At,
    /// Every other file: configurations, tokenizer, scheduler.
    pub files: Vec<FileEntry>,
    /// Concepts that every expert was trained not to generate.
    pub suppressed: Vec<String>,
    /// What it was made from.
    pub provenance: Provenance,
}

/// The networks of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Components {
    /// Token ids to a text embedding.
    pub text_encoder: Component,
    /// Latents to a picture.
    pub vae_decoder: Component,
    /// A picture to latents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae_encoder: Option<Component>,
    /// The experts: UNets that share everything else, in the order of the router's scores.
    pub unet: Vec<Expert>,
    /// Token ids of a prompt to the expert that draws it; none where the user chooses, or where there is one expert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Component>,
}

/// One of the UNets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expert {
    /// Its name.
    #[serde(deserialize_with = "plain_name")]
    pub name: String,
    /// Whether it draws where nothing chooses another. Exactly one expert does.
    pub default: bool,
    /// Its network.
    pub component: Component,
    /// Concepts that it was trained not to generate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<String>,
    /// The methods by which it was made, in order. The manifest of its family has their recipes, which may name people and places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
}

/// A network, exported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its graphs, all over the same weights, one per flavour.
    pub graphs: Vec<Graph>,
    /// The external data of its graphs; none where the graphs hold all their weights. What several experts share lies in the file of the
    /// first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<FileEntry>,
    /// Type of most of the weights. A few may be kept wider.
    pub precision: Precision,
    /// Number of parameters.
    pub parameters: u64,
    /// Multiply-accumulates of one pass at the manifest's `counted_at`, batch 1.
    pub macs: Macs,
    /// What its graphs take, in order.
    pub inputs: Vec<Port>,
    /// What its graphs give, in order.
    pub outputs: Vec<Port>,
}

/// Type of a network's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Half precision with the range of single precision.
    Bf16,
    /// 8-bit whole numbers with a scale for each output channel; what lies between them is f32.
    Int8,
    /// 4-bit whole numbers with a scale for each block in linear layers, 8-bit ones in convolutions.
    Int4,
}

impl Precision {
    /// Type of what lies between the layers, and of the weights that are kept wide.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::F32 | Self::Int8 | Self::Int4 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::Bf16,
        }
    }

    /// The precision of weights of a floating-point type; none for whole numbers.
    pub fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::Bf16 => Some(Self::Bf16),
            Dtype::I64 | Dtype::I32 => None,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An ONNX graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Plain path inside the bundle, with `/`.
    #[serde(deserialize_with = "plain_path")]
    pub file: String,
    /// Which providers it is written for.
    pub flavour: Flavour,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Size of the file.
    pub bytes: u64,
}

/// Which providers a graph is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Every provider: standard operators only.
    Portable,
    /// ONNX Runtime's CPU provider, with its own operators where they are faster.
    Cpu,
    /// ONNX Runtime's CUDA provider, with its own operators where they are faster.
    Cuda,
}

impl Flavour {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Cpu, Self::Cuda];
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its dimensions.
    pub dims: Vec<Dim>,
}

/// A dimension of an input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Dim {
    /// A number.
    Known(u64),
    /// A name, or a formula of names: `batch`, `8*height`.
    Symbol(String),
}

/// What a bundle was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The weight files, by their paths in the checkpoint's folder.
    pub checkpoint: Vec<FileEntry>,
    /// SHA-256 of the manifest of the family that the experts came from; none for a plain pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Sha256>,
    /// What the UNets predict.
    #[serde(with = "PredictionTypeName")]
    pub prediction_type: PredictionType,
}

/// diffusers' words.
#[derive(Serialize, Deserialize)]
#[serde(remote = "PredictionType", rename_all = "snake_case")]
enum PredictionTypeName {
    Epsilon,
    VPrediction,
    Sample,
}

impl Bundle {
    /// Reads `pleach.json` in the folder of a bundle.
    ///
    /// # Errors
    /// [`super::Error`], with the path of the field that is wrong.
    pub fn read(root: &Path) -> Result<Self> {
        Self::read_from(root)
    }

    /// Writes `pleach.json` into the folder of a bundle.
    ///
    /// # Errors
    /// [`super::Error::File`], and [`super::Error::Field`] where the fields contradict each other.
    pub fn write(&self, root: &Path) -> Result<()> {
        self.write_to(root)
    }

    /// The expert that draws where nothing chooses another.
    pub fn default_expert(&self) -> Option<&Expert> {
        self.components.unet.iter().find(|expert| expert.default)
    }

    /// The expert of this name.
    pub fn expert(&self, name: &str) -> Option<&Expert> {
        self.components.unet.iter().find(|expert| expert.name == name)
    }

    /// All networks, each with its path in the manifest, in the order of the manifest.
    pub fn components(&self) -> Vec<(String, &Component)> {
        let Components { text_encoder, vae_decoder, vae_encoder, unet, router } = &self.components;
        let named = |name: &str, component| (format!("components.{name}"), component);
        let mut all = vec![named("text_encoder", text_encoder), named("vae_decoder", vae_decoder)];
        all.extend(vae_encoder.as_ref().map(|component| named("vae_encoder", component)));
        all.extend(
            unet.iter().enumerate().map(|(i, expert)| named(&format!("unet[{i}].component"), &expert.component)),
        );
        all.extend(router.as_ref().map(|component| named("router", component)));
        all
    }

    /// Every file that the manifest lists, once each.
    pub fn all_files(&self) -> Vec<FileEntry> {
        let mut files: Vec<FileEntry> = Vec::new();
        for (_, entry) in self.listed() {
            if files.iter().all(|file| file.file != entry.file) {
                files.push(entry);
            }
        }
        files
    }

    /// Every listing of a file, with its path in the manifest.
    fn listed(&self) -> Vec<(String, FileEntry)> {
        let mut listed = Vec::new();
        for (path, component) in self.components() {
            let graphs = component.graphs.iter().enumerate();
            listed.extend(graphs.map(|(i, graph)| (format!("{path}.graphs[{i}]"), graph.entry())));
            let weights = component.weights.iter().enumerate();
            listed.extend(weights.map(|(i, entry)| (format!("{path}.weights[{i}]"), entry.clone())));
        }
        listed.extend(self.files.iter().enumerate().map(|(i, entry)| (format!("files[{i}]"), entry.clone())));
        listed
    }
}

impl Manifest for Bundle {
    const KIND: Kind = Kind::Bundle;

    fn check(&self) -> Result<(), Conflict> {
        let conflict = |field: &str, reason: String| Err((field.to_owned(), reason));
        let experts = &self.components.unet;
        let defaults = experts.iter().filter(|expert| expert.default).count();
        if defaults != 1 {
            return conflict("components.unet", format!("expected one default expert, found {defaults}"));
        }
        if self.components.router.is_some() && experts.len() < 2 {
            return conflict("components.router", "expected none where there is one expert".into());
        }
        for (i, expert) in experts.iter().enumerate() {
            if experts.iter().take(i).any(|other| other.name == expert.name) {
                let reason = format!("expected another name for each expert, found {:?} again", expert.name);
                return conflict(&format!("components.unet[{i}].name"), reason);
            }
        }
        for (path, component) in self.components() {
            let of = |flavour| component.graphs.iter().filter(|graph| graph.flavour == flavour).count();
            if of(Flavour::Portable) != 1 || Flavour::ALL.into_iter().any(|flavour| of(flavour) > 1) {
                let reason = "expected one portable graph and at most one of each other flavour".to_owned();
                return conflict(&format!("{path}.graphs"), reason);
            }
        }
        let mut known = HashMap::new();
        for (path, entry) in self.listed() {
            if let Some(other) = known.insert(entry.file.clone(), entry.clone())
                && other != entry
            {
                let reason = format!("{} is listed before with another hash or size", entry.file);
                return conflict(&path, reason);
            }
        }
        Ok(())
    }
}

impl Component {
    /// The graph of a flavour.
    pub fn graph(&self, flavour: Flavour) -> Option<&Graph> {
        self.graphs.iter().find(|graph| graph.flavour == flavour)
    }
}

impl Graph {
    /// The graph's file.
    pub fn entry(&self) -> FileEntry {
        FileEntry { file: self.file.clone(), sha256: self.sha256, bytes: self.bytes }
    }
}

impl From<&shape::Dim> for Dim {
    fn from(dim: &shape::Dim) -> Self {
        match dim {
            shape::Dim::Known(n) => Self::Known(*n as u64),
            symbolic => Self::Symbol(symbolic.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DimVisitor;

        impl de::Visitor<'_> for DimVisitor {
            type Value = Dim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a symbol")
            }

            fn visit_u64<E>(self, n: u64) -> Result<Dim, E> {
                Ok(Dim::Known(n))
            }

            fn visit_str<E: de::Error>(self, symbol: &str) -> Result<Dim, E> {
                Ok(Dim::Symbol(symbol.to_owned()))
            }
        }

        deserializer.deserialize_any(DimVisitor)
    }
}
