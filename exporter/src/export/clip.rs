//! The small world's own CLIP as two instruments for audits:
//!
//! ```text
//! OUT/  image/  model.onnx, its data file, instrument.toml               a picture to features
//!       text/   model.onnx, its data file, instrument.toml, tokenizer/   a text to features
//! ```

use super::{
    Exported, Options, What,
    alone::{self, Written},
    others::copy_tokenizer,
    source::{Part, USUAL_SIDE},
};
use crate::{
    error::{Error, Result},
    network::Network,
    watch::Watch,
};
use pleach_model::{
    clip::ClipTextConfig,
    files,
    pipeline::{self, CheckpointPipeline, PipelineFolder},
    towers::{self, ImageTowerConfig, TextTowerConfig},
    unet::UNetConfig,
    vae::VaeConfig,
    vision,
};
use std::path::Path;

const CONFIG: &str = "config.json";
/// The description's name in an instrument's folder.
const DESCRIPTION: &str = "instrument.toml";

/// As [`export`](super::export), of the CLIP that lies beside a pipeline's parts.
pub(super) fn export(root: &Path, out: &Path, options: &Options, watch: &dyn Watch) -> Result<Exported> {
    let folder = root.join(towers::FOLDER);
    // A CLIP itself, or a tower, where a pipeline is asked for.
    if root.join(CONFIG).is_file() {
        own(pipeline::Network::open(root)?)?;
    }
    if !folder.join(CONFIG).is_file() {
        return Err(Error::NoClip { pipeline: root.to_owned(), folder: towers::FOLDER });
    }
    let CheckpointPipeline { text_encoder, unet, vae, common } = PipelineFolder::open(root)?.checkpoint()?;
    let clip = own(pipeline::Network::open(&folder)?)?;
    // Pictures of the size that the pipeline draws: their places are part of what the tower sees.
    let latents = UNetConfig::from_json(&unet.config)?.sample_size.unwrap_or(USUAL_SIDE);
    let image = ImageTowerConfig::from_json(&clip.config, latents * VaeConfig::from_json(&vae.config)?.factor())?;
    let text = TextTowerConfig { text: ClipTextConfig::from_json(&text_encoder.config)?, shared: image.shared() };
    let descriptions = [
        ("image", format!(include_str!("clip/image.toml"), side = image.side)),
        ("text", format!(include_str!("clip/text.toml"), positions = text.text.max_position_embeddings)),
    ];
    let variant = options.variant.as_deref();
    let text = Part::open(root, text_encoder, variant, vec![Network::TextTower(text)])?.and(&clip, None)?;
    let image = Part::open(root, clip, None, vec![Network::ImageTower(image)])?;
    let others = |root: &Path| -> Result<()> {
        for (folder, description) in &descriptions {
            files::write(&root.join(folder).join(DESCRIPTION), description.as_bytes())?;
        }
        copy_tokenizer(&common.tokenizer, root, "text/tokenizer").map(drop)
    };
    let Written { folder, components, differences } =
        alone::write(&[image, text], out, "image/instrument.toml", options, watch, &others)?;
    Ok(Exported { folder, what: What::Networks(components), differences, drawn: Vec::new(), calibrated: Vec::new() })
}

/// The network, where it is the small world's.
fn own(network: pipeline::Network) -> Result<pipeline::Network> {
    let said = |key: &str| network.config.get(key).and_then(|class| class.as_str());
    let listed = || network.config.get("architectures")?.get(0)?.as_str();
    match said("_class_name").or_else(listed).or_else(|| said("model_type")) {
        Some(vision::CLASS) => Ok(network),
        found => {
            let found = found.unwrap_or("network of another kind").to_owned();
            Err(Error::OtherClip { path: network.config_path, found })
        }
    }
}
