//! A path that is no pipeline's folder: what it is instead, and what to do with it.

use super::error::Error;
use crate::checkpoint::{self, Checkpoint};
use std::path::Path;

/// How the names of an original Stable Diffusion checkpoint's UNet begin.
const ORIGINAL: &str = "model.diffusion_model.";

/// What `path` is, as the error to be told.
pub(super) fn tell(path: &Path) -> Error {
    let own = || path.to_owned();
    if path.is_dir() {
        let is_network = path.join("config.json").is_file();
        return if is_network { Error::OneNetwork { path: own() } } else { Error::OtherFolder { folder: own() } };
    }
    if !path.exists() {
        return match path.to_str().filter(|path| reads_like_an_id(path)) {
            Some(id) => Error::HubId { id: id.to_owned() },
            None => Error::Nothing { path: own() },
        };
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match Checkpoint::open(path) {
        Ok(checkpoint) if checkpoint.names().any(|name| name.starts_with(ORIGINAL)) => {
            Error::OriginalFormat { path: own() }
        }
        Ok(_) => Error::OneNetwork { path: own() },
        Err(checkpoint::Error::Pickle { path }) => Error::Pickle { path },
        Err(error) if extension == "safetensors" => error.into(),
        Err(_) if extension == "onnx" => Error::OneNetwork { path: own() },
        Err(_) => Error::OtherFile { path: own() },
    }
}

/// `ORG/NAME`, in the characters that Hugging Face allows.
fn reads_like_an_id(path: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    path.split_once('/').is_some_and(|(organisation, name)| is_name(organisation) && is_name(name))
}
