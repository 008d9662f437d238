//! The page of a study: the answer, and the sections in their order.

use super::{blocks, charts, differences, provenance};
use crate::{
    document::Better,
    report::{
        charts::TradeMark,
        format,
        page::{Banner, Block, Figure, Page, Section, Tone},
    },
    study::{CellStatus, ColumnDocument, Role, RowValue, Study, StudyStatus},
};

/// All of the page.
pub(super) fn page(study: &Study) -> Page {
    let section = |id, title, blocks| Section { id, title, blocks };
    let mut results = vec![blocks::table(study, None)];
    results.extend(tradeoff(study).map(Block::Figure));
    let mut sections = vec![section("results", "Results", results)];
    let concepts = blocks::concepts(study);
    if !concepts.is_empty() {
        sections.push(section("concepts", "Concept by concept", concepts));
    }
    sections.extend([
        section("differences", "Differences", differences::blocks(study)),
        section("retention", "What is kept", differences::retention(study)),
        section("terms", "Equal terms", provenance::terms(study)),
        section("cells", "Cells", provenance::cells(study)),
        section("provenance", "Provenance", provenance::blocks(study)),
        section("limits", "Limits", vec![Block::List(study.limits.clone())]),
    ]);
    Page {
        brand: "Study",
        title: study.title.clone(),
        skip: "results",
        banner: banner(study),
        sections,
        colophon: format!(
            "Written by Pleach {} from study.json ({} {}). This file loads nothing and runs nothing.",
            env!("CARGO_PKG_VERSION"),
            study.schema.name,
            study.schema.version
        ),
    }
}

fn banner(study: &Study) -> Banner {
    let (word, meaning, tone, exit_code) = match study.status {
        StudyStatus::Complete => ("COMPLETE", "Every cell is done.", Tone::Good, 0),
        StudyStatus::Failed => ("FAILED CELLS", "Cells failed; all others are done.", Tone::Bad, 1),
        StudyStatus::Incomplete => ("INCOMPLETE", "Cells are not done yet.", Tone::Open, 3),
    };
    let count = |status| study.cells.iter().filter(|cell| cell.status == status).count() as u64;
    Banner {
        tone,
        word,
        meaning,
        about: study.about.clone(),
        exit_code,
        reasons: differences::headline(study),
        tally: vec![
            ("Methods", format::count(study.methods.len() as u64)),
            ("Concepts", format::count(study.concepts.len() as u64)),
            ("Training seeds", format::count(study.seeds.len() as u64)),
            ("Cells done", format!("{} of {}", count(CellStatus::Done), study.cells.len())),
            ("Cells failed", format::count(count(CellStatus::Failed))),
        ],
    }
}

/// The first column of a role.
pub(super) fn column(study: &Study, role: Role) -> Option<&ColumnDocument> {
    study.columns.iter().find(|column| column.role == role)
}

/// Suppression against retention.
pub(super) fn tradeoff(study: &Study) -> Option<Figure> {
    let (suppression, retention) = (column(study, Role::Suppression)?, column(study, Role::Retention)?);
    let mut groups: Vec<&str> = Vec::new();
    let mut marks = Vec::new();
    for row in study.rows.iter().filter(|row| row.concept.is_none()) {
        let Some(method) = study.methods.iter().find(|method| method.name == row.method) else { continue };
        let value = |column: &ColumnDocument| {
            let of_column = |value: &&RowValue| value.column == column.name;
            let estimate = row.values.iter().find(of_column)?.estimate.as_ref()?;
            Some((estimate.value, estimate.interval.as_ref().map(|interval| (interval.low, interval.high))))
        };
        let (Some(across), Some(up)) = (value(retention), value(suppression)) else { continue };
        let known = groups.iter().position(|group| *group == method.group);
        let group = known.unwrap_or_else(|| {
            groups.push(&method.group);
            groups.len() - 1
        });
        marks.push(TradeMark { name: row.method.clone(), group, across, up, frontier: false });
    }
    if marks.is_empty() {
        return None;
    }
    for index in 0..marks.len() {
        let (across, up) = (marks[index].across.0, marks[index].up.0);
        let beaten = |other: &TradeMark| {
            let [across, up] = [(retention, across, other.across.0), (suppression, up, other.up.0)]
                .map(|(column, own, other)| if column.better == Better::Higher { other - own } else { own - other });
            across >= 0.0 && up >= 0.0 && across + up > 0.0
        };
        marks[index].frontier = !marks.iter().any(beaten);
    }
    let axes = [retention.name.as_str(), suppression.name.as_str()];
    let caption = format!(
        "{} (up) against {} (across), over all concepts and training seeds. Settings of one method look alike and are joined; in bold, on \
         the dotted line, those that no other is better than in both, by their means.",
        suppression.name, retention.name
    );
    let svg = charts::tradeoff("tradeoff", ["Suppression against retention", &caption], axes, &marks);
    Some(Figure { svg, caption, wide: true })
}
