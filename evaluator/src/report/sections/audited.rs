//! What was audited, and on which prompts.

use crate::{
    document::{Audit, Model},
    report::{
        format,
        page::{Block, Cell, Fold, Table},
    },
};

/// The models and the suites.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let mut models = vec![model("Subject", &audit.subject)];
    models.extend(audit.baseline.as_ref().map(|baseline| model("Baseline", baseline)));
    let mut blocks = vec![if models.len() > 1 { Block::Beside(models) } else { models.remove(0) }];
    blocks.extend(experts(audit));
    let mut suites = Table::new(
        "Suites: the prompts, identified by the hash of their file",
        &[
            "Suite",
            "Protocol",
            "#Rows",
            "#Drawn",
            "#Distinct prompts",
            "#Skipped by policy",
            "#Guidance clamped",
            "File",
            "Prompts",
        ],
    );
    for suite in &audit.suites {
        suites.row(vec![
            suite.name.clone().into(),
            suite.protocol.clone().into(),
            format::count(suite.rows).into(),
            format::count(suite.drawn).into(),
            format::count(suite.prompts).into(),
            format::count(suite.skipped).into(),
            format::count(suite.clamped).into(),
            Cell {
                under: if suite.known { "known to the protocol" } else { "not the file that the protocol knows" }
                    .to_owned(),
                ..Cell::code(format::short(&suite.sha256))
            },
            if suite.restricted { "restricted: hashes only" } else { "may be published" }.into(),
        ]);
    }
    blocks.push(Block::Table(suites));
    blocks.extend(files("Files of the subject", &audit.subject));
    blocks.extend(audit.baseline.as_ref().and_then(|baseline| files("Files of the baseline", baseline)));
    blocks
}

/// A model in a few lines.
fn model(role: &str, model: &Model) -> Block {
    let suppressed = match model.suppressed.as_slice() {
        [] => "nothing, says its manifest".to_owned(),
        concepts => concepts.join(", "),
    };
    let experts = match model.experts.len() {
        0 => "none: one plain network".to_owned(),
        n => format::counted(n as u64, "expert", "experts"),
    };
    let bytes: u64 = model.components.iter().map(|component| component.bytes).fold(0, u64::saturating_add);
    Block::Facts(vec![
        (role.to_owned(), model.name.clone().into()),
        ("SHA-256".to_owned(), Cell::code(model.sha256.clone())),
        ("Experts".to_owned(), experts.into()),
        ("Suppressed".to_owned(), suppressed.into()),
        (
            "Size".to_owned(),
            format!("{} in {}", format::bytes(bytes), format::counted(model.components.len() as u64, "file", "files"))
                .into(),
        ),
    ])
}

/// What each expert costs and how it was made.
fn experts(audit: &Audit) -> Option<Block> {
    let models = [("subject", Some(&audit.subject)), ("baseline", audit.baseline.as_ref())];
    let whole = audit.baseline.as_ref().and_then(|baseline| baseline.experts.first());
    let mut table = Table::new(
        "Experts",
        &["Expert", "Model", "#Parameters", "#Multiply-accumulates", "Made by", "Trained not to generate"],
    );
    for (arm, model) in models {
        for expert in model.into_iter().flat_map(|model| &model.experts) {
            let of = |number: u64, whole: Option<u64>| match whole {
                Some(whole) if whole > 0 && arm == "subject" => {
                    format!("{} of the baseline's", format::percent(100.0 * number as f64 / whole as f64))
                }
                _ => String::new(),
            };
            table.row(vec![
                expert.name.clone().into(),
                arm.into(),
                Cell::with_under(
                    format::metric_prefix(expert.parameters),
                    of(expert.parameters, whole.map(|whole| whole.parameters)),
                ),
                Cell::with_under(format::metric_prefix(expert.macs), of(expert.macs, whole.map(|whole| whole.macs))),
                expert.made.join(", then ").into(),
                expert.suppressed.join(", ").into(),
            ]);
        }
    }
    (!table.rows.is_empty()).then_some(Block::Table(table))
}

/// The files of a model with their hashes.
fn files(title: &str, model: &Model) -> Option<Block> {
    if model.components.is_empty() {
        return None;
    }
    let mut table = Table::new(title, &["Role", "File", "Precision", "#Size", "SHA-256"]);
    for component in &model.components {
        table.row(vec![
            component.role.clone().into(),
            Cell::code(component.file.clone()),
            component.precision.clone().unwrap_or_default().into(),
            format::bytes(component.bytes).into(),
            Cell::code(component.sha256.clone()),
        ]);
    }
    Some(Block::Fold(Fold { title: title.to_owned(), open: false, blocks: vec![Block::Table(table)] }))
}
