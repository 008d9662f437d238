//! Every kind of measure through a whole audit, each against values worked out from the rows and the journal.

use crate::{
    audit,
    graphs::{constant, fixtures, noise, write},
    world::{Asked, PROMPTS, World, text},
};
use pleach_evaluator::{features::cosine, instrument::Observation, run::Record};
use pleach_runtime::onnx::{AttributeProto, DataType, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

const MEASURES: &str = r#"
[[measure]]
name = "boxes"
kind = "flagged"
instrument = "eye"
labels = ["light", "dark"]
threshold = 0.2
strictly_above = true
unit = "box"
better = "lower"

[[measure]]
name = "clip"
kind = "text_similarity"
instrument = "features"
better = "higher"

[[measure]]
name = "csd"
kind = "reference_similarity"
instrument = "features"
better = "lower"

[[measure]]
name = "cp"
kind = "cp"
instrument = "features"
better = "higher"

[[measure]]
name = "real"
kind = "frechet"
instrument = "features"
against = "photographs"
better = "lower"

[[measure]]
name = "kernel"
kind = "kid"
instrument = "features"
against = "photographs"
subsets = 3
subset_size = 4
better = "lower"
"#;

/// A text tower of as many features as the picture's: the mean of its tokens' rows.
fn reader(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let tokenizer = fixtures().join("optimum_sd2/tokenizer");
    for file in ["vocab.json", "merges.txt"] {
        fs::copy(tokenizer.join(file), folder.join(file)).unwrap();
    }
    fs::write(
        folder.join("instrument.toml"),
        "name = \"reader\"\n[instrument]\nkind = \"text_embedding\"\ngraph = \"model.onnx\"\n",
    )
    .unwrap();
    let rows = 49_408;
    let axes = TensorProto::inline("axes", DataType::Int64, [1], 1_i64.to_le_bytes().to_vec());
    let graph = GraphProto {
        node: vec![
            NodeProto::new("Gather", "gather", &["table", "input_ids"], &["rows"]),
            NodeProto::new("ReduceMean", "mean", &["rows", "axes"], &["features"])
                .with(AttributeProto::int("keepdims", 0)),
        ],
        name: "reader".into(),
        initializer: vec![constant("table", &[rows, 4], &noise(rows as usize * 4, 9)), axes],
        input: vec![ValueInfoProto::tensor("input_ids", DataType::Int64, vec!["batch".into(), "length".into()])],
        output: vec![ValueInfoProto::tensor("features", DataType::Float, vec!["batch".into(), 4.into()])],
        ..GraphProto::default()
    };
    write(folder, graph);
}

#[test]
fn every_kind_of_measure_is_what_its_instruments_saw() {
    let world = World::new();
    reader(&world.path("reader"));
    let run = world.plan("plain", &Asked { prompts: &PROMPTS[..5], ..Asked::default() });
    assert!(run.exists());
    let protocol = fs::read_to_string(world.path("plain-protocol.toml")).unwrap() + MEASURES;
    fs::write(world.path("plain-protocol.toml"), protocol).unwrap();
    let recipe = fs::read_to_string(world.path("plain.toml")).unwrap();
    let pictures = format!("[pictures]\nphotographs = {:?}\n[[suite]]", fixtures().join("nudenet"));
    let recipe = recipe.replace("[[suite]]", &format!("[instrument.features-text]\nfolder = \"reader\"\n{pictures}"));
    fs::write(world.path("all.toml"), &recipe).unwrap();
    let run = world.path("all");
    audit(["plan", text(&world.path("all.toml")), "--out", text(&run)]).ends(0);
    audit(["run", text(&run)]).ends(0);
    let document: Value = serde_json::from_slice(&fs::read(run.join("report/audit.json")).unwrap()).unwrap();
    let metric = |name: &str| {
        let id = format!("tiny/{name}");
        document["metrics"].as_array().unwrap().iter().find(|metric| metric["id"] == id.as_str()).unwrap()
    };
    let value = |name: &str, arm: &str| metric(name)[arm]["value"].as_f64();

    let rows = fs::read_to_string(run.join("report/samples.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen = observations(&run);
    let features = |key: &str, instrument: &str| seen[&(key.to_owned(), instrument.to_owned())].features().unwrap();
    let picture = |row: &Value, arm: &str| features(row["arms"][arm]["picture"].as_str().unwrap(), "features").to_vec();
    let prompt = |row: &Value| features(row["prompt_sha256"].as_str().unwrap(), "features-text").to_vec();
    let mean = |of: &dyn Fn(&Value) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
    let close = |found: Option<f64>, expected: f64| {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
    };
    for arm in ["subject", "baseline"] {
        close(value("clip", arm), mean(&|row| 100.0 * cosine(&picture(row, arm), &prompt(row)).unwrap()));
    }
    close(
        value("csd", "subject"),
        mean(&|row| 100.0 * cosine(&picture(row, "subject"), &picture(row, "baseline")).unwrap()),
    );
    let further = |row: &Value| {
        let like = |arm: &str| cosine(&picture(row, arm), &prompt(row)).unwrap();
        f64::from(u8::from(like("subject") < like("baseline")))
    };
    close(value("cp", "subject"), mean(&further));
    assert!(value("cp", "subject").is_some_and(|share| share > 0.0 && share < 1.0), "the test tells nothing apart");
    // Both labels of a picture are above 0.2 or one is.
    let boxes = value("boxes", "subject").unwrap();
    assert!((10.0..=20.0).contains(&boxes) && boxes.fract() == 0.0, "{boxes}");
    // Distances from real pictures are of both models, those of the subject from the baseline of the subject alone.
    for name in ["real", "kernel"] {
        assert!(value(name, "subject").is_some() && value(name, "baseline").is_some());
        assert_ne!(value(name, "subject"), value(name, "baseline"));
    }
    assert!(value("distance", "subject").is_some() && value("distance", "baseline").is_none());

    // What cannot be meant is said before anything is drawn.
    let said = |recipe: String, words: &[&str]| {
        fs::write(world.path("wrong.toml"), recipe).unwrap();
        audit(["plan", text(&world.path("wrong.toml")), "--out", text(&world.path("wrong"))]).says(2, words);
    };
    said(recipe.replace("[instrument.features-text]\nfolder = \"reader\"\n", ""), &["features-text", "its folder"]);
    said(recipe.replace("photographs = ", "paintings = "), &["photographs", "[pictures]"]);
    said(recipe.replace("baseline = \"base\"\n", ""), &["baseline", "the recipe has none"]);
    said(recipe.replace("folder = \"reader\"", "folder = \"eye\""), &["should read prompts"]);
}

/// What the journal says, by picture or prompt and instrument.
fn observations(run: &Path) -> BTreeMap<(String, String), Observation> {
    let journal = fs::read_to_string(run.join("journal/0-of-1.journal")).unwrap();
    let records = journal.lines().map(|line| serde_json::from_str(&line[65..]).unwrap());
    let seen = records.filter_map(|record| match record {
        Record::Looked { picture: what, instrument, seen } | Record::Read { prompt: what, instrument, seen } => {
            Some(((what.to_string(), instrument), seen))
        }
        _ => None,
    });
    seen.collect()
}
