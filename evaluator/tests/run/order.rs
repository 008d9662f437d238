//! The order of a file's rows changes nothing of what becomes of a prompt.

use crate::{
    audit,
    world::{Asked, PROMPTS, World, text},
};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

/// What became of each picture of each prompt.
fn outcomes(run: &Path) -> BTreeMap<(String, u64), Value> {
    let samples = fs::read_to_string(run.join("report/samples.jsonl")).unwrap();
    let mut outcomes = BTreeMap::new();
    for line in samples.lines() {
        let mut sample: Value = serde_json::from_str(line).unwrap();
        let key = (sample["prompt"].as_str().unwrap().to_owned(), sample["image"].as_u64().unwrap());
        let outcome = sample["arms"].take();
        // Rows with the same prompt and the same seed are the same picture.
        assert!(outcomes.get(&key).is_none_or(|known| *known == outcome), "{key:?}");
        outcomes.insert(key, outcome);
    }
    outcomes
}

#[test]
fn permuted_rows_find_the_same_of_every_prompt() {
    let world = World::new();
    fn asked<'a>(prompts: &'a [&'a str]) -> Asked<'a> {
        Asked { prompts, seeds: "{ fixed = 3 }", publish: true, images: 2, ..Asked::default() }
    }
    let mut prompts = PROMPTS[..6].to_vec();
    let mut found = Vec::new();
    for (index, batch) in ["4", "1", "5"].into_iter().enumerate() {
        let run = world.plan(&format!("run-{index}"), &asked(&prompts));
        audit(["run", text(&run), "--batch", batch]).ends(0);
        let metrics = fs::read_to_string(run.join("report/metrics.csv")).unwrap();
        let light = metrics.lines().find(|line| line.starts_with("tiny/light,")).unwrap().to_owned();
        found.push((outcomes(&run), light));
        prompts.rotate_left(2);
        prompts.swap(0, 3);
    }
    assert_eq!(found[0].0.len(), 2 * 5);
    let pictures = |arm: &str| found[0].0.values().map(|arms| arms[arm]["picture"].to_string()).collect::<Vec<_>>();
    assert_ne!(pictures("baseline"), pictures("subject"));
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}
