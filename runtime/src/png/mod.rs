//! Pictures as PNG files that say how they were made.
//!
//! Two text chunks: `parameters`, as A1111's web UI writes it, and `pleach`, the [`Recipe`] as JSON. Both are `tEXt`, or `iTXt`
//! where a text is not Latin-1.

mod recipe;
#[cfg(test)]
mod tests;

pub use recipe::{Model, Recipe, Software};

use crate::image::Image;
use ::png::{BitDepth, ColorType, Decoder, Encoder, Limits};
use serde::Serialize;
use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

/// Longest text read from a file; the longest written is two copies of a prompt.
const MAX_TEXT: usize = 1 << 20;

/// Most memory that the chunks before the picture may take.
const MAX_BYTES: usize = 16 << 20;

const PARAMETERS: &str = "parameters";
const RECIPE: &str = "pleach";

/// What a PNG file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The recipe, where this project wrote one.
    pub recipe: Option<Recipe>,
    /// The A1111-style text, of whatever program.
    pub parameters: Option<String>,
}

/// A PNG file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not a PNG file, or a broken one.
    #[error("{}: not a PNG file that can be read: {source}", file.display())]
    Decode {
        /// The file.
        file: PathBuf,
        /// What the decoder says.
        source: ::png::DecodingError,
    },
    /// A text chunk is too long or not what its name says.
    #[error("{}: text chunk {chunk:?}: {reason}", file.display())]
    Text {
        /// The file.
        file: PathBuf,
        /// Name of the chunk.
        chunk: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// A picture as a PNG file, with its recipe where one is given.
pub fn encode(image: &Image, recipe: Option<&Recipe>) -> Result<Vec<u8>, ::png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    if let Some(recipe) = recipe {
        let json = serde_json::to_string(recipe).map_err(io::Error::from)?;
        for (chunk, text) in [(PARAMETERS, recipe.parameters()), (RECIPE, json)] {
            let latin1 = text.chars().all(|c| u32::from(c) < 0x100);
            if latin1 {
                encoder.add_text_chunk(chunk.into(), text)?;
            } else {
                encoder.add_itxt_chunk(chunk.into(), text)?;
            }
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.rgb())?;
    writer.finish()?;
    Ok(bytes)
}

/// What the PNG file says about itself; the picture is not decoded.
pub fn describe(file: &Path) -> Result<Description, Error> {
    let source = File::open(file).map_err(|source| Error::Read { file: file.into(), source })?;
    let reader = Decoder::new_with_limits(BufReader::new(source), Limits { bytes: MAX_BYTES })
        .read_info()
        .map_err(|source| Error::Decode { file: file.into(), source })?;
    let text = |chunk| text(reader.info(), chunk).map_err(|reason| Error::Text { file: file.into(), chunk, reason });
    let recipe = text(RECIPE)?.map(|json| serde_json::from_str(&json)).transpose().map_err(|e| Error::Text {
        file: file.into(),
        chunk: RECIPE,
        reason: e.to_string(),
    })?;
    let (width, height) = reader.info().size();
    Ok(Description { width, height, recipe, parameters: text(PARAMETERS)? })
}

/// The text of the first chunk of this name, of whichever of the three kinds.
fn text(info: &::png::Info, name: &str) -> Result<Option<String>, String> {
    let too_long = || format!("longer than {MAX_TEXT} bytes");
    let found = if let Some(chunk) = info.uncompressed_latin1_text.iter().find(|c| c.keyword == name) {
        Some(chunk.text.clone())
    } else if let Some(chunk) = info.utf8_text.iter().find(|c| c.keyword == name) {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_TEXT).map_err(|e| e.to_string())?;
        Some(chunk.get_text().map_err(|e| e.to_string())?)
    } else if let Some(chunk) = info.compressed_latin1_text.iter().find(|c| c.keyword == name) {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(MAX_TEXT).map_err(|e| e.to_string())?;
        Some(chunk.get_text().map_err(|e| e.to_string())?)
    } else {
        None
    };
    found.map(|text| if text.len() > MAX_TEXT { Err(too_long()) } else { Ok(text) }).transpose()
}
