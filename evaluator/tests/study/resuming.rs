//! Studies that are stopped, fail, are changed and are divided.

use crate::ground::Ground;
use pleach_evaluator::{
    run::Shard,
    study::{CellStatus, Error, Step, StepKind, StudyStatus, Watch},
};
use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Stops at the beginning of so many steps of a kind, a moment later.
struct Stops {
    kind: StepKind,
    after: usize,
    begun: AtomicUsize,
    asked: AtomicUsize,
}

impl Stops {
    fn at(kind: StepKind, after: usize) -> Self {
        Self { kind, after, begun: AtomicUsize::new(0), asked: AtomicUsize::new(0) }
    }
}

impl Watch for Stops {
    fn begin(&self, step: &Step) {
        if step.kind == self.kind {
            self.begun.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn done(&self, _: &Step) {}

    fn failed(&self, step: &Step, error: &Error) {
        panic!("{}: {error}", step.name);
    }

    fn stopped(&self) -> bool {
        self.begun.load(Ordering::SeqCst) >= self.after && self.asked.fetch_add(1, Ordering::SeqCst) > 3
    }
}

#[test]
fn a_study_whose_command_is_killed_goes_on_and_does_nothing_twice() {
    let ground = Ground::new();
    let wait = ground.path().join("wait");
    // The prepared folder first; then commands that would run for a minute.
    let begun = Instant::now();
    fs::write(&wait, "").unwrap();
    let error = ground.conduct(&Stops::at(StepKind::Prepare, 1), Shard::WHOLE).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(ground.steps(".partial").len(), 1);
    fs::remove_file(&wait).unwrap();
    ground.calls();
    let error = ground.conduct(&Stops::at(StepKind::Export, 2), Shard::WHOLE).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    let (done, before) = (ground.steps(""), ground.calls().len());
    assert!(!done.is_empty());
    let study = ground.finish();
    assert_eq!(study.status, StudyStatus::Complete);
    let after = ground.calls().len();
    // 1 prepared, 7 trained, 6 exported; what was being done when it was stopped may be done again.
    assert!((14..=16).contains(&(before + after)), "{before} + {after}");
    assert!(ground.steps(".partial").is_empty());
    assert_eq!(ground.finish(), study);
    assert!(ground.calls().is_empty());
}

#[test]
fn a_study_stopped_while_it_draws_finds_the_same_as_one_that_is_not() {
    let (whole, stopped) = (Ground::new(), Ground::new());
    let error = stopped.conduct(&Stops::at(StepKind::Draw, 2), Shard::WHOLE).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    let (mut a, mut b) = (whole.finish(), stopped.finish());
    for study in [&mut a, &mut b] {
        // Seconds and the folders' names differ.
        study.cells.iter_mut().for_each(|cell| {
            cell.steps.iter_mut().for_each(|step| step.seconds = None);
            cell.seconds = None;
            cell.audit_sha256 = None;
        });
        study.rows.iter_mut().for_each(|row| row.seconds = None);
        study.programs.clear();
    }
    assert_eq!(a, b);
}

#[test]
fn a_cell_that_fails_is_told_and_the_others_are_done() {
    let mut ground = Ground::new();
    ground.change(r#"run = ["forget", "{start}", "{change}", "--out", "{out}"]"#, r#"run = ["fail", "{out}"]"#);
    let study = ground.finish();
    assert_eq!(study.status, StudyStatus::Failed);
    let failed: Vec<_> = study.cells.iter().filter(|cell| cell.status == CellStatus::Failed).collect();
    assert_eq!(failed.len(), 4);
    assert!(failed.iter().all(|cell| cell.method == "one"));
    let failure = failed[0].failure.as_deref().unwrap();
    assert!(failure.contains("pleach-train ended with exit status: 7"), "{failure}");
    assert!(failure.ends_with("one line\nthe loss is not a number"), "{failure}");
    assert_eq!(failed[0].steps[0].exit_code, Some(7));
    // The four cells need one step, which is tried once.
    assert_eq!(ground.calls().iter().filter(|call| call.starts_with("train fail")).count(), 1);
    assert_eq!(ground.steps(".failed").len(), 1);
    let row = study.rows.iter().find(|row| row.method == "one").unwrap();
    assert_eq!((row.done, row.cells), (0, 4));
    assert!(row.values.iter().all(|value| value.estimate.is_none() && value.pictures == 0));
    // It is tried again, and what is mended is done.
    ground.finish();
    assert_eq!(ground.calls(), [format!("train fail {}", out(&ground))]);
    ground.change(r#"run = ["fail", "{out}"]"#, r#"run = ["idle", "{out}"]"#);
    let idle = ground.finish();
    let failure = idle.cells.iter().find_map(|cell| cell.failure.clone()).unwrap();
    assert!(failure.contains("ended well and made no {out}"), "{failure}");
}

fn out(ground: &Ground) -> String {
    let failed = ground.steps(".failed").remove(0).replace(".failed", ".partial");
    ground.store().path().join("steps").join(failed).join("out").display().to_string()
}

#[test]
fn settings_that_change_do_again_only_what_depends_on_them() {
    let mut ground = Ground::new();
    let before = ground.finish();
    ground.calls();
    ground.change("s/0.013/0.0{seed}5/", "s/0.013/0.0{seed}6/");
    let after = ground.finish();
    let calls = ground.calls();
    // The second command of one method, for 2 concepts and 2 seeds, and its export.
    assert_eq!(calls.iter().filter(|call| call.starts_with("train")).count(), 4, "{calls:#?}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("export")).count(), 4);
    for (a, b) in before.cells.iter().zip(&after.cells) {
        assert_eq!(a == b, a.method != "two & one", "{}", a.method);
    }
    // Back again, nothing is to be done.
    ground.change("s/0.013/0.0{seed}6/", "s/0.013/0.0{seed}5/");
    assert_eq!(ground.finish(), before);
    assert!(ground.calls().is_empty());
    // Another start changes all of it.
    fs::write(ground.path().join("start/note.txt"), "another").unwrap();
    let keys =
        |plan: pleach_evaluator::study::Plan| -> Vec<_> { plan.cells.iter().map(|cell| cell.compare.key).collect() };
    let other = keys(ground.plan().unwrap());
    fs::remove_file(ground.path().join("start/note.txt")).unwrap();
    let same = keys(ground.plan().unwrap());
    assert!(other.iter().zip(&same).all(|(a, b)| a != b));
}

#[test]
fn methods_of_one_template_differ_in_their_variables_and_are_the_steps_that_they_would_be_without_it() {
    let mut ground = Ground::new();
    let written = ground.plan().unwrap();
    ground.change("title =", "variables = { step = \"s/0.013/0.02/\" }\ntitle =");
    let command = "[[method.command]]\nrun = [\"forget\", \"{start}\", \"{change}\", \"--out\", \"{out}\"]\n";
    let template = "\n[template.once]\ncommand = [{ run = [\"forget\", \"{start}\", \"{step}\", \"--out\", \"{out}\"] }]\n\n[[method]]\n        name = \"like one\"\ntemplates = [\"once\"]\n";
    ground.change(
        command,
        &format!("templates = [\"once\"]\nvariables = {{ step = \"s/leading/linspace/\" }}\n{template}"),
    );
    let plan = ground.plan().unwrap();
    let key = |plan: &pleach_evaluator::study::Plan, method: &str, concept: &str| {
        let of = |cell: &&pleach_evaluator::study::Cell| cell.method == method && cell.concept == concept;
        plan.cells.iter().find(of).map(|cell| cell.train[0].key).unwrap()
    };
    // The concept `dotted` changes the same, `flat` what the study's variable says.
    assert_eq!(key(&plan, "one", "dotted"), key(&written, "one", "dotted"));
    assert_ne!(key(&plan, "one", "flat"), key(&written, "one", "flat"));
    assert_eq!(key(&plan, "like one", "flat"), key(&written, "one", "flat"));
    assert_eq!(plan.cells.len(), written.cells.len() + 4);
}

#[test]
fn shards_do_their_part_and_together_everything() {
    let mut ground = Ground::new();
    ground.change("kind = \"none\"", "kind = \"none\"\ncompared = false");
    ground.change("only = { style = [\"{concept}\"] }", "only = { style = [\"{concept}\"], shape = [\"{shapes}\"] }");
    ground.change("[inputs]", "[variables]\nshapes = [\"star\", \"ring\"]\n\n[inputs]");
    let first = ground.conduct(&(), Shard { index: 0, count: 2 }).unwrap();
    assert_eq!(first.status, StudyStatus::Incomplete);
    let done: Vec<bool> = first.cells.iter().map(|cell| cell.status == CellStatus::Done).collect();
    assert!(done.contains(&true) && done.contains(&false), "{done:?}");
    assert!(first.limits.iter().any(|limit| limit.contains("cells are not done")));
    let second = ground.conduct(&(), Shard { index: 1, count: 2 }).unwrap();
    assert_eq!(second.status, StudyStatus::Complete);
    // Only what is to be compared is.
    assert_eq!(second.comparisons.len(), 6);
    assert!(second.comparisons.iter().all(|comparison| comparison.method == "one"));
    // Both items of the list were put in.
    assert_eq!(second.rows[0].values[0].prompts, 8);
}
