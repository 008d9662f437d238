//! A study: methods beside each other on the same concepts, with the same training seeds, prompts and noise.
//!
//! ```text
//! recipe ──Plan──▶ cells: method x concept x training seed
//!                    │  commands ─▶ export ─▶ draw and look ─▶ compare with the start
//!                    ▼
//!             STUDY/steps/KEY/    each step once, found by the hash of all that decides it
//!                    │
//!             collect ──▶ study.json ──▶ report
//! ```
//!
//! A step appears whole or not at all, so a study that was stopped goes on; cells that need the same step share it; a setting that is
//! changed has new keys only where it decides something.

mod cells;
mod collect;
mod command;
mod conduct;
mod document;
mod draw;
mod error;
mod estimate;
mod hashes;
mod plan;
mod recipe;
mod step;
mod store;
mod text;

pub use cells::{Cell, Failure};
pub use collect::collect;
pub use command::{ProgramInfo, Programs};
pub use conduct::{Means, Watch, conduct};
pub use document::{
    CellDocument, CellStatus, CellValue, ColumnDocument, Comparison, MethodDocument, Retention, Row, RowValue, SCHEMA,
    SeedValue, StepRef, Study, StudyStatus, VERSION,
};
pub use error::{Error, Result};
pub use plan::Plan;
pub use recipe::{
    AuditRecipe, Column, CommandRecipe, Concept, Export, Method, MethodKind, Prepared, Program, Recipe, Role, Start,
    Template, Terms, Tuning, Variable,
};
pub use step::{Record, Step, StepKind, Work};
pub use store::Store;
