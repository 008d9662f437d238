//! Hugging Face ids to local files.
//!
//! The cache is the one that every Hugging Face tool shares, in its own layout, so what Python downloaded is found and the
//! reverse. A revision is resolved to a commit once, and the commit is what callers record. Everything that enters the
//! cache is checked against the hash that names it. Only formats that cannot run code are fetched.
//!
//! ```no_run
//! use pleach_hub::{Hub, Source};
//!
//! # fn main() -> Result<(), pleach_hub::Error> {
//! let folder = match Source::parse("stabilityai/stable-diffusion-2-1") {
//!     Source::Folder(folder) => folder,
//!     Source::Hub(id) => Hub::from_env()?.resolve(&id, &["model_index.json", "unet/*"], &())?.folder,
//! };
//! # Ok(())
//! # }
//! ```

mod cache;
mod client;
mod config;
mod digest;
mod download;
mod error;
mod hub;
mod id;
mod patterns;
mod pipeline;

pub use config::{Config, DEFAULT_ENDPOINT, Token};
pub use download::Progress;
pub use error::{Error, Result};
pub use hub::{Hub, Snapshot};
pub use id::{Id, Source};
pub use patterns::ALLOWED_EXTENSIONS;
pub use pipeline::{BUNDLE_FILES, checkpoint_files};
