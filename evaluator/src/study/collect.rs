//! From what was done to `study.json`. Nothing here draws or trains.

use super::{
    Cell, CellDocument, CellStatus, CellValue, ColumnDocument, Comparison, Error, MethodDocument, MethodKind, Plan,
    ProgramInfo, Result, Retention, Role, Row, RowValue, SCHEMA, SeedValue, StepRef, Store, Study, StudyStatus,
    VERSION,
    estimate::{self, Judged},
};
use crate::{
    document::{Better, Metric, Schema, Unit},
    stats::{Interval, holm, non_inferiority},
};
use pleach_model::files::Sha256;
use std::collections::{BTreeMap, BTreeSet};

/// Reads what is done and counts it.
///
/// # Errors
/// Files of the study that cannot be read; [`Error::Asked`] for a column that no audit measured, or whose role its quantity cannot have.
pub fn collect(plan: &Plan, store: &Store) -> Result<Study> {
    let wanted: BTreeSet<String> = plan.recipe.column.iter().map(|column| column.metric.clone()).collect();
    let (mut cells, mut judged, mut programs) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, cell) in plan.cells.iter().enumerate() {
        let (status, failure) = cell.status(store)?;
        if status == CellStatus::Done {
            judged.push(Judged::read(index, cell.compare.key, &store.out(cell.compare.key), &wanted)?);
        }
        let failure = failure.map(|failure| format!("steps/{}.failed: {}", failure.step.key, failure.said));
        cells.push(cell_document(cell, status, failure, store, &mut programs)?);
    }
    let columns = columns(plan, &judged)?;
    for cell in &judged {
        let document = &mut cells[cell.index];
        document.audit_sha256 = Some(cell.audit.to_string());
        let value = |column: &ColumnDocument| {
            let estimate = cell.metric(&column.metric)?.subject.clone()?;
            Some(CellValue { column: column.name.clone(), estimate })
        };
        document.values = columns.iter().filter_map(value).collect();
    }
    let table = Table { plan, columns: &columns, judged: &judged, cells: &cells };
    let status = match cells.iter().map(|cell| cell.status).collect::<Vec<_>>() {
        all if all.contains(&CellStatus::Missing) => StudyStatus::Incomplete,
        all if all.contains(&CellStatus::Failed) => StudyStatus::Failed,
        _ => StudyStatus::Complete,
    };
    let recipe = &plan.recipe;
    let json = serde_json::to_vec(recipe).map_err(|source| Error::Json { path: "recipe".into(), source })?;
    let methods = recipe.method.iter().map(|method| MethodDocument {
        name: method.name.clone(),
        group: method.group.clone().unwrap_or_else(|| method.name.clone()),
        settings: method.settings.clone(),
        trained: method.kind == MethodKind::Commands,
        updates: method.updates,
    });
    let programs: Vec<ProgramInfo> = programs.into_iter().collect();
    Ok(Study {
        schema: Schema { name: SCHEMA.to_owned(), version: VERSION.to_owned() },
        status,
        title: recipe.title.clone(),
        about: recipe.about.clone(),
        recipe_sha256: Sha256::of(&json).to_string(),
        terms: recipe.terms.clone(),
        tuning: recipe.tuning.clone(),
        reference: recipe.reference.clone(),
        margin: recipe.margin,
        seeds: recipe.seeds.clone(),
        concepts: recipe.concept.iter().map(|concept| concept.name.clone()).collect(),
        methods: methods.collect(),
        rows: table.rows()?,
        comparisons: table.comparisons()?,
        retention: table.retention()?,
        limits: limits(plan, &cells, &programs),
        programs,
        columns,
        cells,
    })
}

fn cell_document(
    cell: &Cell,
    status: CellStatus,
    failure: Option<String>,
    store: &Store,
    programs: &mut BTreeSet<ProgramInfo>,
) -> Result<CellDocument> {
    let own = cell.train.iter().chain(&cell.export).chain([&cell.subject, &cell.compare]);
    let (mut steps, mut seconds) = (Vec::new(), Some(0.0));
    for (index, step) in own.enumerate() {
        let record = store.record(step.key)?;
        programs.extend(record.as_ref().map(|record| record.program.clone()));
        if index < cell.train.len() {
            let done = record.as_ref().filter(|record| record.failure.is_none());
            seconds = seconds.zip(done).map(|(sum, record)| sum + record.seconds);
        }
        steps.push(StepRef {
            kind: step.kind,
            key: step.key.to_string(),
            seconds: record.as_ref().map(|record| record.seconds),
            exit_code: record.and_then(|record| record.exit_code),
        });
    }
    let Cell { method, concept, seed, .. } = cell;
    Ok(CellDocument {
        method: method.clone(),
        concept: concept.clone(),
        seed: *seed,
        status,
        failure,
        steps,
        seconds,
        audit_sha256: None,
        values: Vec::new(),
    })
}

/// Columns with what the audits say of them.
fn columns(plan: &Plan, judged: &[Judged]) -> Result<Vec<ColumnDocument>> {
    let column = |column: &super::Column| {
        let metric: Option<&Metric> = judged.iter().find_map(|cell| cell.metric(&column.metric));
        let wrong = |reason: String| Err(Error::Asked(format!("the column {:?}: {reason}", column.name)));
        if let (None, Some(first)) = (metric, judged.first()) {
            let known = first.metrics.iter().map(|metric| metric.id.as_str()).collect::<Vec<_>>().join(", ");
            return wrong(format!("{:?} was not measured; what was: {known}", column.metric));
        }
        if column.role == Role::Retention && metric.is_some_and(|metric| !metric.kind.is_rate()) {
            return wrong("its role is retention, whose margin is one of shares, and it is no share".to_owned());
        }
        Ok(ColumnDocument {
            name: column.name.clone(),
            metric: column.metric.clone(),
            role: column.role,
            kind: metric.map(|metric| metric.kind),
            unit: metric.map_or(Unit::Share, |metric| metric.unit),
            better: metric.map_or(Better::Lower, |metric| metric.better),
        })
    };
    plan.recipe.column.iter().map(column).collect()
}

struct Table<'t> {
    plan: &'t Plan,
    columns: &'t [ColumnDocument],
    judged: &'t [Judged],
    cells: &'t [CellDocument],
}

impl<'t> Table<'t> {
    /// All concepts together, then each alone where there are several.
    fn scopes(&self) -> Vec<Option<String>> {
        let concepts = &self.plan.recipe.concept;
        let each = concepts.iter().filter(|_| concepts.len() > 1).map(|concept| Some(concept.name.clone()));
        [None].into_iter().chain(each).collect()
    }

    fn of(&self, method: &str, concept: Option<&str>) -> Vec<&'t Judged> {
        let is_of = |cell: &&Judged| {
            let document = &self.cells[cell.index];
            document.method == method && concept.is_none_or(|concept| document.concept == concept)
        };
        self.judged.iter().filter(is_of).collect()
    }

    fn rows(&self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for concept in self.scopes() {
            for method in &self.plan.recipe.method {
                rows.push(self.row(&method.name, concept.as_deref())?);
            }
        }
        Ok(rows)
    }

    fn row(&self, method: &str, concept: Option<&str>) -> Result<Row> {
        let judged = self.of(method, concept);
        let of_row =
            |cell: &&CellDocument| cell.method == method && concept.is_none_or(|concept| cell.concept == concept);
        let cells: Vec<&CellDocument> = self.cells.iter().filter(of_row).collect();
        let seconds: Vec<f64> = cells.iter().filter_map(|cell| cell.seconds).collect();
        let mut values = Vec::new();
        for column in self.columns {
            let Some(kind) = column.kind else { continue };
            let (estimate, pictures, prompts) = estimate::estimate(kind, &column.metric, &judged)?;
            let mut by_seed = Vec::new();
            for &seed in &self.plan.recipe.seeds {
                let of_seed: Vec<&Judged> =
                    judged.iter().copied().filter(|cell| self.cells[cell.index].seed == seed).collect();
                let value = estimate::estimate(kind, &column.metric, &of_seed)?.0;
                by_seed.extend(value.map(|estimate| SeedValue { seed, value: estimate.value }));
            }
            values.push(RowValue { column: column.name.clone(), estimate, pictures, prompts, by_seed });
        }
        Ok(Row {
            method: method.to_owned(),
            concept: concept.map(str::to_owned),
            done: judged.len() as u64,
            cells: cells.len() as u64,
            models: judged.iter().map(|cell| cell.key).collect::<BTreeSet<_>>().len() as u64,
            seconds: (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64),
            values,
        })
    }

    /// The reference's cells beside another method's, of the same concept and seed.
    fn beside(&self, other: &str, concept: Option<&str>) -> Vec<(&'t Judged, &'t Judged)> {
        let place = |cell: &Judged| (self.cells[cell.index].concept.as_str(), self.cells[cell.index].seed);
        let others: BTreeMap<_, &Judged> =
            self.of(other, concept).into_iter().map(|cell| (place(cell), cell)).collect();
        let reference = self.of(&self.plan.recipe.reference, concept);
        reference.into_iter().filter_map(|cell| Some((cell, *others.get(&place(cell))?))).collect()
    }

    fn comparisons(&self) -> Result<Vec<Comparison>> {
        let mut comparisons = Vec::new();
        let reference = &self.plan.recipe.reference;
        let others = || self.plan.recipe.method.iter().filter(|method| method.compared && method.name != *reference);
        for concept in self.scopes() {
            for column in self.columns {
                let Some(kind) = column.kind else { continue };
                let mut family = Vec::new();
                for method in others() {
                    let beside = self.beside(&method.name, concept.as_deref());
                    let Some(paired) = estimate::difference(kind, &column.metric, &beside)? else { continue };
                    let (method, column) = (method.name.clone(), column.name.clone());
                    family.push(Comparison { method, concept: concept.clone(), column, paired });
                }
                let p: Vec<f64> = family.iter().filter_map(|comparison| comparison.paired.p).collect();
                let tested = family.iter_mut().filter(|comparison| comparison.paired.p.is_some());
                for (comparison, corrected) in tested.zip(holm(&p)?) {
                    comparison.paired.p_holm = Some(corrected);
                }
                comparisons.extend(family);
            }
        }
        Ok(comparisons)
    }

    fn retention(&self) -> Result<Vec<Retention>> {
        let mut retention = Vec::new();
        for concept in self.scopes() {
            for column in self.columns.iter().filter(|column| column.role == Role::Retention) {
                for method in &self.plan.recipe.method {
                    let Some(kind) = column.kind else { continue };
                    // The start needs no test against itself.
                    if method.bundle.as_ref() == Some(&self.plan.recipe.start.bundle) {
                        continue;
                    }
                    let judged = self.of(&method.name, concept.as_deref());
                    let Some(paired) = estimate::against_start(kind, &column.metric, &judged)? else { continue };
                    let Some(ends) = &paired.difference.interval else { continue };
                    let interval = Interval { low: ends.low, high: ends.high };
                    let held = non_inferiority(interval, self.plan.recipe.margin, column.better == Better::Higher)?;
                    retention.push(Retention {
                        method: method.name.clone(),
                        concept: concept.clone(),
                        column: column.name.clone(),
                        paired,
                        bound: held.bound,
                        limit: held.limit,
                        verdict: held.verdict,
                    });
                }
            }
        }
        Ok(retention)
    }
}

/// What the numbers do not say.
fn limits(plan: &Plan, cells: &[CellDocument], programs: &[ProgramInfo]) -> Vec<String> {
    let recipe = &plan.recipe;
    let mut limits = vec![
        "Intervals and tests are over prompts: other prompts could have been asked. What another training seed would change is seen \
         in the values of each seed, and no interval holds it."
            .to_owned(),
        "Two methods are compared with the settings that each of them has here. Other settings may turn the order around: what was \
         tried is listed."
            .to_owned(),
    ];
    if recipe.seeds.len() < 3 {
        limits.push(format!(
            "{} of training: too few to say how much chance there is in training.",
            if recipe.seeds.len() == 1 { "One seed".to_owned() } else { format!("{} seeds", recipe.seeds.len()) }
        ));
    }
    let updates: BTreeSet<u64> =
        recipe.method.iter().filter(|method| method.kind == MethodKind::Commands).map(|m| m.updates).collect();
    if updates.len() > 1 {
        limits.push("Methods update the student a different number of times; the table says how often.".to_owned());
    }
    if recipe.tuning.is_empty() {
        limits.push(
            "The recipe lists no setting that was tried: how much each method was tuned is not known.".to_owned(),
        );
    }
    let undone = cells.iter().filter(|cell| cell.status != CellStatus::Done).count();
    if undone > 0 {
        limits.push(format!("{undone} of {} cells are not done: their rows rest on the others.", cells.len()));
    }
    let names: BTreeSet<&str> = programs.iter().map(|program| program.name.as_str()).collect();
    if names.len() < programs.len() {
        limits.push("Steps were done by different versions of a program: keys do not depend on them.".to_owned());
    }
    limits
}
