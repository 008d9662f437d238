//! The run of an audit: a plan that is fixed before the first picture, a journal, pictures found by what they show.
//!
//! ```text
//! recipe ──plan──▶ plan.json, samples ──carry_out──▶ pictures, journal ──State──▶ score
//!                                        │  draw: first the baseline, then the subject, the same noise
//!                                        └─ look: one instrument after the other
//! ```
//!
//! Whoever is killed goes on where the journal ends, and leaves the same bytes as whoever is not.

mod build;
mod carry_out;
mod checks;
mod compare;
mod error;
mod folder;
mod journal;
mod merge;
mod models;
mod plan;
mod recipe;
mod shard;
mod state;
mod verify;
mod work;

pub use build::Makings;
pub use carry_out::{Means, Stage, Watch, carry_out};
pub use compare::compare;
pub use error::{Error, Result, is_full};
pub use folder::RunFolder;
pub use journal::{Arm, Record};
pub use merge::merge;
pub use plan::{
    Plan, Planned, PlannedDrawing, PlannedHead, PlannedInstrument, PlannedModel, PlannedSample, PlannedSuite, Reference,
};
pub use plan::{reference, text_instrument};
pub use recipe::{InstrumentRecipe, Labelled, Recipe, SuiteRecipe};
pub use shard::{ParseShardError, Shard, Told};
pub use state::{DrawnPicture, State};
pub use verify::{Verified, missing_shards, verify};
pub use work::{Draw, Look, draws, looks, own};
