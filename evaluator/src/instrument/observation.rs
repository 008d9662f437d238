//! What an instrument says of a picture or a text, before any threshold.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an instrument says of a picture or a text. All numbers are finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// What a detector finds, the highest score first, down to its floor: a higher threshold only drops the end of the list, since
    /// what suppresses a box always has a higher score.
    Boxes(Vec<Found>),
    /// What a classifier thinks.
    Scores(Scores),
    /// An embedding.
    Features(Vec<f32>),
}

/// A box of a detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The class.
    pub label: String,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Left, top, width and height in pixels of the picture.
    pub bounds: [f32; 4],
}

/// What a classifier thinks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Probabilities of the classes of each head, in the order of [`Instrument::heads`](super::Instrument::heads).
    pub heads: BTreeMap<String, Vec<f32>>,
    /// The penultimate layer; empty where the instrument does not give it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<f32>,
}

impl Observation {
    /// The features: of an embedding, or of a classifier that gives its penultimate layer.
    pub fn features(&self) -> Option<&[f32]> {
        match self {
            Self::Features(features) => Some(features),
            Self::Scores(Scores { features, .. }) if !features.is_empty() => Some(features),
            Self::Scores(_) | Self::Boxes(_) => None,
        }
    }
}
