//! Instruments: what looks at pictures or reads texts, and says something of them in numbers.
//!
//! An instrument is a folder: an ONNX graph, the files that it needs, and a [`Description`] in `instrument.toml` (or one that is
//! built in) of all settings that its results depend on. Its [`Identity`] hashes them all. What it says is an [`Observation`]: raw,
//! so that thresholds are applied later without looking again.

mod description;
mod error;
mod graph;
mod identity;
mod observation;
mod pixels;
mod prepare;
mod vector;
mod yolo;

pub use description::{Activation, Classifier, Description, Embedding, FILE, Kind, Matrix, Q16, TextEmbedding, Yolo};
pub use error::{Error, Result};
pub use identity::Identity;
pub use observation::{Found, Observation, Scores};
pub use prepare::{Channels, Fit, Preparation};

use crate::judge;
use graph::Graph;
use image::RgbImage;
use pleach_model::{
    files::{digest_file, resolve_inside},
    tokenizer::Tokenizer,
    vision::{Choice, Head},
};
use pleach_runtime::engine::Engine;
use prepare::{Frame, Prepared};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use vector::Rows;

/// An instrument, opened.
#[derive(Debug)]
pub struct Instrument {
    description: Description,
    identity: Identity,
    heads: Vec<Head>,
    network: Network,
}

/// What is run.
#[derive(Debug)]
enum Network {
    Graph(Graph),
    /// Features are multiplied with the matrix `[D, E]`.
    Projected(Graph, Rows),
    /// Features are held against the prompts `[labels, D]`.
    Prompted(Graph, Rows),
    Text(Graph, Box<Tokenizer>),
    Judge(judge::Classifier),
    Pixels,
}

/// The head of a Q16 instrument.
const Q16_HEAD: &str = "class";
/// Files of a judge besides its graph.
const JUDGE: [&str; 2] = ["config.json", "model.onnx"];

impl Instrument {
    /// Opens the instrument whose files lie in `folder`.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::File`], [`Error::Pinned`], [`Error::Graph`], [`Error::Weights`], [`Error::Tokenizer`],
    /// [`Error::Judge`], [`Error::Engine`].
    pub fn open(engine: &Engine, description: &Description, folder: &Path) -> Result<Self> {
        description.check()?;
        let name = &description.name;
        for (file, &expected) in &description.files {
            let found = digest_file(&resolve_inside(folder, file)?)?.sha256;
            if found != expected {
                return Err(Error::Pinned { name: name.clone(), file: file.clone(), found, expected });
            }
        }
        let open =
            |graph: &String, output: &Option<String>| Graph::open(engine, name, folder, graph, output.as_deref());
        let matrix = |matrix: &Matrix| Rows::read(name, folder, matrix);
        let mut files = BTreeSet::new();
        let mut heads = Vec::new();
        let head = |name: &str, labels: &[String], choice| Head { name: name.into(), classes: labels.to_vec(), choice };
        let network = match &description.instrument {
            Kind::Yolo(yolo) => Network::Graph(open(&yolo.graph, &None)?),
            Kind::Classifier(classifier) => {
                let choice = match classifier.scores {
                    Activation::Softmax | Activation::None => Choice::OneOf,
                    Activation::Sigmoid => Choice::AnyOf,
                };
                heads.push(head(&classifier.head, &classifier.labels, choice));
                Network::Graph(open(&classifier.graph, &classifier.output)?)
            }
            Kind::Embedding(embedding) => {
                let graph = open(&embedding.graph, &embedding.output)?;
                match &embedding.projection {
                    None => Network::Graph(graph),
                    Some(projection) => {
                        files.insert(projection.file.clone());
                        Network::Projected(graph, matrix(projection)?)
                    }
                }
            }
            Kind::TextEmbedding(text) => {
                let (home, found) = tokenizer_files(folder, text.tokenizer.as_deref());
                files.extend(found);
                Network::Text(open(&text.graph, &text.output)?, Box::new(Tokenizer::clip(&home, text.positions)?))
            }
            Kind::Q16(q16) => {
                files.insert(q16.prompts.file.clone());
                heads.push(head(Q16_HEAD, &q16.labels, Choice::OneOf));
                Network::Prompted(open(&q16.graph, &q16.output)?, matrix(&q16.prompts)?)
            }
            Kind::Judge {} => {
                let judge = judge::Classifier::open(engine, folder)?;
                heads = judge.heads().to_vec();
                files.extend(JUDGE.map(str::to_owned));
                files.extend(graph::weights(folder, JUDGE[1])?);
                Network::Judge(judge)
            }
            Kind::Pixels {} => {
                heads.push(head(pixels::HEAD, &pixels::LABELS.map(str::to_owned), Choice::AnyOf));
                Network::Pixels
            }
        };
        if let Some(graph) = network.graph() {
            files.extend(graph.files().iter().cloned());
        }
        if let Some(file) = description.files.keys().find(|file| !files.contains(*file)) {
            let reason = format!("it pins {file:?}, which the instrument does not use");
            return Err(Error::Settings { name: name.clone(), reason });
        }
        let identity = Identity::new(description, folder, &files)?;
        Ok(Self { description: description.clone(), identity, heads, network })
    }

    /// Which instrument it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its description.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What it distinguishes: the heads that [`Scores`] has probabilities of; none for detectors and embeddings.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Whether it reads texts instead of looking at pictures.
    pub fn reads(&self) -> bool {
        matches!(self.network, Network::Text(..))
    }

    /// Looks at pictures, one after the other: what it says of one does not depend on the others. Where one cannot be scored, nothing
    /// is said of the others either: look at them one by one to tell them apart.
    ///
    /// # Errors
    /// [`Error::Wrong`] for an instrument that reads texts; [`Error::Size`], [`Error::Graph`], [`Error::NotFinite`],
    /// [`Error::Judge`], [`Error::Engine`].
    pub fn look(&mut self, pictures: &[&RgbImage]) -> Result<Vec<Observation>> {
        pictures.iter().enumerate().map(|(item, picture)| self.look_at(item, picture)).collect()
    }

    /// Reads texts, one after the other. A text that is too long is cut, as CLIP's tokenizer does it.
    ///
    /// # Errors
    /// [`Error::Wrong`] for an instrument that looks at pictures; [`Error::Tokenizer`], [`Error::Graph`], [`Error::NotFinite`],
    /// [`Error::Engine`].
    pub fn read(&mut self, texts: &[&str]) -> Result<Vec<Observation>> {
        texts.iter().enumerate().map(|(item, text)| self.read_one(item, text)).collect()
    }

    fn look_at(&mut self, item: usize, picture: &RgbImage) -> Result<Observation> {
        let Self { description, network, heads, .. } = self;
        let at = At { name: &description.name, item };
        match (&description.instrument, network) {
            (Kind::Yolo(yolo), Network::Graph(graph)) => {
                let (values, frame) = at.run(graph, &yolo.input, picture, &[4 + yolo.labels.len(), 0])?;
                let boxes = yolo.boxes(&values, &frame);
                boxes.iter().try_for_each(|found| at.finite(&found.bounds))?;
                match boxes.first().filter(|found| found.score > 1.0) {
                    Some(Found { score, .. }) => {
                        Err(graph.wrong(format!("gives the score {score}, which is no probability")))
                    }
                    None => Ok(Observation::Boxes(boxes)),
                }
            }
            (Kind::Classifier(classifier), Network::Graph(graph)) => {
                let (values, _) = at.run(graph, &classifier.input, picture, &[classifier.labels.len()])?;
                let heads = [(classifier.head.clone(), classifier.scores.apply(&values))].into();
                Ok(Observation::Scores(Scores { heads, features: Vec::new() }))
            }
            (Kind::Embedding(embedding), Network::Graph(graph)) => {
                let (features, _) = at.run(graph, &embedding.input, picture, &[0])?;
                Ok(Observation::Features(vector::scaled(features, embedding.normalize)))
            }
            (Kind::Embedding(embedding), Network::Projected(graph, projection)) => {
                let (features, _) = at.run(graph, &embedding.input, picture, &[projection.rows()])?;
                let features = projection.multiply(&features);
                at.finite(&features)?;
                Ok(Observation::Features(vector::scaled(features, embedding.normalize)))
            }
            (Kind::Q16(q16), Network::Prompted(graph, prompts)) => {
                let (features, _) = at.run(graph, &q16.input, picture, &[prompts.columns()])?;
                let cosine = |prompt| q16.scale * vector::cosine(&features, prompt) as f32;
                let scores = Activation::Softmax.apply(&prompts.iter().map(cosine).collect::<Vec<_>>());
                Ok(Observation::Scores(Scores { heads: [(Q16_HEAD.to_owned(), scores)].into(), features }))
            }
            (Kind::Judge {}, Network::Judge(judge)) => {
                let seen = judge.look(&[picture])?.pop().unwrap_or_default();
                seen.scores.iter().chain([&seen.features]).try_for_each(|values| at.finite(values))?;
                let probabilities = |(head, values): (&Head, &Vec<f32>)| {
                    let activation = match head.choice {
                        Choice::OneOf => Activation::Softmax,
                        Choice::AnyOf => Activation::Sigmoid,
                    };
                    (head.name.clone(), activation.apply(values))
                };
                let heads = heads.iter().zip(&seen.scores).map(probabilities).collect();
                Ok(Observation::Scores(Scores { heads, features: seen.features }))
            }
            (Kind::Pixels {}, Network::Pixels) => {
                let heads = [(pixels::HEAD.to_owned(), pixels::look(picture))].into();
                Ok(Observation::Scores(Scores { heads, features: Vec::new() }))
            }
            (kind, _) => Err(Error::Wrong { name: description.name.clone(), kind: kind.kind(), what: "pictures" }),
        }
    }

    fn read_one(&mut self, item: usize, text: &str) -> Result<Observation> {
        let Self { description, network, .. } = self;
        let name = &description.name;
        let (Kind::TextEmbedding(settings), Network::Text(graph, tokenizer)) = (&description.instrument, network)
        else {
            let kind = description.instrument.kind();
            return Err(Error::Wrong { name: name.clone(), kind, what: "texts" });
        };
        let tokens = tokenizer.encode(text)?;
        let features = graph.run_text(&tokens)?;
        if features.iter().any(|value| !value.is_finite()) {
            return Err(Error::NotFinite { name: name.clone(), item });
        }
        Ok(Observation::Features(vector::scaled(features, settings.normalize)))
    }
}

/// Which picture or text of which instrument: what errors name.
#[derive(Clone, Copy)]
struct At<'a> {
    name: &'a str,
    item: usize,
}

impl At<'_> {
    fn finite(self, values: &[f32]) -> Result<()> {
        if values.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(Error::NotFinite { name: self.name.to_owned(), item: self.item })
    }

    /// What the graph gives for a picture, in the shape `[1]` and `expected` (0 stands for any size), and where the picture lay.
    fn run(
        self,
        graph: &mut Graph,
        input: &Preparation,
        picture: &RgbImage,
        expected: &[usize],
    ) -> Result<(Vec<f32>, Frame)> {
        let Prepared { values, frame } = input.apply(self.name, picture)?;
        let output = graph.run(input, &values, expected)?;
        self.finite(&output)?;
        Ok((output, frame))
    }
}

impl Network {
    fn graph(&self) -> Option<&Graph> {
        match self {
            Self::Graph(graph) | Self::Projected(graph, _) | Self::Prompted(graph, _) | Self::Text(graph, _) => {
                Some(graph)
            }
            Self::Judge(_) | Self::Pixels => None,
        }
    }
}

/// The tokenizer's folder, and those of its files that exist.
fn tokenizer_files(folder: &Path, inside: Option<&str>) -> (PathBuf, Vec<String>) {
    const NAMES: [&str; 5] =
        ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];
    let home = inside.map_or_else(|| folder.to_owned(), |inside| folder.join(inside));
    let path = |name: &str| inside.map_or_else(|| name.to_owned(), |inside| format!("{inside}/{name}"));
    let found = NAMES.iter().filter(|name| home.join(name).is_file()).map(|name| path(name)).collect();
    (home, found)
}
