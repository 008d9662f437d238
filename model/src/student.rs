//! A student's UNet as fine-tuning leaves it: an expert that belongs to no family.

use crate::{
    architecture::Architecture,
    family::{ARCHITECTURE, Result, architecture},
    pipeline::Network,
};
use std::path::Path;

/// The folder of a UNet in that of a student.
const UNET: &str = "unet";

/// A student that was opened: weights, `config.json` of the whole network, `architecture.json`.
#[derive(Clone, Debug)]
pub struct Student {
    /// The folder of its UNet.
    pub unet: Network,
    /// What is left of the whole network.
    pub architecture: Architecture,
}

impl Student {
    /// The student in a folder: that of its UNet, or the one around it. None where there is no `architecture.json`.
    ///
    /// # Errors
    /// [`Error::File`](crate::family::Error::File), [`Error::Architecture`](crate::family::Error::Architecture),
    /// [`Error::Pipeline`](crate::family::Error::Pipeline).
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let places = [folder.to_owned(), folder.join(UNET)];
        let Some(place) = places.into_iter().find(|place| place.join(ARCHITECTURE).is_file()) else { return Ok(None) };
        let architecture = architecture(&place.join(ARCHITECTURE))?;
        Ok(Some(Self { unet: Network::open(&place)?, architecture }))
    }
}
