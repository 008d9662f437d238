//! From a family to one that was fine-tuned and has forgotten, as a person types it, on the small world's base model.

use pleach_model::{family::FamilyFolder, manifest::Family};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::{TempDir, tempdir};

fn base() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/world").to_str().unwrap().to_owned()
}

fn train(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pleach-train")).args(arguments).args(["--quiet"]).output().unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = train(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Why a command could not be followed.
fn complaint(arguments: &[&str]) -> String {
    let output = train(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A family of two experts, data, and pictures of a style.
struct Ground(TempDir);

impl Ground {
    fn new() -> Self {
        let ground = Self(tempdir().unwrap());
        let [pruned, data, concept] = ["pruned", "data", "concept"].map(|name| ground.path(name));
        done(&[
            "prune",
            "--method",
            "uniform",
            "--teacher",
            &base(),
            "--target",
            "0.9",
            "--target",
            "0.7",
            "--out",
            &pruned,
        ]);
        done(&["world", "--count", "6", "--seed", "3", "--one-object", "--out", &data]);
        let prompts = ground.path("prompts.txt");
        fs::write(&prompts, "a striped red star\na ring in striped style\n").unwrap();
        let few = ["--steps", "2", "--guidance", "1", "--count", "4", "--device", "cpu"];
        done(&[&["concept-images", &base(), "--prompts", &prompts, "--out", &concept][..], &few].concat());
        ground
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn family(&self) -> String {
        self.path("pruned/family")
    }

    /// Arguments that every command has.
    fn common(&self) -> Vec<String> {
        let sets = [
            format!("data={}", self.path("data")),
            "train.batch=2".into(),
            "train.loop.steps=3".into(),
            "train.loop.sample_every=0".into(),
            "bilevel.k_lower=2".into(),
            "bilevel.forgetting.batch=2".into(),
        ];
        let sets = sets.into_iter().flat_map(|set| ["--set".to_owned(), set]);
        let concept = ["--target", "striped", "--concept-images", &self.path("concept"), "--device", "cpu"];
        concept.map(str::to_owned).into_iter().chain(sets).collect()
    }

    fn suppress(&self, out: &str, more: &[&str]) -> Vec<String> {
        let words = ["suppress".to_owned(), self.family(), "--out".into(), self.path(out)];
        words.into_iter().chain(self.common()).chain(more.iter().map(|word| (*word).to_owned())).collect()
    }

    fn erase(&self, method: &str, out: &str, more: &[&str]) -> Vec<String> {
        let words =
            ["erase".to_owned(), self.family(), "--method".into(), method.into(), "--out".into(), self.path(out)];
        let common = ["--target", "striped", "--device", "cpu"].map(str::to_owned);
        words.into_iter().chain(common).chain(more.iter().map(|word| (*word).to_owned())).collect()
    }
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn read(family: &str) -> Family {
    FamilyFolder::open(Path::new(family)).unwrap().manifest().clone()
}

fn weights(family: &Family, expert: usize) -> String {
    family.experts[expert].files[0].sha256.to_string()
}

#[test]
fn all_experts_forget_in_one_command_and_are_probed() {
    let ground = Ground::new();
    let recipe = ground.path("forget.toml");
    fs::write(&recipe, "[bilevel.forgetting]\nunlearning = \"anchor\"\n").unwrap();
    let more = ["--expert", "all", "--anchor", "flat", "--recipe", &recipe, "--json"];
    let printed = done(&strs(&ground.suppress("all", &more)));
    let report: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&report["lower_steps"], &report["upper_steps"]), (&3.into(), &1.into()));
    let (before, after) = (read(&ground.family()), read(&ground.path("all/family")));
    for (i, expert) in after.experts.iter().enumerate() {
        assert_eq!(expert.suppressed, ["striped"]);
        let methods: Vec<&str> = expert.made.iter().map(|made| made.method.as_str()).collect();
        assert_eq!(methods, ["uniform", "bilevel"]);
        // What it began with is the expert as it was.
        assert_eq!(expert.made[1].parents[0].sha256.to_string(), weights(&before, i));
        let recipe = &expert.made[1].recipe;
        assert_eq!(recipe["concepts"][0]["targets"][0], "striped");
        assert_eq!(recipe["bilevel"]["forgetting"]["unlearning"], "anchor");
        assert_ne!(weights(&after, i), weights(&before, i));
    }
    // Its base is found from where it lies now.
    assert!(Path::new(&ground.path("all/family")).join(&after.base.source).join("model_index.json").is_file());

    // Forgetting on top of that is remembered, and the other expert is left as it is.
    let words = ground.erase("uce", "edited", &["--expert", "expert-1", "--anchor", "flat", "--concept", "stripes"]);
    let mut words = words;
    words[1] = ground.path("all/family");
    done(&strs(&words));
    let edited = read(&ground.path("edited/family"));
    assert_eq!(weights(&edited, 0), weights(&after, 0));
    assert_eq!(edited.experts[0].made.len(), 2);
    assert_ne!(weights(&edited, 1), weights(&after, 1));
    assert_eq!(edited.experts[1].suppressed, ["striped", "stripes"]);
    assert_eq!(edited.experts[1].made.last().unwrap().method, "uce");

    let asked = ground.path("data/metadata.jsonl");
    let (family, out) = (ground.path("edited/family"), ground.path("probe"));
    let few = ["--steps", "2", "--guidance", "2", "--batch", "4", "--expert", "all", "--json", "--out", &out];
    let printed = done(&[&["probe", &family, "--prompts", &asked, "--device", "cpu"][..], &few].concat());
    let probed: Value = serde_json::from_str(&printed).unwrap();
    let names: Vec<&str> = (0..2).map(|i| probed[i]["expert"].as_str().unwrap()).collect();
    assert_eq!(names, ["expert-0", "expert-1"]);
    assert_eq!(probed[1]["suppressed"], serde_json::json!(["striped", "stripes"]));
    assert_eq!(probed[0]["groups"][0]["heads"][0]["asked"], 6);
    assert!(PathBuf::from(out).join("expert-1.png").is_file());
}

#[test]
fn all_experts_are_fine_tuned_in_one_command_and_forget_afterwards() {
    let ground = Ground::new();
    let (family, tuned) = (ground.family(), ground.path("tuned"));
    let data = format!("data={}", ground.path("data"));
    let sets = [&data, "train.batch=2", "train.loop.steps=3", "train.loop.sample_every=0"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    let words = ["finetune", &family, "--out", &tuned, "--device", "cpu", "--expert", "all", "--json"];
    let report: Value = serde_json::from_str(&done(&[&words[..], &sets].concat())).unwrap();
    assert_eq!((&report["steps"], &report["experts"][1]["name"]), (&3.into(), &"expert-1".into()));
    let (before, after) = (read(&family), read(&ground.path("tuned/family")));
    for (i, expert) in after.experts.iter().enumerate() {
        assert!(expert.suppressed.is_empty());
        let methods: Vec<&str> = expert.made.iter().map(|made| made.method.as_str()).collect();
        assert_eq!(methods, ["uniform", "finetune"]);
        assert_eq!(expert.made[1].parents[0].sha256.to_string(), weights(&before, i));
        assert_ne!(weights(&after, i), weights(&before, i));
        assert_eq!(expert.macs, before.experts[i].macs);
    }
    // The same again changes nothing; one that has not begun begins.
    fs::remove_dir_all(ground.path("tuned/runs/expert-1")).unwrap();
    fs::create_dir(ground.path("tuned/runs/expert-1")).unwrap();
    done(&[&words[..], &sets, &["--resume"]].concat());
    let again = read(&ground.path("tuned/family"));
    assert_eq!([0, 1].map(|i| weights(&again, i)), [0, 1].map(|i| weights(&after, i)));

    let mut words = ground.suppress("forgot", &["--expert", "expert-1", "--anchor", "flat"]);
    words[1] = ground.path("tuned/family");
    done(&strs(&words));
    let forgot = read(&ground.path("forgot/family"));
    let methods: Vec<&str> = forgot.experts[1].made.iter().map(|made| made.method.as_str()).collect();
    assert_eq!(methods, ["uniform", "finetune", "bilevel"]);

    let out = ground.path("out");
    let student = ["finetune", &family, "--out", &out, "--expert", "all", "--set", "student={uniform=0.5}"];
    let student = complaint(&student);
    assert!(student.contains("leave `student`, `routed` and `train.init` out"), "{student}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn every_method_goes_from_end_to_end() {
    let ground = Ground::new();
    let concept = ground.path("concept");
    let data = format!("data={}", ground.path("data"));
    let few =
        ["erase.loop.steps=1", "erase.loop.sample_every=0", "erase.forgetting.batch=2", "erase.retention.batch=2"];
    let pictures = ["--anchor", "flat", "--concept-images", &concept, "--set", &data];
    let sampled = ["--set", "erase.forgetting.sampled.steps=3"];
    let pairs = ["--set", r#"neurons.pairs=[["a flat star", "a striped star"]]"#, "--set", "neurons.steps=4"];
    let saliency = ["--set", "erase.saliency.batches=1"];
    let methods: [(&str, Vec<&str>); 6] = [
        ("esd-x", sampled.to_vec()),
        ("esd-u", sampled.to_vec()),
        ("concept-prune", [&pairs[..], &["--set", "neurons.calls=2"]].concat()),
        ("concept-ablation", [&pictures[..], &["--set", "erase.forgetting.x_t=concept_images"]].concat()),
        ("saliency", [&pictures[..], &saliency].concat()),
        ("erasediff", pictures.to_vec()),
    ];
    let before = read(&ground.family());
    for (method, mut more) in methods {
        more.extend(["--expert", "expert-0"]);
        more.extend(few.iter().flat_map(|set| ["--set", *set]));
        done(&strs(&ground.erase(method, method, &more)));
        let after = read(&ground.path(&format!("{method}/family")));
        assert_eq!(after.experts[0].made.last().unwrap().method, method);
        assert_ne!(weights(&after, 0), weights(&before, 0), "{method}");
        assert_eq!(weights(&after, 1), weights(&before, 1), "{method}");
    }
    assert!(Path::new(&ground.path("concept-prune/runs/expert-0/masks.safetensors")).is_file());
}

#[test]
fn what_cannot_be_forgotten_is_refused_with_its_reason() {
    let ground = Ground::new();
    let suppress = |more: &[&str]| complaint(&strs(&ground.suppress("out", more)));
    let experts = suppress(&[]);
    assert!(experts.contains("2 experts") && experts.contains("--expert all"), "{experts}");
    let nobody = suppress(&["--expert", "expert-7"]);
    assert!(nobody.contains("no expert \"expert-7\"; it has expert-0, expert-1"), "{nobody}");
    let all = ["--expert", "all"];
    let same = suppress(&[&all[..], &["--anchor", "STRIPED style"]].concat());
    assert!(same.contains("nothing to forget"), "{same}");
    let lambda = suppress(&[&all[..], &["--set", "bilevel.lambda=-1"]].concat());
    assert!(lambda.contains("`bilevel.lambda` is -1"), "{lambda}");
    let none = suppress(&[&all[..], &["--set", "bilevel.k_lower=0"]].concat());
    assert!(none.contains("`bilevel.k_lower` is 0"), "{none}");
    let long = format!("{} striped star", "a red ring and ".repeat(40));
    let cut = suppress(&[&all[..], &["--concept-prompt", &long]].concat());
    assert!(cut.contains("none of the concept's"), "{cut}");
    let erase =
        |method: &str, more: &[&str]| complaint(&strs(&ground.erase(method, "out", &[&all[..], more].concat())));
    let preserved = erase("uce", &["--set", r#"uce.preserve=["a striped star"]"#]);
    assert!(preserved.contains("to be erased") && preserved.contains("a striped star"), "{preserved}");
    let nothing = erase("saliency", &["--anchor", "flat", "--concept-images", &ground.path("concept")]);
    assert!(nothing.contains("no `data`"), "{nothing}");
    let pictures = erase("concept-ablation", &["--anchor", "flat"]);
    assert!(pictures.contains("no `images`"), "{pictures}");
    let anchors = erase("concept-ablation", &["--anchor", "dotted", "--concept-images", &ground.path("concept")]);
    assert!(anchors.contains("none of the captions"), "{anchors}");
    assert!(erase("concept-prune", &[]).contains("`neurons.pairs` is empty"));
    // With another mode it is another run.
    done(&strs(&ground.suppress("run", &["--expert", "expert-0", "--set", "train.loop.checkpoint_every=1"])));
    let student = ground.path("run/runs/expert-0/student");
    fs::remove_dir_all(&student).unwrap();
    let mode = ["--expert", "expert-0", "--set", "train.loop.checkpoint_every=1", "--resume", "--set"];
    let mode = [&mode[..], &["bilevel.mode=shared_penalised"]].concat();
    let changed = complaint(&strs(&ground.suppress("run", &mode)));
    assert!(changed.contains("`bilevel.mode` was") && changed.contains("shared_alternating"), "{changed}");
    assert!(!Path::new(&ground.path("out/family")).exists());
}
