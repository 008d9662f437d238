//! Where everything came from, and how to do it again.

use crate::{
    document::Audit,
    report::{
        format,
        page::{Block, Cell, Fold, Table},
    },
};

/// Hashes, protocols, environment, plan, journal.
pub(super) fn blocks(audit: &Audit) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(command) = &audit.repeat {
        blocks.push(Block::Text("This command repeats the audit:".to_owned()));
        blocks.push(Block::Code(command.clone()));
    }
    blocks.push(Block::Facts(environment(audit)));
    let mut files = Table::new("Files of the run", &["File", "#Records", "SHA-256"]);
    for file in [&audit.plan, &audit.samples] {
        files.row(vec![
            Cell::code(file.file.clone()),
            format::count(file.rows).into(),
            Cell::code(file.sha256.clone()),
        ]);
    }
    for (shard, head) in audit.journal.heads.iter().enumerate() {
        files.row(vec![
            format!("journal, last link of shard {}", shard + 1).into(),
            "".into(),
            Cell::code(head.clone()),
        ]);
    }
    blocks.push(Block::Table(files));
    let records = format::counted(audit.journal.records, "record", "records");
    blocks.push(Block::Text(format!("What the replay of the journal's {records} proved:")));
    blocks.push(match audit.journal.checks.as_slice() {
        [] => Block::Note("Nothing: the journal was not replayed.".to_owned()),
        checks => Block::List(checks.to_vec()),
    });
    let mut instruments = Table::new("Instruments", &["Instrument", "Kind", "File", "SHA-256"]);
    for instrument in &audit.instruments {
        let (name, kind) = (Cell::from(instrument.name.clone()), Cell::from(instrument.kind.clone()));
        instruments.row(vec![
            name.clone(),
            kind.clone(),
            "files and description".into(),
            Cell::code(instrument.sha256.clone()),
        ]);
        for (file, hash) in &instrument.files {
            instruments.row(vec![name.clone(), kind.clone(), Cell::code(file.clone()), Cell::code(hash.clone())]);
        }
    }
    if !instruments.rows.is_empty() {
        blocks.push(Block::Table(instruments));
    }
    let mut suites = Table::new("Files of prompts", &["Suite", "Column", "#Rows", "SHA-256"]);
    for suite in &audit.suites {
        suites.row(vec![
            suite.name.clone().into(),
            Cell::code(suite.column.clone()),
            format::count(suite.rows).into(),
            Cell::code(suite.sha256.clone()),
        ]);
    }
    blocks.push(Block::Table(suites));
    for (name, protocol) in &audit.protocols {
        let text = serde_json::to_string_pretty(protocol).unwrap_or_default();
        blocks.push(Block::Fold(Fold {
            title: format!("Protocol {name}"),
            open: false,
            blocks: vec![Block::Code(text)],
        }));
    }
    blocks
}

fn environment(audit: &Audit) -> Vec<(String, Cell)> {
    let environment = &audit.environment;
    let mut facts = vec![("Pleach".to_owned(), Cell::from(environment.pleach.clone()))];
    facts.extend(environment.commit.as_ref().map(|commit| ("Commit".to_owned(), Cell::code(commit.clone()))));
    facts.push(("ONNX Runtime".to_owned(), environment.onnxruntime.clone().into()));
    facts.push(("Execution providers".to_owned(), environment.providers.join(", ").into()));
    facts.push(("Platform".to_owned(), environment.platform.clone().into()));
    facts.extend(environment.processor.as_ref().map(|processor| ("Processor".to_owned(), processor.clone().into())));
    facts.push(("Subject".to_owned(), Cell::code(audit.subject.sha256.clone())));
    facts.extend(audit.baseline.as_ref().map(|baseline| ("Baseline".to_owned(), Cell::code(baseline.sha256.clone()))));
    facts.push(("Schema".to_owned(), format!("{} {}", audit.schema.name, audit.schema.version).into()));
    facts
}
