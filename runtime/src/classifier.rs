//! A classifier as `pleach export` writes it: `model.onnx`, its data file and `config.json`.

use crate::{
    engine::{self, Engine, GraphFile, HostCache, Network, NetworkOptions, TensorRef},
    image::Image,
};
use pleach_model::{
    error, pipeline,
    vision::{Head, VisionConfig},
};
use std::path::{Path, PathBuf};

const GRAPH: &str = "model.onnx";

/// Why a classifier cannot look at pictures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder cannot be read.
    #[error(transparent)]
    Folder(#[from] pipeline::Error),
    /// Its configuration is not one.
    #[error(transparent)]
    Config(#[from] error::Error),
    /// It does not run.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// Its graph does not give what its configuration says.
    #[error("{}: the graph gives {found}, the configuration beside it expects {expected}", folder.display())]
    Graph {
        /// The classifier's folder.
        folder: PathBuf,
        /// What the configuration says.
        expected: String,
        /// What the graph declares or gives.
        found: String,
    },
}

/// A classifier, opened in ONNX Runtime.
#[derive(Debug)]
pub struct Classifier {
    folder: PathBuf,
    config: VisionConfig,
    network: Network,
}

/// What it sees in a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The penultimate layer.
    pub features: Vec<f32>,
    /// Scores of the classes of each head, before softmax or sigmoid.
    pub scores: Vec<Vec<f32>>,
}

/// The pixels of a picture, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Interleaved rows, top first: `3 * width * height` bytes.
    pub rgb: &'a [u8],
}

impl<'a> From<&'a Image> for Pixels<'a> {
    fn from(image: &'a Image) -> Self {
        Self { width: image.width(), height: image.height(), rgb: image.rgb() }
    }
}

impl Pixels<'_> {
    /// `[3, H, W]` in [-1, 1].
    fn planes(self) -> impl Iterator<Item = f32> {
        let plane =
            move |channel| self.rgb.iter().skip(channel).step_by(3).map(|&value| f32::from(value) / 127.5 - 1.0);
        (0..3).flat_map(plane)
    }
}

impl Classifier {
    /// Opens the classifier in `folder`.
    ///
    /// # Errors
    /// Files that cannot be read, a graph that ONNX Runtime refuses, [`Error::Graph`] where graph and configuration differ.
    pub fn open(engine: &Engine, folder: &Path) -> Result<Self, Error> {
        let config = VisionConfig::from_json(&pipeline::Network::open(folder)?.config)?;
        let graph = GraphFile::open(folder, GRAPH, None, &HostCache::off()).map_err(engine::Error::from)?;
        let network = engine.open(&graph, &NetworkOptions::default())?;
        let expected: Vec<&str> =
            ["features"].into_iter().chain(config.heads.iter().map(|h| h.name.as_str())).collect();
        let found: Vec<&str> = network.outputs().iter().map(|output| output.name.as_str()).collect();
        if expected != found {
            let (expected, found) = (expected.join(", "), found.join(", "));
            return Err(Error::Graph { folder: folder.to_owned(), expected, found });
        }
        Ok(Self { folder: folder.to_owned(), config, network })
    }

    /// What it distinguishes.
    pub fn heads(&self) -> &[Head] {
        &self.config.heads
    }

    /// Looks at pictures of one size.
    ///
    /// # Errors
    /// ONNX Runtime fails, or gives something of another shape.
    pub fn look(&mut self, pictures: &[Pixels<'_>]) -> Result<Vec<Seen>, Error> {
        let Some(&Pixels { width, height, .. }) = pictures.first() else { return Ok(Vec::new()) };
        let planes: Vec<f32> = pictures.iter().flat_map(|picture| picture.planes()).collect();
        let shape = [pictures.len(), 3, height as usize, width as usize];
        let outputs = self.network.run(&[("sample", TensorRef::new(&shape, &planes)?)])?;
        let sizes = [self.config.features].into_iter().chain(self.config.heads.iter().map(|head| head.classes.len()));
        let mut rows = Vec::new();
        for (output, size) in outputs.into_iter().zip(sizes) {
            let expected = [pictures.len(), size];
            if output.shape() != expected {
                let (expected, found) = (format!("{expected:?}"), format!("{:?}", output.shape()));
                return Err(Error::Graph { folder: self.folder.clone(), expected, found });
            }
            let numbers = output.into_f32();
            rows.push(numbers.chunks_exact(size).map(<[f32]>::to_vec).collect::<Vec<_>>().into_iter());
        }
        let seen = pictures.iter().map(|_| {
            let mut values = rows.iter_mut().filter_map(Iterator::next);
            Seen { features: values.next().unwrap_or_default(), scores: values.collect() }
        });
        Ok(seen.collect())
    }
}
