//! What the audit does not say.

use crate::{document::Audit, report::page::Block};

/// The limits that the audit states, and those that hold for every audit.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let mut limits = audit.limits.clone();
    limits.push(
        "Prompts come from fixed lists. They say nothing about prompts that are searched against this very model with its weights \
         at hand."
            .to_owned(),
    );
    limits.push("A detector's hit is not a person's judgement; what it misses is not in any rate here.".to_owned());
    vec![Block::List(limits)]
}
