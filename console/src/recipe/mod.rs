//! Recipe files: what a long command does, as TOML, with `--set key.path=value` on top.
//!
//! A recipe is a serde struct with defaults. A key that the struct does not have is an error which names its path and the
//! nearest key that exists, whether or not the struct says `deny_unknown_fields`. [`to_toml`] gives the effective recipe.
//!
//! `extends = "other.toml"` takes from another recipe, whose path starts in the folder of the one that names it, every key that it does not
//! have itself, also in tables that both have; lists are taken as a whole. What paths in either start in is up to the command.

mod overrides;
mod value;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::printer::Printer;

pub use overrides::Override;
pub use value::ValueError;

/// The options of a command that follows a recipe.
#[derive(Args, Clone, Debug, Default)]
pub struct RecipeArgs {
    /// The recipe to follow (TOML); what it does not say is as --print-recipe shows
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

    /// Change one key of the recipe, such as train.loop.steps=100; the value is TOML, or else a string
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Override>,

    /// Print the recipe with every key, as the other options leave it, and do nothing
    #[arg(long)]
    pub print_recipe: bool,
}

/// A recipe could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file is not there or not readable.
    #[error("cannot read the recipe {}", path.display())]
    Read {
        /// The recipe.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML; the source shows the line.
    #[error("the recipe {} is not TOML", path.display())]
    Syntax {
        /// The recipe.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The recipe extends something that is no file's name, or recipes extend each other in a ring.
    #[error("the recipe {}: `{EXTENDS}` is {found}; it is the path of another recipe, which does not extend this one", path.display())]
    Extends {
        /// The recipe.
        path: PathBuf,
        /// What it extends.
        found: toml::Value,
    },
    /// An override goes through something that is not a table or a list.
    #[error("--set {set}: `{parent}` is not a table")]
    NotATable {
        /// The override as it was given.
        set: String,
        /// The key that holds a plain value.
        parent: String,
    },
    /// An override names an item that the list does not have.
    #[error("--set {set}: `{list}` has {count} items, numbered from 0")]
    NoSuchItem {
        /// The override as it was given.
        set: String,
        /// The key of the list.
        list: String,
        /// How many items it has.
        count: usize,
    },
    /// A key that does not exist, or a value that does not fit.
    #[error("the recipe does not fit")]
    Value(#[from] ValueError),
    /// The recipe holds something that TOML cannot express.
    #[error("the recipe cannot be written as TOML")]
    Write(#[from] toml::ser::Error),
}

impl RecipeArgs {
    /// The recipe with the overrides applied.
    pub fn load<T: DeserializeOwned>(&self) -> Result<T, RecipeError> {
        load(self.recipe.as_deref(), &self.set)
    }

    /// Prints the effective recipe where that is what was asked for; false where the command is to go on.
    ///
    /// # Errors
    /// A recipe that TOML cannot express, an output that is closed.
    pub fn printed<T: Serialize>(&self, recipe: &T, printer: &Printer) -> anyhow::Result<bool> {
        if self.print_recipe {
            printer.raw(to_toml(recipe)?.as_bytes())?;
        }
        Ok(self.print_recipe)
    }

    /// As [`load`](Self::load), over `defaults`: a key that neither the file nor an override names has its value there, also in a
    /// table of which they name other keys. (A default that is an enum's variant with content cannot be changed to another one.)
    pub fn load_over<T: Serialize + DeserializeOwned>(&self, defaults: &T) -> Result<T, RecipeError> {
        load_over(defaults, self.recipe.as_deref(), &self.set)
    }
}

/// The defaults of `T` (as serde knows them), replaced by the file's values, replaced by the overrides in their order.
pub fn load<T: DeserializeOwned>(path: Option<&Path>, overrides: &[Override]) -> Result<T, RecipeError> {
    let mut table = match path {
        Some(path) => read(path)?,
        None => toml::Table::new(),
    };
    for change in overrides {
        change.apply(&mut table)?;
    }
    Ok(value::from_table(table)?)
}

/// `defaults`, replaced key by key by the file's values, replaced by the overrides in their order.
pub fn load_over<T: Serialize + DeserializeOwned>(
    defaults: &T,
    path: Option<&Path>,
    overrides: &[Override],
) -> Result<T, RecipeError> {
    let mut table = toml::Table::try_from(defaults)?;
    if let Some(path) = path {
        merge(&mut table, read(path)?);
    }
    for change in overrides {
        change.apply(&mut table)?;
    }
    Ok(value::from_table(table)?)
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// The key that names the recipe that one extends.
const EXTENDS: &str = "extends";
/// The longest chain of recipes that extend each other: more is a ring.
const LONGEST: usize = 8;

/// A file's values over those of the one that it extends.
fn read(path: &Path) -> Result<toml::Table, RecipeError> {
    read_within(path, LONGEST)
}

fn read_within(path: &Path, more: usize) -> Result<toml::Table, RecipeError> {
    let text = std::fs::read_to_string(path).map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
    let syntax = |source| RecipeError::Syntax { path: path.to_owned(), source: Box::new(source) };
    let mut table: toml::Table = text.parse().map_err(syntax)?;
    let Some(found) = table.remove(EXTENDS) else { return Ok(table) };
    let (Some(other), true) = (found.as_str(), more > 0) else {
        return Err(RecipeError::Extends { path: path.to_owned(), found });
    };
    let mut extended = read_within(&path.with_file_name(other), more - 1)?;
    merge(&mut extended, table);
    Ok(extended)
}

/// The effective recipe: reading it again gives the same value.
pub fn to_toml<T: Serialize>(recipe: &T) -> Result<String, RecipeError> {
    Ok(toml::to_string_pretty(recipe)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Recipe {
        steps: u32,
        learning_rate: f64,
        name: Option<String>,
        sampler: Sampler,
        data: Data,
        targets: Vec<Target>,
        weights: BTreeMap<String, f32>,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Sampler {
        #[default]
        Pndm,
        Ddim,
        Custom {
            eta: f64,
        },
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Data {
        folder: PathBuf,
        batch: u8,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Target {
        macs: f64,
    }

    fn recipe(text: &str, sets: &[&str]) -> Result<Recipe, RecipeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, text).unwrap();
        let overrides: Vec<Override> = sets.iter().map(|set| set.parse().unwrap()).collect();
        load(Some(&path), &overrides)
    }

    fn complaint(text: &str, sets: &[&str]) -> String {
        match recipe(text, sets).unwrap_err() {
            RecipeError::Value(error) => error.to_string(),
            other => other.to_string(),
        }
    }

    #[test]
    fn file_then_overrides_over_defaults() {
        let text = "steps = 100\n[data]\nfolder = \"images\"\n[[targets]]\nmacs = 0.5\n[[targets]]\nmacs = 0.7\n";
        let sets = [
            "steps=7",
            "learning_rate=1",
            "name=a b",
            "data.batch=4",
            "sampler=ddim",
            "targets.1.macs=0.6",
            "weights.style=0.25",
        ];
        let expected = Recipe {
            steps: 7,
            learning_rate: 1.0,
            name: Some("a b".to_owned()),
            sampler: Sampler::Ddim,
            data: Data { folder: "images".into(), batch: 4 },
            targets: vec![Target { macs: 0.5 }, Target { macs: 0.6 }],
            weights: BTreeMap::from([("style".to_owned(), 0.25)]),
        };
        assert_eq!(recipe(text, &sets).unwrap(), expected);
        assert_eq!(load::<Recipe>(None, &[]).unwrap(), Recipe::default());
    }

    #[test]
    fn defaults_of_inner_tables_stay_where_only_other_keys_are_named() {
        let defaults = Recipe { data: Data { folder: "images".into(), batch: 4 }, steps: 9, ..Recipe::default() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, "[data]\nbatch = 5\n").unwrap();
        let changed = |path: Option<&Path>, sets: &[&str]| {
            let sets: Vec<Override> = sets.iter().map(|set| set.parse().unwrap()).collect();
            let recipe: Recipe = load_over(&defaults, path, &sets).unwrap();
            (recipe.steps, recipe.data.folder, recipe.data.batch)
        };
        assert_eq!(changed(Some(&path), &[]), (9, "images".into(), 5));
        assert_eq!(changed(None, &["data.batch=6", "sampler={custom={eta=1.0}}"]), (9, "images".into(), 6));
        let unknown = load_over(&defaults, None, &["data.bach=1".parse().unwrap()]).unwrap_err();
        assert!(matches!(unknown, RecipeError::Value(error) if error.to_string().contains("`data.batch`?")));
    }

    #[test]
    fn the_effective_recipe_reads_back() {
        let recipe = recipe("name = \"x\"", &["sampler={custom={eta=0.5}}", "targets=[{macs=0.5}]"]).unwrap();
        assert_eq!(recipe.sampler, Sampler::Custom { eta: 0.5 });
        let text = to_toml(&recipe).unwrap();
        assert_eq!(value::from_table::<Recipe>(text.parse().unwrap()).unwrap(), recipe);
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_known_one() {
        assert_eq!(complaint("stepz = 1", &[]), "`stepz` is no key of the recipe; did you mean `steps`?");
        assert_eq!(complaint("", &["data.bach=1"]), "`data.bach` is no key of the recipe; did you mean `data.batch`?");
        assert_eq!(
            complaint("[[targets]]\nmac = 1", &[]),
            "`targets.0.mac` is no key of the recipe; did you mean `targets.0.macs`?"
        );
        assert_eq!(complaint("[data]\nzzz = 1", &[]), "`data.zzz` is no key of the recipe; known here: folder, batch");
        assert_eq!(
            complaint("sampler = { custom = { eta = 1, etta = 1 } }", &[]),
            "`sampler.custom.etta` is no key of the recipe; did you mean `sampler.custom.eta`?"
        );
    }

    #[test]
    fn values_that_do_not_fit_are_named() {
        assert_eq!(complaint("steps = \"many\"", &[]), "`steps`: invalid type: string \"many\", expected u32");
        assert_eq!(complaint("", &["data.batch=300"]), "`data.batch`: invalid value: integer `300`, expected u8");
        assert_eq!(complaint("[[targets]]", &[]), "`targets.0`: missing field `macs`");
        assert_eq!(complaint("data = 3", &[]), "`data`: invalid type: integer `3`, expected struct Data");
        assert_eq!(
            complaint("", &["sampler=ddimm"]),
            "`sampler`: `ddimm` is none of pndm, ddim, custom; did you mean `ddim`?"
        );
        assert_eq!(complaint("sampler = 3", &[]), "`sampler`: invalid type: integer `3`, expected enum Sampler");
        assert_eq!(complaint("weights.x = true", &[]), "`weights.x`: invalid type: boolean `true`, expected f32");
    }

    #[test]
    fn overrides_follow_the_shape_of_the_recipe() {
        assert_eq!(complaint("steps = 1", &["steps.x=1"]), "--set steps.x=1: `steps` is not a table");
        assert_eq!(
            complaint("[[targets]]\nmacs = 1", &["targets.3.macs=1"]),
            "--set targets.3.macs=1: `targets` has 1 items, numbered from 0"
        );
        assert_eq!(
            complaint("targets = []", &["targets.x=1"]),
            "--set targets.x=1: `targets` has 0 items, numbered from 0"
        );
        assert_eq!("steps".parse::<Override>().unwrap_err().to_string(), "`steps` is not of the form key.path=value");
        assert!("a..b=1".parse::<Override>().is_err());
    }

    #[test]
    fn a_recipe_has_what_it_does_not_say_from_the_one_that_it_extends() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("base")).unwrap();
        write(
            "base/all.toml",
            "steps = 1\nname = \"x\"\n[data]\nfolder = \"images\"\nbatch = 4\n[[targets]]\nmacs = 0.5\n",
        );
        write("one.toml", "extends = \"base/all.toml\"\nsteps = 2\n[data]\nbatch = 5\n[[targets]]\nmacs = 0.7\n");
        write("two.toml", "extends = \"one.toml\"\nname = \"y\"\n");
        let recipe: Recipe = load(Some(&folder.path().join("two.toml")), &["data.batch=6".parse().unwrap()]).unwrap();
        assert_eq!((recipe.steps, recipe.name.as_deref()), (2, Some("y")));
        assert_eq!(recipe.data, Data { folder: "images".into(), batch: 6 });
        assert_eq!(recipe.targets, [Target { macs: 0.7 }]);
        for (text, wanted) in [("extends = 3", "`extends` is 3"), ("extends = \"ring.toml\"", "which does not extend")]
        {
            write("ring.toml", text);
            let error = load::<Recipe>(Some(&folder.path().join("ring.toml")), &[]).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_not_toml_is_named() {
        let missing = load::<Recipe>(Some(Path::new("no/such.toml")), &[]).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read the recipe no/such.toml");
        let Err(RecipeError::Syntax { source, .. }) = recipe("steps = = 1", &[]) else { panic!("not TOML") };
        assert!(source.to_string().contains("line 1"), "{source}");
    }
}
