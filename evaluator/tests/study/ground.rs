//! What a study needs: programs, a start, prompts, a judge, a recipe.

use crate::support::{self, engine, fixtures};
use pleach_evaluator::{
    document::Environment,
    run::{self, Shard},
    study::{Error, Means, Plan, Programs, Recipe, Result, Store, Study, Watch, collect, conduct},
};
use pleach_model::vision::Choice;
use pleach_runtime::{bundle::Bundle, pipeline::Options};
use std::{fs, num::NonZeroUsize, path::Path};
use tempfile::TempDir;

/// `forget START CHANGE --out OUT` copies a pipeline and changes its scheduler by a sed command; `fail` fails; both wait as long as the
/// file `wait` is there. Every call is a line of `calls`.
const TRAIN: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo "pleach-train 9.9.9"; exit 0; }
echo "train $*" >> CALLS
while [ -e WAIT ]; do exec sleep 60; done
if [ "$1" = fail ]; then
    echo "one line" >&2
    echo "the loss is not a number" >&2
    exit 7
fi
[ "$1" = idle ] && exit 0
[ "$4" = --out ] || exit 2
mkdir -p "$5"
cp -r "$2" "$5/family"
sed "$3" "$2/scheduler/scheduler_config.json" > "$5/family/scheduler/scheduler_config.json"
if [ -n "$6" ]; then cp "$6" "$5/recipe"; fi
echo "threads $OMP_NUM_THREADS"
"#;

/// `MODEL --out OUT` copies it.
const EXPORT: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo "pleach-export 9.9.9"; exit 0; }
echo "export $*" >> CALLS
cp -r "$1" "$3"
"#;

const PROTOCOL: &str = r#"
id = "tiny"
about = "Two steps."
source = "this test"
prompts = { form = "jsonl" }
drawing = { seeds = { hashed = 0 }, guidance = { fixed = 2.0 }, steps = 2, sampler = "ddim", images = 2 }

[[measure]]
name = "style"
kind = "asked"
instrument = "judge"
head = "style"
better = "BETTER"

[[measure]]
name = "shape"
kind = "asked"
instrument = "judge"
head = "shape"
better = "higher"

[[measure]]
name = "frechet"
kind = "frechet"
instrument = "judge"
against = "baseline"
better = "lower"
"#;

const RECIPE: &str = r#"
title = "Tiny <methods>"
about = "Nothing is learnt here."
reference = "two & one"
margin = 0.2
seeds = [1, 2]
threads = 1

[inputs]
start-pipeline = "start"

[[prepare]]
name = "prepared"
run = ["forget", "{start-pipeline}", "s/0.012/0.013/", "--out", "{out}"]

[start]
model = "{prepared}/family"
bundle = "{start-pipeline}"

[[concept]]
name = "dotted"
variables = { change = "s/leading/linspace/", phrases = ["dotted", "dots"] }

[[concept]]
name = "flat"
variables = { change = "s/0.013/0.02/", phrases = ["flat"] }

[[method]]
name = "start"
kind = "none"
bundle = "{start-pipeline}"

[[method]]
name = "one"
settings = "no seed"
updates = 10
[[method.command]]
run = ["forget", "{start}", "{change}", "--out", "{out}"]

[[method]]
name = "two & one"
settings = "with a seed"
updates = 20
[[method.command]]
run = ["forget", "{start}", "s/scaled_linear/linear/", "--out", "{out}"]
[[method.command]]
run = ["forget", "{before}/family", "s/0.013/0.0{seed}5/", "--out", "{out}", "{recipe}"]
recipe = "concepts = [{targets = {phrases}, seed = {seed}}]"

[audit]
suite = [
    { name = "asked", prompts = "prompts.jsonl", protocol = "suppressed.toml", only = { style = ["{concept}"] }, publish = true },
    { name = "others", prompts = "prompts.jsonl", protocol = "kept.toml", publish = true },
]
[audit.instrument.judge]
folder = "judge"

[[column]]
name = "style left"
metric = "asked/style"
role = "suppression"

[[column]]
name = "others' shapes"
metric = "others/shape"
role = "retention"

[[column]]
name = "distance"
metric = "others/frechet"
role = "quality"

[[tuning]]
method = "one"
setting = "a tenth"
prompts = "other ones"
found = "less"
chosen = true
"#;

/// A folder with everything in it.
pub struct Ground {
    folder: TempDir,
    /// The recipe's text.
    pub recipe: String,
}

impl Ground {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["programs", "judge"] {
            fs::create_dir(at(name)).unwrap();
        }
        for (name, script) in [("pleach-train", TRAIN), ("pleach-export", EXPORT)] {
            let [calls, wait] = ["calls", "wait"].map(|name| at(name).display().to_string());
            let script = script.replace("CALLS", &calls).replace("WAIT", &wait);
            let path = at("programs").join(name);
            fs::write(&path, script).unwrap();
            executable(&path);
        }
        copy(&fixtures().join("optimum_sd2"), &at("start"));
        let mut prompts = String::new();
        for style in ["dotted", "flat"] {
            for shape in ["star", "ring"] {
                for colour in ["red", "blue"] {
                    let labels = format!("{{\"style\": [\"{style}\"], \"shape\": [\"{shape}\"]}}");
                    prompts += &format!("{{\"text\": \"a {style} {colour} {shape}\", \"labels\": {labels}}}\n");
                }
            }
        }
        fs::write(at("prompts.jsonl"), prompts).unwrap();
        fs::write(at("suppressed.toml"), PROTOCOL.replace("BETTER", "lower")).unwrap();
        fs::write(at("kept.toml"), PROTOCOL.replace("BETTER", "higher")).unwrap();
        judge(&at("judge"));
        Self { folder, recipe: RECIPE.to_owned() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the recipe.
    pub fn change(&mut self, from: &str, to: &str) {
        assert!(self.recipe.contains(from), "{from}");
        self.recipe = self.recipe.replace(from, to);
    }

    pub fn store(&self) -> Store {
        Store::new(self.path().join("study"))
    }

    pub fn plan(&self) -> Result<Plan> {
        let recipe: Recipe = toml::from_str(&self.recipe).map_err(|error| Error::Asked(error.to_string()))?;
        Plan::build(recipe, self.path(), &self.store())
    }

    /// Does what is left, two cells at a time.
    pub fn conduct(&self, watch: &dyn Watch, shard: Shard) -> Result<Study> {
        let plan = self.plan()?;
        let programs = Programs::find(Some(&self.path().join("programs")), &plan.programs(), plan.recipe.threads)?;
        let open = |source: &str| -> run::Result<Bundle> { Ok(Bundle::open(Path::new(source))?) };
        let engine = engine();
        let means = Means {
            engine: &engine,
            open: &open,
            options: Options::default(),
            environment: Environment::default(),
            batch: NonZeroUsize::new(4).unwrap(),
            programs: &programs,
            folder: self.path(),
        };
        conduct(&plan, &self.store(), &means, NonZeroUsize::new(2).unwrap(), shard, watch)?;
        collect(&plan, &self.store())
    }

    /// Does everything that is left.
    pub fn finish(&self) -> Study {
        self.conduct(&(), Shard::WHOLE).unwrap()
    }

    /// Calls of the programs since the last time.
    pub fn calls(&self) -> Vec<String> {
        let path = self.path().join("calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        calls.lines().map(str::to_owned).collect()
    }

    /// Names of the folders of steps that end so.
    pub fn steps(&self, ending: &str) -> Vec<String> {
        let entries = fs::read_dir(self.store().path().join("steps")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter(|name| if ending.is_empty() { !name.contains('.') } else { name.ends_with(ending) }).collect();
        names.sort();
        names
    }
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A judge that looks at the mean colour.
fn judge(folder: &Path) {
    let weights = [[1.0, 0.0, 0.0, 2.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]];
    support::judge(folder, [Choice::OneOf; 2], weights);
}
