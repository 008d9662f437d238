//! From a recipe to the steps of every cell.

use super::{
    Cell, Error, Method, MethodKind, Program, Recipe, Result, Step, StepKind, Store, command,
    draw::{Auditing, draw},
    hashes::Hashes,
    recipe,
    text::{OUT, RECIPE, Scope, Text, is_name},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Names that mean something of their own.
const RESERVED: [&str; 6] = [OUT, RECIPE, "seed", "concept", "start", "before"];

/// A study, with everything decided.
#[derive(Debug)]
pub struct Plan {
    /// What was asked for.
    pub recipe: Recipe,
    /// Its cells, methods first, then concepts, then seeds.
    pub cells: Vec<Cell>,
}

impl Plan {
    /// Decides the steps of every cell. Nothing is run.
    ///
    /// # Errors
    /// [`Error::Asked`] and [`Error::Placeholder`] for a recipe that cannot be followed, inputs that are not there.
    pub fn build(mut recipe: Recipe, folder: &Path, store: &Store) -> Result<Self> {
        check(&recipe)?;
        recipe.concept.retain(|concept| recipe.concepts.is_empty() || recipe.concepts.contains(&concept.name));
        let mut planner = Planner { recipe: &recipe, folder, store, hashes: Hashes::default() };
        let mut cells = Vec::new();
        for method in &recipe.method {
            for concept in 0..recipe.concept.len() {
                for &seed in &recipe.seeds {
                    if wanted(method, &recipe.concept[concept].name, seed) {
                        cells.push(planner.cell(method, concept, seed)?);
                    }
                }
            }
        }
        Ok(Self { recipe, cells })
    }

    /// Every step once, in an order in which they can be done.
    pub fn steps<'p>(cells: impl IntoIterator<Item = &'p Cell>) -> Vec<Arc<Step>> {
        let (mut seen, mut steps) = (HashSet::new(), Vec::new());
        for cell in cells {
            collect(&cell.compare, &mut seen, &mut steps);
        }
        steps
    }

    /// The programs that steps need.
    pub fn programs(&self) -> Vec<Program> {
        let steps = Self::steps(&self.cells);
        let of = |step: &Arc<Step>| match step.work {
            super::Work::Command { program, .. } => Some(program),
            _ => None,
        };
        steps.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn collect(step: &Arc<Step>, seen: &mut HashSet<pleach_model::files::Sha256>, steps: &mut Vec<Arc<Step>>) {
    if seen.insert(step.key) {
        step.needs.iter().for_each(|need| collect(need, seen, steps));
        steps.push(step.clone());
    }
}

fn wanted(method: &Method, concept: &str, seed: u64) -> bool {
    (method.concepts.is_empty() || method.concepts.iter().any(|name| name == concept))
        && (method.seeds.is_empty() || method.seeds.contains(&seed))
}

/// Whether a recipe can be meant.
fn check(recipe: &Recipe) -> Result<()> {
    let wrong = |reason: String| Err(Error::Asked(reason));
    let lists = [("concept", recipe.concept.len()), ("method", recipe.method.len()), ("column", recipe.column.len())];
    if let Some((what, _)) = lists.iter().find(|(_, count)| *count == 0) {
        return wrong(format!("there is no {what}: give a [[{what}]]"));
    }
    if recipe.seeds.is_empty() {
        return wrong("there is no training seed: give seeds = [1]".to_owned());
    }
    if !(recipe.margin.is_finite() && (0.0..=1.0).contains(&recipe.margin)) {
        return wrong(format!("the margin is {}; it is a share, from 0 to 1", recipe.margin));
    }
    unique("seed", recipe.seeds.iter().map(u64::to_string))?;
    unique("method", recipe.method.iter().map(|method| method.name.clone()))?;
    unique("concept", recipe.concept.iter().map(|concept| concept.name.clone()))?;
    if let Some(name) = recipe.concepts.iter().find(|name| !has_concept(recipe, name)) {
        return wrong(format!("only {name:?} is wanted, which is none of the concepts"));
    }
    unique("column", recipe.column.iter().map(|column| column.name.clone()))?;
    if !recipe.method.iter().any(|method| method.name == recipe.reference) {
        return wrong(format!("the reference {:?} is none of the methods", recipe.reference));
    }
    let prepared = recipe.prepare.iter().map(|prepared| &prepared.name);
    let of_concepts = recipe.concept.iter().flat_map(|concept| {
        concept.variables.keys().chain(concept.files.keys()).chain(concept.lines.keys()).chain(concept.texts.keys())
    });
    let shared: Vec<String> = recipe.inputs.keys().chain(recipe.variables.keys()).chain(prepared).cloned().collect();
    unique("input, variable or prepared folder", shared.iter().cloned())?;
    for name in shared.iter().chain(of_concepts.clone()) {
        if !is_name(name) || RESERVED.contains(&name.as_str()) {
            return wrong(format!(
                "{name:?} cannot be a name: lower-case letters, digits, dashes, and none of {}",
                RESERVED.join(", ")
            ));
        }
    }
    if let Some(twice) = of_concepts.into_iter().find(|name| shared.contains(name)) {
        return wrong(format!("{twice:?} is a name of a concept, and of an input, a variable or a prepared folder"));
    }
    for concept in &recipe.concept {
        if !is_name(&concept.name) {
            return wrong(format!("the concept {:?}: lower-case letters, digits and dashes are a name", concept.name));
        }
    }
    for tried in &recipe.tuning {
        if !recipe.method.iter().any(|method| method.name == tried.method) {
            return wrong(format!("a setting of {:?} was tried, which is none of the methods", tried.method));
        }
    }
    recipe.method.iter().try_for_each(|method| check_method(recipe, method))
}

fn has_concept(recipe: &Recipe, name: &str) -> bool {
    recipe.concept.iter().any(|concept| concept.name == name)
}

fn check_method(recipe: &Recipe, method: &Method) -> Result<()> {
    let wrong = |reason: &str| Err(Error::Asked(format!("method {:?}: {reason}", method.name)));
    let ready = usize::from(method.bundle.is_some()) + usize::from(method.model.is_some());
    if let Some(name) = method.templates.iter().find(|name| !recipe.template.contains_key(*name)) {
        return wrong(&format!("there is no [template.{name}]"));
    }
    let changes = recipe.commands(method).next().is_some();
    match method.kind {
        MethodKind::None if changes || ready != 1 => {
            return wrong("of kind none: it has no commands, and a bundle or a model to export");
        }
        MethodKind::Commands if !changes || ready != 0 => {
            return wrong("it needs commands, and no bundle or model; or kind = \"none\"");
        }
        _ => {}
    }
    if let Some(name) = method.variables.keys().find(|name| !recipe.variables.contains_key(*name)) {
        return wrong(&format!("its variable {name:?} is none of the study's, which say what stands there elsewhere"));
    }
    if method.concepts.iter().any(|name| !has_concept(recipe, name)) {
        return wrong("it is wanted for a concept that there is not");
    }
    if method.seeds.iter().any(|seed| !recipe.seeds.contains(seed)) {
        return wrong("it is wanted for a seed that is none of the study's");
    }
    Ok(())
}

fn unique(what: &str, names: impl Iterator<Item = String>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            return Err(Error::Asked(format!("the {what} {name:?} is there twice")));
        }
    }
    Ok(())
}

struct Planner<'p> {
    recipe: &'p Recipe,
    folder: &'p Path,
    store: &'p Store,
    hashes: Hashes,
}

impl Planner<'_> {
    fn input(&mut self, path: &Path) -> Result<Text> {
        let path = self.folder.join(path);
        let path = fs::canonicalize(&path).map_err(|source| Error::Io { path, source })?;
        let hash = self.hashes.of(&path)?.to_string();
        Ok(Text::input(path, &hash))
    }

    fn step(&self, step: &Arc<Step>) -> Text {
        Text::step(step, self.store.out(step.key))
    }

    /// What names stand for in a cell.
    fn scope(&mut self, concept: usize, seed: u64) -> Result<Scope> {
        let recipe = self.recipe;
        let concept = &recipe.concept[concept];
        let mut scope = Scope::default();
        scope.set("seed", Text::literal(seed.to_string()));
        scope.set("concept", Text::literal(&concept.name));
        for (name, path) in recipe.inputs.iter().chain(&concept.files) {
            scope.set(name, self.input(path)?);
        }
        for (name, variable) in recipe.variables.iter().chain(&concept.variables) {
            scope.set(name, Text::literal(variable.text()));
        }
        for (name, path) in &concept.lines {
            let path = self.folder.join(path);
            let text = fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
            scope.set(name, Text::literal(recipe::toml_list(text.lines().filter(|line| !line.is_empty()))));
        }
        for (name, path) in &concept.texts {
            let path = self.folder.join(path);
            let text = fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
            scope.set(name, Text::literal(text.trim_end()));
        }
        for prepared in &recipe.prepare {
            let at = format!("prepare {:?}", prepared.name);
            let parts = (prepared.program, &prepared.run[..], prepared.recipe.as_deref());
            let step = command::step(StepKind::Prepare, at, parts, &scope)?;
            let text = self.step(&step);
            scope.set(&prepared.name, text);
        }
        let start = scope.expand(&recipe.start.model, "start.model")?;
        scope.set("start", start);
        Ok(scope)
    }

    fn cell(&mut self, method: &Method, concept: usize, seed: u64) -> Result<Cell> {
        let recipe = self.recipe;
        let scope = self.scope(concept, seed)?;
        let concept_name = recipe.concept[concept].name.clone();
        let name = format!("{}, {concept_name}, seed {seed}", method.name);
        let mut train = Vec::new();
        let mut inner = scope.clone();
        let at = format!("method {:?}, variables", method.name);
        for (name, variable) in &method.variables {
            inner.set(name, scope.expand(&variable.text(), &at)?);
        }
        for command in recipe.commands(method) {
            let parts = (command.program, &command.run[..], command.recipe.as_deref());
            let step = command::step(StepKind::Train, name.clone(), parts, &inner)?;
            inner.set("before", self.step(&step));
            train.push(step);
        }
        let model = match (train.last(), &method.model) {
            (Some(last), _) => Some(self.step(last).then(&format!("/{}", method.result))),
            (None, Some(model)) => Some(scope.expand(model, &name)?),
            (None, None) => None,
        };
        let (export, bundle) = match model {
            Some(model) => {
                let export = self.export(&name, model, &scope)?;
                let bundle = self.step(&export);
                (Some(export), bundle)
            }
            None => (None, scope.expand(method.bundle.as_deref().unwrap_or_default(), &name)?),
        };
        let start = scope.expand(&recipe.start.bundle, "start.bundle")?;
        let mut auditing = Auditing { recipe: &recipe.audit, folder: self.folder, hashes: &mut self.hashes };
        let of_start = format!("start, {concept_name}");
        let baseline = draw(&mut auditing, &of_start, (&start, recipe.start.expert.as_deref()), &scope)?;
        let subject = draw(&mut auditing, &name, (&bundle, method.expert.as_deref()), &scope)?;
        let compare = Step::compare(name, &baseline, &subject);
        Ok(Cell { method: method.name.clone(), concept: concept_name, seed, train, export, subject, compare })
    }

    fn export(&self, name: &str, model: Text, scope: &Scope) -> Result<Arc<Step>> {
        let scope = scope.of_command();
        let mut arguments = vec![model, Text::literal("--out"), scope.expand(&format!("{{{OUT}}}"), name)?];
        for argument in &self.recipe.export.arguments {
            arguments.push(scope.expand(argument, "export.arguments")?);
        }
        Ok(Step::command(StepKind::Export, name.to_owned(), Program::Export, arguments, None))
    }
}

/// Files and folders by what stands for them.
pub type Inputs = BTreeMap<String, PathBuf>;
