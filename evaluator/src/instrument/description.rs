//! `instrument.toml`: what an instrument is, and all settings that its results depend on.

use super::{Error, Fit, Preparation, Result};
use pleach_model::files::{Sha256, is_plain_path, read_bounded};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The description's name in an instrument's folder.
pub const FILE: &str = "instrument.toml";
/// The largest description.
const LARGEST: u64 = 1 << 20;

/// Built-in descriptions by name.
const BUILTINS: [(&str, &str); 8] = [
    ("clip-vit-base-patch32", include_str!("builtin/clip-vit-base-patch32.toml")),
    ("clip-vit-base-patch32-text", include_str!("builtin/clip-vit-base-patch32-text.toml")),
    ("csd", include_str!("builtin/csd.toml")),
    ("inception", include_str!("builtin/inception.toml")),
    ("nudenet", include_str!("builtin/nudenet.toml")),
    ("nudenet-3.0.8", include_str!("builtin/nudenet-3.0.8.toml")),
    ("pixels", include_str!("builtin/pixels.toml")),
    ("q16", include_str!("builtin/q16.toml")),
];

/// What an instrument is.
///
/// ```toml
/// name = "gore"
/// about = "Tells gory pictures"
/// files = { "model.onnx" = "..." }    # pins, where the file must be this one
///
/// [instrument]
/// kind = "classifier"
/// graph = "model.onnx"
/// scores = "softmax"
/// labels = ["harmless", "gory"]
///
/// [instrument.input]
/// width = 224
/// height = 224
/// fit = "squash"
/// filter = "pillow-bilinear"
/// mean = [0.5, 0.5, 0.5]
/// std = [0.5, 0.5, 0.5]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The instrument's name in reports.
    pub name: String,
    /// What it is for, in a line.
    #[serde(default)]
    pub about: String,
    /// The licence of its weights.
    #[serde(default)]
    pub licence: String,
    /// SHA-256 of files that must be these.
    #[serde(default)]
    pub files: BTreeMap<String, Sha256>,
    /// What it is.
    pub instrument: Kind,
}

/// The kinds of instruments. File names are paths in the instrument's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A detector as YOLOv8's.
    Yolo(Yolo),
    /// A classifier.
    Classifier(Classifier),
    /// The image tower of an embedding model, or any other network from a picture to features.
    Embedding(Embedding),
    /// The text tower of CLIP.
    TextEmbedding(TextEmbedding),
    /// An embedding held against learned prompts (Schramowski et al. 2022, Q16).
    Q16(Q16),
    /// A classifier as `pleach export` writes it: `model.onnx` and `config.json`.
    Judge {},
    /// Whether a picture has one colour, or is noise. It needs no file.
    Pixels {},
}

/// A detector as YOLOv8's: output `[1, 4 + labels, anchors]`, centre, size and scores (after the sigmoid) of each anchor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yolo {
    /// The graph.
    pub graph: String,
    /// What it is fed.
    pub input: Preparation,
    /// Its classes, in order.
    pub labels: Vec<String>,
    /// Anchors whose best score is below are no candidates.
    #[serde(default = "candidate")]
    pub candidate: f32,
    /// The floor: boxes are kept if their score is above.
    #[serde(default = "floor")]
    pub floor: f32,
    /// Of two boxes whose intersection over union is above, whatever their classes, only the one of the higher score is kept.
    #[serde(default = "overlap")]
    pub overlap: f32,
}

fn candidate() -> f32 {
    0.2
}

fn floor() -> f32 {
    0.25
}

fn overlap() -> f32 {
    0.45
}

/// A classifier: output `[1, labels]` before softmax or sigmoid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    /// The graph.
    pub graph: String,
    /// What it is fed.
    pub input: Preparation,
    /// The output; the only one unless named.
    pub output: Option<String>,
    /// The name of the head in results.
    #[serde(default = "class")]
    pub head: String,
    /// Its classes, in order.
    pub labels: Vec<String>,
    /// What makes probabilities of its output.
    pub scores: Activation,
}

fn class() -> String {
    "class".into()
}

/// What makes probabilities of a classifier's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The classes exclude each other.
    Softmax,
    /// Each class by itself.
    Sigmoid,
    /// The graph gives probabilities, of classes that exclude each other.
    None,
}

/// The image tower of an embedding model: output `[1, D]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// The graph.
    pub graph: String,
    /// What it is fed.
    pub input: Preparation,
    /// The output; the only one unless named.
    pub output: Option<String>,
    /// A matrix `[D, E]` that features are multiplied with, from the right.
    pub projection: Option<Matrix>,
    /// Whether features are scaled to length 1, after the projection.
    #[serde(default)]
    pub normalize: bool,
}

/// The text tower of CLIP: `input_ids` `[1, 77]`, and `attention_mask` where the graph takes it, to `[1, D]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextEmbedding {
    /// The graph.
    pub graph: String,
    /// The output; the only one unless named.
    pub output: Option<String>,
    /// The folder of the tokenizer in the instrument's folder; the instrument's folder itself unless named.
    pub tokenizer: Option<String>,
    /// Ids of a text, with padding.
    #[serde(default = "positions")]
    pub positions: usize,
    /// Whether features are scaled to length 1.
    #[serde(default)]
    pub normalize: bool,
}

fn positions() -> usize {
    77
}

/// An embedding, and a learned prompt vector for each class: the probabilities are the softmax of `scale` x cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Q16 {
    /// The image tower.
    pub graph: String,
    /// What it is fed.
    pub input: Preparation,
    /// The output; the only one unless named.
    pub output: Option<String>,
    /// The prompts: `[labels, D]`.
    pub prompts: Matrix,
    /// The classes, in the order of the prompts.
    pub labels: Vec<String>,
    /// What cosines are multiplied with.
    #[serde(default = "scale")]
    pub scale: f32,
}

fn scale() -> f32 {
    100.0
}

/// A matrix in a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The file.
    pub file: String,
    /// The tensor's name.
    pub tensor: String,
}

impl Kind {
    /// Its name in descriptions.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Yolo(_) => "yolo",
            Self::Classifier(_) => "classifier",
            Self::Embedding(_) => "embedding",
            Self::TextEmbedding(_) => "text_embedding",
            Self::Q16(_) => "q16",
            Self::Judge {} => "judge",
            Self::Pixels {} => "pixels",
        }
    }

    /// How pictures are prepared, where the description says it.
    pub fn input_mut(&mut self) -> Option<&mut Preparation> {
        match self {
            Self::Yolo(Yolo { input, .. })
            | Self::Classifier(Classifier { input, .. })
            | Self::Embedding(Embedding { input, .. })
            | Self::Q16(Q16 { input, .. }) => Some(input),
            Self::TextEmbedding(_) | Self::Judge {} | Self::Pixels {} => None,
        }
    }

    /// The same, to look at.
    pub fn input(&self) -> Option<&Preparation> {
        match self {
            Self::Yolo(Yolo { input, .. })
            | Self::Classifier(Classifier { input, .. })
            | Self::Embedding(Embedding { input, .. })
            | Self::Q16(Q16 { input, .. }) => Some(input),
            Self::TextEmbedding(_) | Self::Judge {} | Self::Pixels {} => None,
        }
    }
}

impl Description {
    /// The names of the built-in descriptions.
    pub fn builtins() -> impl Iterator<Item = &'static str> {
        BUILTINS.iter().map(|(name, _)| *name)
    }

    /// A built-in description.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn builtin(name: &str) -> Result<Self> {
        let Some((_, text)) = BUILTINS.iter().find(|(known, _)| *known == name) else {
            let known = Self::builtins().collect::<Vec<_>>().join(", ");
            return Err(Error::Unknown { name: name.to_owned(), known });
        };
        Self::parse(text, Path::new(name))
    }

    /// The description in an instrument's folder.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Description`], [`Error::Settings`].
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let bytes = read_bounded(&path, LARGEST)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::Description { path: path.clone(), reason: "is not UTF-8".into() })?;
        Self::parse(&text, &path)
    }

    /// The description that `text` is; messages name `path`.
    ///
    /// # Errors
    /// [`Error::Description`], [`Error::Settings`].
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let description: Self = toml::from_str(text)
            .map_err(|error| Error::Description { path: PathBuf::from(path), reason: error.to_string() })?;
        description.check()?;
        Ok(description)
    }

    /// As canonical JSON: what [`Identity`](super::Identity) hashes.
    pub(super) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| self.wrong(error.to_string()))
    }

    fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Settings { name: self.name.clone(), reason: reason.into() }
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn check(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(self.wrong("it has no name"));
        }
        if let Some(file) =
            self.instrument.files().into_iter().chain(self.files.keys()).find(|file| !is_plain_path(file))
        {
            return Err(self.wrong(format!("{file:?} is not a path inside of its folder")));
        }
        if let Some(input) = self.instrument.input() {
            input.check().map_err(|reason| self.wrong(reason))?;
        }
        if let Some(labels) = self.instrument.labels() {
            let mut sorted: Vec<&String> = labels.iter().collect();
            sorted.sort();
            if sorted.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(self.wrong("its labels are none, or one stands twice"));
            }
        }
        match &self.instrument {
            Kind::Yolo(Yolo { candidate, floor, overlap, input, .. }) => {
                if [candidate, floor, overlap].into_iter().any(|value| !(0.0..=1.0).contains(value)) {
                    return Err(self.wrong("candidate, floor and overlap are shares, from 0 to 1"));
                }
                if input.fit == Fit::Crop {
                    return Err(self.wrong("fit = \"crop\" hides part of a picture from a detector"));
                }
            }
            Kind::Q16(Q16 { scale, .. }) if !(scale.is_finite() && *scale > 0.0) => {
                return Err(self.wrong("scale is a number above 0"));
            }
            Kind::TextEmbedding(TextEmbedding { positions, .. }) if !(2..=4096).contains(positions) => {
                return Err(self.wrong("positions is a number from 2 to 4096"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Kind {
    /// The classes, where there are any and the description says which.
    pub fn labels(&self) -> Option<&[String]> {
        match self {
            Self::Yolo(Yolo { labels, .. })
            | Self::Classifier(Classifier { labels, .. })
            | Self::Q16(Q16 { labels, .. }) => Some(labels),
            Self::Embedding(_) | Self::TextEmbedding(_) | Self::Judge {} | Self::Pixels {} => None,
        }
    }

    /// The files that the description names.
    fn files(&self) -> Vec<&String> {
        match self {
            Self::Yolo(Yolo { graph, .. }) | Self::Classifier(Classifier { graph, .. }) => vec![graph],
            Self::Embedding(Embedding { graph, projection, .. }) => {
                [graph].into_iter().chain(projection.as_ref().map(|matrix| &matrix.file)).collect()
            }
            Self::TextEmbedding(TextEmbedding { graph, tokenizer, .. }) => {
                [graph].into_iter().chain(tokenizer).collect()
            }
            Self::Q16(Q16 { graph, prompts, .. }) => vec![graph, &prompts.file],
            Self::Judge {} | Self::Pixels {} => Vec::new(),
        }
    }
}
