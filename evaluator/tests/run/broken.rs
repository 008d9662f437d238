//! Whatever of a run was changed behind its back is found, and told by its name.

use crate::{
    audit,
    program::{assert_same, command, journal, tree},
    world::{Asked, World, classifier, copy, fresh, scale, text},
};
use pleach_model::files::Sha256;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn few() -> Asked<'static> {
    Asked { prompts: &["a red cube", "a hat", "a red cube"], images: 1, ..Asked::default() }
}

/// A world with a run that is done.
fn done() -> (World, PathBuf) {
    let world = World::new();
    let whole = world.plan("whole", &few());
    audit(["run", text(&whole)]).ends(0);
    (world, whole)
}

/// Whether everything that uses a run refuses a copy that was changed, and leaves it as it is.
#[track_caller]
fn refused(whole: &Path, commands: &[&str], what: &str, change: impl FnOnce(&Path), words: &[&str]) {
    let run = whole.with_file_name("changed");
    copy(whole, &run);
    change(&run);
    let before = tree(&run);
    for name in commands {
        let ended = audit([name, text(&run)]);
        assert_eq!(ended.code, Some(4), "{what}: {name}: {}{}", ended.out, ended.err);
        for words in words {
            assert!(ended.err.contains(words), "{what}: {name}: {words:?} in {}", ended.err);
        }
        assert_same(&tree(&run), &before, what);
    }
    fs::remove_dir_all(run).unwrap();
}

const ALL: [&str; 4] = ["verify", "report", "status", "run"];
const JOURNAL: &str = "journal/0-of-1.journal";

/// Lines, each with its end.
fn lines(text: &str) -> Vec<String> {
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// Lines with their order changed: those before `at`, some others, those after `at` and `skip` more.
fn spliced(lines: &[String], at: usize, skip: usize, put: &[&String]) -> String {
    lines[..at].iter().chain(put.iter().copied()).chain(&lines[at + skip..]).map(String::as_str).collect()
}

#[test]
fn a_record_that_was_dropped_doubled_swapped_or_edited_is_named() {
    let (_world, whole) = done();
    let all = lines(&journal(&whole, "0-of-1"));
    let last = all.len() - 1;
    let check = |what: &str, at: usize, text: String| {
        let write = |run: &Path| fs::write(run.join(JOURNAL), &text).unwrap();
        let commands: &[&str] = if at == 1 { &ALL } else { &["verify"] };
        refused(&whole, commands, &format!("{what} {at}"), write, &[JOURNAL, &format!("record {}: ", at + 1)]);
    };
    for at in [0, 1, 4, 7, last - 2] {
        check("dropped", at, spliced(&all, at, 1, &[]));
        check("swapped", at, spliced(&all, at, 2, &[&all[at + 1], &all[at]]));
    }
    for at in [0, 1, 4, 7, last] {
        check("doubled", at + 1, spliced(&all, at, 1, &[&all[at], &all[at]]));
        // The seal, the space after it, the beginning and the end of what is said.
        for byte in [3, 64, 70, all[at].len() - 3] {
            let mut edited = all[at].clone().into_bytes();
            edited[byte] = if edited[byte] == b'0' { b'1' } else { b'0' };
            check("edited", at, spliced(&all, at, 1, &[&String::from_utf8(edited).unwrap()]));
        }
    }
    check("followed", last + 1, format!("{}nothing that ends", all.concat()));
    check("of another run", 0, all[1..].concat());
}

/// What a journal without its last records says is true; it is not done, and goes on to the same bytes.
#[test]
fn a_journal_that_ends_early_is_not_done() {
    let (world, whole) = done();
    let all = lines(&journal(&whole, "0-of-1"));
    for left in [0, 1, 3, all.len() - 1] {
        let run = world.path("cut");
        copy(&whole, &run);
        fs::write(run.join(JOURNAL), all[..left].concat()).unwrap();
        for name in ["verify", "status", "report"] {
            assert_eq!(audit([name, text(&run)]).code, Some(3), "{left}: {name}");
        }
        audit(["run", text(&run)]).ends(0);
        assert_same(&tree(&run), &tree(&whole), "cut");
        fs::remove_dir_all(run).unwrap();
    }
}

/// Records with seals that follow from one another.
fn sealed(records: &[Value]) -> String {
    let mut before = Sha256([0; 32]);
    let line = |record: &Value| {
        let json = record.to_string();
        before = Sha256::of(&[&before.0[..], json.as_bytes()].concat());
        format!("{before} {json}\n")
    };
    records.iter().map(line).collect()
}

/// Whoever changes a journal can seal it again: then the plan does not bear it out.
#[test]
fn a_journal_that_was_sealed_again_must_still_follow_from_the_plan() {
    let (_world, whole) = done();
    let records: Vec<Value> =
        journal(&whole, "0-of-1").lines().map(|line| serde_json::from_str(&line[65..]).unwrap()).collect();
    let first = |event: &str| records.iter().position(|record| record["event"] == event).unwrap();
    let (drawn, looked, end) = (first("drawn"), first("looked"), first("end"));
    let check = |what: &str, at: usize, change: &dyn Fn(&mut Vec<Value>), words: &[&str]| {
        let mut changed = records.clone();
        change(&mut changed);
        let count = changed.len() - 1;
        if what != "counted" && changed[count]["event"] == "end" {
            changed[count]["records"] = json!(count);
        }
        let write = |run: &Path| fs::write(run.join(JOURNAL), sealed(&changed)).unwrap();
        let record = format!("record {}: ", at + 1);
        refused(&whole, &["verify"], what, write, &[&[JOURNAL, &record], words].concat());
    };
    let gone = "0".repeat(64);
    let last = end - 1;
    check("begin dropped", 0, &|all| drop(all.remove(0)), &["names its plan"]);
    check("begin doubled", 1, &|all| all.insert(1, all[0].clone()), &["names its plan"]);
    check("another plan", 0, &|all| all[0]["plan"] = json!(gone), &["belongs to the plan"]);
    check("another shard", 0, &|all| all[0]["shards"] = json!(2), &["0/2", "0/1"]);
    check("a picture dropped", looked - 1, &|all| drop(all.remove(drawn)), &["was not drawn before"]);
    check("a picture doubled", drawn + 1, &|all| all.insert(drawn, all[drawn].clone()), &["drawn before"]);
    check("a stranger", drawn, &|all| all[drawn]["sample"] = json!(gone), &["none of this shard's"]);
    check("looked at dropped", last, &|all| drop(all.remove(looked)), &["has not looked at 1 of"]);
    check("the last look dropped", last, &|all| drop(all.remove(last)), &["has not looked at 1 of"]);
    check("looked at doubled", looked + 1, &|all| all.insert(looked, all[looked].clone()), &["looked at it before"]);
    check("by nobody", looked, &|all| all[looked]["instrument"] = json!("nobody"), &["no instrument \"nobody\""]);
    check("at nothing", looked, &|all| all[looked]["picture"] = json!(gone), &["was not drawn before"]);
    check("looked at too early", drawn, &|all| all.swap(drawn, looked), &["was not drawn before"]);
    check("counted", end, &|all| all[end]["records"] = json!(3), &["counts 3 records"]);
    check("after the end", end + 1, &|all| all.push(all[looked].clone()), &["after the record that ends"]);
    check("an unknown event", drawn, &|all| all[drawn]["event"] = json!("painted"), &["painted"]);
    check("an unknown word", drawn, &|all| all[drawn]["mood"] = json!("good"), &["mood"]);
}

#[test]
fn pictures_plan_and_samples_are_what_they_were() {
    let (world, whole) = done();
    let pictures: Vec<PathBuf> = tree(&whole.join("restricted/pictures")).into_keys().collect();
    let named = |index: usize| pictures[index].file_name().unwrap().to_str().unwrap();
    let within = |run: &Path, index: usize| run.join("restricted/pictures").join(&pictures[index]);
    let using = ["verify", "report", "run"];
    let exchange = |run: &Path| drop(fs::copy(within(run, 1), within(run, 0)).map(drop));
    refused(&whole, &using, "another picture", exchange, &[named(0), "does not show"]);
    refused(&whole, &using, "no picture", |run| fs::remove_file(within(run, 1)).unwrap(), &[named(1)]);
    let cut = |run: &Path| {
        let bytes = fs::read(within(run, 2)).unwrap();
        fs::write(within(run, 2), &bytes[..bytes.len() / 2]).unwrap();
    };
    refused(&whole, &using, "half a picture", cut, &[named(2)]);
    let replace = |file: &'static str, from: &'static str, to: &'static str| {
        move |run: &Path| {
            let text = fs::read_to_string(run.join(file)).unwrap();
            assert!(text.contains(from));
            fs::write(run.join(file), text.replacen(from, to, 1)).unwrap();
        }
    };
    let samples = "restricted/samples.jsonl";
    refused(&whole, &ALL, "a prompt", replace(samples, "a hat", "a bat"), &[samples, "is not what the plan"]);
    refused(&whole, &ALL, "a line more", replace(samples, "\n", "\n\n"), &[samples]);
    refused(&whole, &ALL, "a title", replace("plan.json", "Tiny", "Huge"), &[JOURNAL, "belongs to the plan"]);
    refused(&whole, &ALL, "no plan", replace("plan.json", "{", "{{"), &["plan.json"]);
    // While it goes on: pictures are there, and one is exchanged before it is looked at.
    let run = fresh(&whole, &world.path("begun"));
    audit(["run", text(&run), "--stage", "draw"]).ends(0);
    exchange(&run);
    audit(["run", text(&run), "--stage", "look"]).says(4, &[named(0), "does not show"]);
    assert!(!run.join("report").exists());
}

#[test]
fn bundles_and_instruments_are_those_of_the_plan() {
    let world = World::new();
    let planned = world.plan("planned", &few());
    let kept = world.path("kept");
    copy(&world.path("pruned"), &kept);
    // Killed at the fifth picture, which is the subject's second.
    let status = command(["run", text(&planned), "--batch", "1"]).env("PLEACH_KILL_AT", "5").status().unwrap();
    assert!(!status.success());
    scale(&world.path("pruned/unet/model.onnx"), 2.0);
    let before = journal(&planned, "0-of-1");
    audit(["run", text(&planned)]).says(4, &[text(&world.path("pruned")), "is not what the plan was made with"]);
    assert!(before.starts_with(&journal(&planned, "0-of-1")));
    // The right one lies elsewhere.
    audit(["run", text(&planned), "--subject", text(&kept), "--stage", "draw"]).ends(0);

    let eye = world.path("eye");
    classifier(&eye, 4);
    audit(["run", text(&planned)]).says(4, &["the instrument eye", text(&eye)]);
    classifier(&eye, 3);
    audit(["run", text(&planned)]).ends(0);

    // A file that its description pins, when the plan is made.
    let pinned = format!("files = {{ \"model.onnx\" = \"{}\" }}\n", "0".repeat(64));
    let description = fs::read_to_string(eye.join("instrument.toml")).unwrap();
    fs::write(eye.join("instrument.toml"), description.replacen("[instrument]", &format!("{pinned}[instrument]"), 1))
        .unwrap();
    let out = world.path("never");
    audit(["plan", text(&world.path("planned.toml")), "--out", text(&out)]).says(4, &["model.onnx", "pins"]);
    assert!(!out.exists());
}
