//! A run in parts is the run in one piece; parts that do not belong together are refused.

use crate::{
    audit,
    program::{Ended, assert_same, command, journal, tree},
    world::{Asked, PROMPTS, World, copy, fresh, text},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Ten samples: more than seven shards have one of, and no two as many as the others.
fn asked() -> Asked<'static> {
    Asked { prompts: &PROMPTS[..5], ..Asked::default() }
}

/// `samples.jsonl`, and `audit.json` without what it says of journals.
fn found(run: &Path) -> (String, Value) {
    let read = |name: &str| fs::read_to_string(run.join("report").join(name)).unwrap();
    let mut audit: Value = serde_json::from_str(&read("audit.json")).unwrap();
    audit.as_object_mut().unwrap().remove("journal").unwrap();
    (read("samples.jsonl"), audit)
}

/// Every shard of a run in a folder of its own.
fn apart(world: &World, whole: &Path, count: usize) -> Vec<PathBuf> {
    let shard = |index: usize| {
        let run = fresh(whole, &world.path(&format!("{index}-of-{count}")));
        let ended = audit(["run", text(&run), "--shard", &format!("{index}/{count}")]).ends(0);
        assert!(!run.join("report").exists(), "{}", ended.err);
        run
    };
    (0..count).map(shard).collect()
}

fn merge(runs: &[PathBuf], out: &Path) -> Ended {
    audit(["merge"].into_iter().chain(runs.iter().map(|run| text(run))).chain(["--out", text(out)]))
}

#[test]
fn any_number_of_shards_apart_or_together_finds_the_same() {
    let world = World::new();
    let whole = world.plan("whole", &asked());
    audit(["run", text(&whole)]).ends(0);
    let expected = found(&whole);
    for count in [1, 2, 7] {
        let runs = apart_or_whole(&world, &whole, count);
        let merged = world.path(&format!("merged-{count}"));
        merge(&runs, &merged).says(0, &["disjoint and complete"]);
        audit(["verify", text(&merged)]).ends(0);
        audit(["status", text(&merged)]).ends(0);
        audit(["report", text(&merged)]).ends(0);
        assert_eq!(found(&merged), expected, "{count} shards apart");

        let together = fresh(&whole, &world.path(&format!("together-{count}")));
        // The last shard comes first: order does not matter.
        for index in (0..count).rev() {
            assert!(!together.join("report").exists());
            audit(["run", text(&together), "--shard", &format!("{index}/{count}")]).ends(0);
        }
        assert_same(&tree(&together), &tree(&merged), &format!("{count} shards together"));
    }
}

/// One shard is the whole run, which is there already.
fn apart_or_whole(world: &World, whole: &Path, count: usize) -> Vec<PathBuf> {
    if count == 1 { vec![whole.to_owned()] } else { apart(world, whole, count) }
}

#[test]
fn any_batch_leaves_the_same_bytes() {
    let world = World::new();
    let whole = world.plan("whole", &asked());
    audit(["run", text(&whole)]).ends(0);
    for batch in ["1", "3", "16"] {
        let run = fresh(&whole, &world.path(batch));
        audit(["run", text(&run), "--batch", batch]).ends(0);
        assert_same(&tree(&run), &tree(&whole), batch);
    }
}

#[test]
fn schedulers_say_which_shard_it_is() {
    let world = World::new();
    let run = world.plan("run", &Asked { prompts: &PROMPTS[..2], images: 1, ..Asked::default() });
    let told = |variables: &[(&str, &str)]| {
        let mut command = command(["run", text(&run)]);
        Ended::of(command.envs(variables.iter().copied()).output().unwrap())
    };
    told(&[("JOB_COMPLETION_INDEX", "1")]).says(2, &["PLEACH_SHARDS", "--shard 1/N"]);
    assert!(!run.join("journal/0-of-1.journal").exists());
    told(&[("RANK", "1"), ("WORLD_SIZE", "2")]).says(0, &["torchrun", "shard 1/2"]);
    assert_eq!(journal(&run, "1-of-2").lines().filter(|line| line.contains("\"drawn\"")).count(), 2);
    audit(["status", text(&run)]).says(3, &["0/2", "1/2"]);
    told(&[("JOB_COMPLETION_INDEX", "0"), ("PLEACH_SHARDS", "2")]).says(0, &["indexed job", "PASS"]);
    // Whoever asks for another division of what is there gets no mixture.
    audit(["run", text(&run), "--shard", "0/3"]).says(4, &["2", "3", text(&run)]);
}

#[test]
fn runs_that_do_not_make_one_are_not_merged() {
    let world = World::new();
    let two = Asked { prompts: &PROMPTS[..2], images: 1, ..Asked::default() };
    let whole = world.plan("whole", &two);
    let runs = apart(&world, &whole, 2);
    let out = world.path("merged");
    let refused = |runs: &[&Path], code: i32, words: &[&str]| {
        let runs: Vec<PathBuf> = runs.iter().map(|run| run.to_path_buf()).collect();
        let before = tree(&world.path(""));
        merge(&runs, &out).says(code, words);
        assert!(!out.exists());
        assert_same(&tree(&world.path("")), &before, "nothing is written");
    };
    let [first, second] = [&runs[0], &runs[1]].map(PathBuf::as_path);
    // What is not done yet can be done: 3.
    refused(&[first], 3, &["1 of 2 shards", "1/2"]);
    let begun = fresh(&whole, &world.path("begun"));
    audit(["run", text(&begun), "--shard", "1/2", "--stage", "draw"]).ends(0);
    refused(&[first, &begun], 3, &["1 of 2 shards", "1/2"]);
    refused(&[&fresh(&whole, &world.path("nothing"))], 3, &["not done"]);
    // What cannot become one run is broken: 4.
    refused(&[first, second, first], 4, &["shard 0/2 is also in", text(first)]);
    let third = fresh(&whole, &world.path("third"));
    audit(["run", text(&third), "--shard", "1/3"]).ends(0);
    refused(&[first, &third], 4, &["1/3", "0/2", text(&third)]);
    let other = world.plan("other", &Asked { images: 2, ..two });
    refused(&[first, &other], 4, &["its plan is not that of", text(&other)]);

    let tampered = |name: &str, change: &dyn Fn(&Path)| {
        let run = world.path(name);
        copy(second, &run);
        change(&run);
        run
    };
    let picture = |run: &Path| {
        let pictures = run.join("restricted/pictures");
        pictures.join(tree(&pictures).into_keys().next().unwrap())
    };
    let stranger = picture(first);
    let changed = tampered("changed", &|run| {
        fs::copy(&stranger, picture(run)).unwrap();
    });
    refused(&[first, &changed], 4, &[text(&picture(&changed)), "does not show"]);
    let name = picture(second).strip_prefix(second).unwrap().to_owned();
    let gone = tampered("gone", &|run| fs::remove_file(run.join(&name)).unwrap());
    refused(&[first, &gone], 4, &[name.file_name().unwrap().to_str().unwrap()]);
    let edited = tampered("edited", &|run| {
        let text = journal(run, "1-of-2").replacen("\"arm\":\"subject\"", "\"arm\":\"baseline\"", 1);
        fs::write(run.join("journal/1-of-2.journal"), text).unwrap();
    });
    refused(&[first, &edited], 4, &[text(&edited.join("journal/1-of-2.journal")), "record "]);

    // A folder that is there already stays as it is.
    assert_eq!(merge(&runs, &whole).code, Some(2));
    merge(&runs, &out).ends(0);
    audit(["verify", text(&out)]).ends(0);
}
