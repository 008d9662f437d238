//! What was equal, what was tried, and where every number comes from.

use crate::{
    report::{
        format,
        page::{Block, Cell, Fold, Table, Tone},
    },
    study::{CellDocument, CellStatus, Study},
};

/// Equal terms, and everything that was tried.
pub(super) fn terms(study: &Study) -> Vec<Block> {
    let terms = &study.terms;
    let facts = [
        ("Updates of the student", &terms.updates),
        ("Data", &terms.data),
        ("Prompts", &terms.prompts),
        ("Noise", &terms.noise),
        ("Tuning", &terms.tuning),
    ];
    let facts = facts.into_iter().filter(|(_, text)| !text.is_empty());
    let facts: Vec<(String, Cell)> = facts.map(|(name, text)| (name.to_owned(), text.clone().into())).collect();
    let mut blocks = Vec::new();
    if !facts.is_empty() {
        blocks.push(Block::Facts(facts));
    }
    let mut methods = Table::new("Methods and their settings", &["method", "settings", "#updates"]);
    for method in &study.methods {
        methods.row(vec![
            method.name.clone().into(),
            method.settings.clone().into(),
            format::count(method.updates).into(),
        ]);
    }
    blocks.push(Block::Table(methods));
    if study.tuning.is_empty() {
        blocks.push(Block::Note("The recipe lists no setting that was tried.".to_owned()));
        return blocks;
    }
    let mut tried = Table::new("Every setting that was tried", &["method", "setting", "on", "found", ""]);
    for tuning in &study.tuning {
        tried.row(vec![
            tuning.method.clone().into(),
            tuning.setting.clone().into(),
            tuning.prompts.clone().into(),
            tuning.found.clone().into(),
            if tuning.chosen { "chosen" } else { "" }.into(),
        ]);
    }
    blocks.push(Block::Table(tried));
    blocks
}

/// Every cell, its values and its steps.
pub(super) fn cells(study: &Study) -> Vec<Block> {
    let mut blocks = vec![Block::Text(
        "A step's folder is STUDY/steps/KEY: step.json, log.txt and what it made. The folder of a cell's last step holds the report of \
         its audit, with samples and pictures."
            .to_owned(),
    )];
    for cell in study.cells.iter().filter(|cell| cell.status == CellStatus::Failed) {
        let failure = cell.failure.clone().unwrap_or_default();
        let title = format!("{} failed", name(cell));
        blocks.push(Block::Fold(Fold { title, open: true, blocks: vec![Block::Code(failure)] }));
    }
    let mut values = vec!["cell".to_owned()];
    values.extend(study.columns.iter().map(|column| format!("#{}", column.name)));
    values.extend(["#seconds", "audit"].map(str::to_owned));
    let columns: Vec<&str> = values.iter().map(String::as_str).collect();
    let mut table = Table::new("Cells and their values", &columns);
    let mut steps = Table::new("Steps of the cells", &["cell", "step", "key", "#seconds", "#exit code"]);
    for cell in &study.cells {
        let mut row = vec![Cell::from(name(cell)).toned(tone(cell.status))];
        for column in &study.columns {
            let value = cell.values.iter().find(|value| value.column == column.name);
            let text = value.map(|value| Cell::stacked(format::estimate(&value.estimate, column.unit)));
            row.push(text.unwrap_or_default());
        }
        row.push(cell.seconds.map_or_else(String::new, |seconds| format::decimal(seconds, 1)).into());
        row.push(cell.audit_sha256.as_deref().map_or_else(Cell::default, |hash| Cell::code(format::short(hash))));
        table.row(row);
        for step in &cell.steps {
            steps.row(vec![
                name(cell).into(),
                kind(step.kind).into(),
                Cell::code(step.key.clone()),
                step.seconds.map_or_else(String::new, |seconds| format::decimal(seconds, 1)).into(),
                step.exit_code.map_or_else(String::new, |code| code.to_string()).into(),
            ]);
        }
    }
    blocks.push(Block::Table(table));
    let title = "Every step with its key".to_owned();
    blocks.push(Block::Fold(Fold { title, open: false, blocks: vec![Block::Table(steps)] }));
    blocks
}

fn name(cell: &CellDocument) -> String {
    format!("{}, {}, seed {}", cell.method, cell.concept, cell.seed)
}

fn tone(status: CellStatus) -> Tone {
    match status {
        CellStatus::Done => Tone::Plain,
        CellStatus::Failed => Tone::Bad,
        CellStatus::Missing => Tone::Open,
    }
}

fn kind(kind: crate::study::StepKind) -> &'static str {
    use crate::study::StepKind;
    match kind {
        StepKind::Prepare => "prepare",
        StepKind::Train => "train",
        StepKind::Export => "export",
        StepKind::Draw => "draw and look",
        StepKind::Compare => "compare",
    }
}

/// The recipe and the programs.
pub(super) fn blocks(study: &Study) -> Vec<Block> {
    let mut programs = Table::new("Programs that did the steps", &["program", "version", "sha256"]);
    for program in &study.programs {
        programs.row(vec![
            program.name.clone().into(),
            program.version.clone().into(),
            Cell::code(program.sha256.clone()),
        ]);
    }
    vec![
        Block::Facts(vec![("Recipe, sha256".to_owned(), Cell::code(study.recipe_sha256.clone()))]),
        Block::Table(programs),
        Block::Heading("To repeat it".to_owned()),
        Block::Code("pleach audit study RECIPE.toml --out STUDY".to_owned()),
    ]
}
