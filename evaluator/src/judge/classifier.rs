//! A classifier as `pleach export` writes it: `model.onnx`, its data file and `config.json`.

use super::{Error, Result};
use image::RgbImage;
use pleach_model::{
    pipeline,
    vision::{Head, VisionConfig},
};
use pleach_runtime::engine::{Engine, GraphFile, HostCache, Network, NetworkOptions, TensorRef};
use std::path::{Path, PathBuf};

const GRAPH: &str = "model.onnx";

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

impl Classifier {
    /// Opens the classifier in `folder`.
    ///
    /// # Errors
    /// Files that cannot be read, a graph that ONNX Runtime refuses, [`Error::Graph`] where graph and configuration differ.
    pub fn open(engine: &Engine, folder: &Path) -> Result<Self> {
        let config = VisionConfig::from_json(&pipeline::Network::open(folder)?.config)?;
        let graph = GraphFile::open(folder, GRAPH, None, &HostCache::off())?;
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
    pub fn look(&mut self, pictures: &[&RgbImage]) -> Result<Vec<Seen>> {
        let Some(first) = pictures.first() else { return Ok(Vec::new()) };
        let (width, height) = first.dimensions();
        let planes: Vec<f32> = pictures.iter().flat_map(|picture| planes(picture)).collect();
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

/// `[3, H, W]` in [-1, 1].
fn planes(picture: &RgbImage) -> impl Iterator<Item = f32> {
    (0..3).flat_map(|channel| picture.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0))
}
