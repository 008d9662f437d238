//! Sentence encoders of the router: BERT-style (all-MiniLM-L6-v2) and MPNet (all-mpnet-base-v2), with mean pooling.

mod config;
mod encoder;
mod relative;

pub use config::{SentenceConfig, SentenceKind};
pub use encoder::SentenceEncoder;
