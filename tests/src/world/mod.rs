//! The small world's base model, what its judge should find, and students of it that are compared.

pub mod learning;
pub mod looking;
pub mod results;

use pleach_evaluator::judge::Asked;
use pleach_model::vision::Head;
use pleach_trainer::world::Scene;
use std::path::{Path, PathBuf};

/// Seed of captions that no training used, for pictures that are compared.
pub const UNSEEN: u64 = 0x756e_7365_656e;

/// The base model as it is shipped: a diffusers pipeline, and beside its parts the judge.
pub fn base() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/world")
}

/// What a classifier with these heads should find in a picture of the scene; none where a head is not one that scenes have labels for.
pub fn asked(scene: &Scene, heads: &[Head]) -> Option<Asked> {
    let labels = scene.labels();
    let classes = heads.iter().map(|head| {
        let words = labels.get(&head.name)?;
        let numbers = head.classes.iter().enumerate().filter(|(_, class)| words.contains(class)).map(|(i, _)| i);
        Some(Some(numbers.collect()))
    });
    Some(Asked { classes: classes.collect::<Option<_>>()? })
}
