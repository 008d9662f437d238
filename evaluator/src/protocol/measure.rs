//! What is measured on pictures.

use serde::{Deserialize, Serialize, de};
use std::fmt;

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Measure {
    /// Its name in the report.
    pub name: String,
    /// The name of the instrument, which the audit's recipe binds to files.
    pub instrument: String,
    /// Which direction is good.
    pub better: Better,
    /// What is done.
    #[serde(flatten)]
    pub kind: Kind,
}

/// Which direction is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Fewer, nearer.
    Lower,
    /// More, more alike.
    Higher,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// The detector's boxes, or the classifier's scores, of some labels are counted.
    Flagged {
        /// The labels, each once.
        labels: Vec<String>,
        /// The score that counts, 0 to 1.
        threshold: f64,
        /// Whether a score equal to the threshold does not count.
        strictly_above: bool,
        /// What is counted.
        unit: Unit,
    },
    /// The judge says whether a picture shows what the row's group of the head's name asks for.
    Asked {
        /// The head, which is also the group.
        head: String,
    },
    /// 100 times the cosine of prompt and picture (CLIP score).
    TextSimilarity {},
    /// 100 times the cosine of the picture's style and that of another picture of the same prompt and seed (CSD).
    ReferenceSimilarity {
        /// Whose picture.
        #[serde(default)]
        against: Against,
    },
    /// The share of pictures that are less like their prompt than another one of the same prompt and seed (ConceptPrune's CP).
    Cp {
        /// Whose picture.
        #[serde(default)]
        against: Against,
    },
    /// The Frechet distance between the features of the pictures and of others.
    Frechet {
        /// Which others.
        #[serde(default)]
        against: Against,
    },
    /// The kernel distance between the features of the pictures and of others: the mean over subsets of the unbiased MMD.
    Kid {
        /// Which others.
        #[serde(default)]
        against: Against,
        /// Number of subsets.
        #[serde(default = "subsets")]
        subsets: u32,
        /// Pictures in a subset.
        #[serde(default = "subset_size")]
        subset_size: u32,
    },
}

fn subsets() -> u32 {
    100
}

fn subset_size() -> u32 {
    1000
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Images with at least one such box.
    Image,
    /// Boxes.
    Box,
}

/// What pictures are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Against {
    /// What the baseline drew.
    #[default]
    Baseline,
    /// What another arm drew, or a set of pictures that the audit's recipe binds to this name.
    Named(String),
}

impl From<String> for Against {
    fn from(name: String) -> Self {
        if name == "baseline" { Self::Baseline } else { Self::Named(name) }
    }
}

impl From<Against> for String {
    fn from(against: Against) -> Self {
        against.to_string()
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Named(name) => name,
        })
    }
}

impl TryFrom<toml::Table> for Measure {
    type Error = String;

    /// In two parts, so that a key that the kind does not have is an error too.
    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let name: String = take(&mut table, "name", "a measure")?;
        let what = format!("the measure {name:?}");
        let (instrument, better) = (take(&mut table, "instrument", &what)?, take(&mut table, "better", &what)?);
        let kind = table.try_into().map_err(|error: toml::de::Error| format!("{what}: {}", error.message()))?;
        Ok(Self { name, instrument, better, kind })
    }
}

fn take<T: de::DeserializeOwned>(table: &mut toml::Table, key: &str, what: &str) -> Result<T, String> {
    let value = table.remove(key).ok_or_else(|| format!("{what} has no {key}"))?;
    value.try_into().map_err(|error: toml::de::Error| format!("{what}: {key}: {}", error.message()))
}

impl Measure {
    /// What the kind is called.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Flagged { .. } => "flagged",
            Kind::Asked { .. } => "asked",
            Kind::TextSimilarity {} => "text_similarity",
            Kind::ReferenceSimilarity { .. } => "reference_similarity",
            Kind::Cp { .. } => "cp",
            Kind::Frechet { .. } => "frechet",
            Kind::Kid { .. } => "kid",
        }
    }

    pub(super) fn flaw(&self) -> Option<String> {
        let what = format!("the measure {:?}", self.name);
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if self.name.is_empty() || !self.name.chars().all(is_plain) {
            return Some(format!(
                "{what}: a name is lower-case letters, digits, dashes and dots, so that gates can name it"
            ));
        }
        if self.instrument.trim().is_empty() {
            return Some(format!("{what} has no instrument"));
        }
        match &self.kind {
            Kind::Flagged { labels, .. } if labels.is_empty() => Some(format!("{what} has no labels")),
            Kind::Flagged { labels, .. } if (1..labels.len()).any(|i| labels[..i].contains(&labels[i])) => {
                Some(format!("{what} has a label twice"))
            }
            Kind::Flagged { threshold, .. } if !(0.0..=1.0).contains(threshold) => {
                Some(format!("{what} has the threshold {threshold}; it is between 0 and 1"))
            }
            Kind::Kid { subsets, subset_size, .. } if *subsets == 0 || *subset_size < 2 => {
                Some(format!("{what} needs a subset, and two pictures in each"))
            }
            _ => None,
        }
    }
}

impl Kind {
    /// Whether a score counts as flagged; false for every other kind.
    pub fn flags(&self, label: &str, score: f64) -> bool {
        match self {
            Self::Flagged { labels, threshold, strictly_above, .. } => {
                let enough = if *strictly_above { score > *threshold } else { score >= *threshold };
                enough && labels.iter().any(|known| known == label)
            }
            _ => false,
        }
    }
}
