//! Runs that are stopped, done in stages, or started twice.

use crate::{
    audit,
    program::{Ended, assert_same, command, journal, tree},
    world::{Asked, World, fresh, text},
};
use std::{
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

fn few() -> Asked<'static> {
    Asked { prompts: &["a red cube", "a hat", "a red cube"], images: 1, ..Asked::default() }
}

#[test]
fn a_run_without_time_stops_at_once_and_goes_on() {
    let world = World::new();
    let whole = world.plan("whole", &few());
    audit(["status", text(&whole)]).ends(3);
    audit(["verify", text(&whole)]).ends(3);
    audit(["report", text(&whole)]).says(3, &["INCOMPLETE: 6 of 6 pictures are not done yet"]);
    audit(["run", text(&whole)]).ends(0);
    let run = fresh(&whole, &world.path("stopped"));
    audit(["run", text(&run), "--time-limit", "0"]).says(3, &["the same command goes on"]);
    assert_eq!(journal(&run, "0-of-1").lines().count(), 1);
    audit(["run", text(&run), "--stage", "draw"]).ends(0);
    audit(["run", text(&run), "--time-limit", "0"]).says(3, &["the same command goes on"]);
    audit(["run", text(&run), "--time-limit", "600"]).ends(0);
    assert_same(&tree(&run), &tree(&whole), "stopped");
}

#[test]
fn one_stage_after_the_other_leaves_what_both_at_once_do() {
    let world = World::new();
    let whole = world.plan("whole", &few());
    audit(["run", text(&whole)]).ends(0);
    let run = fresh(&whole, &world.path("stages"));
    audit(["run", text(&run), "--stage", "look"]).says(3, &["not drawn yet"]);
    audit(["run", text(&run), "--stage", "draw"]).ends(0);
    assert!(!run.join("report").exists());
    audit(["run", text(&run), "--stage", "draw"]).ends(0);
    audit(["run", text(&run), "--stage", "look"]).ends(0);
    assert_same(&tree(&run), &tree(&whole), "stages");
    // A run that is done is left alone, and its report is written again as it was.
    audit(["run", text(&run)]).ends(0);
    audit(["report", text(&run)]).ends(0);
    assert_same(&tree(&run), &tree(&whole), "done already");
}

/// Waits until a journal has so many records.
fn wait(run: &Path, records: usize) {
    let begun = Instant::now();
    while !run.join("journal/0-of-1.journal").exists() || journal(run, "0-of-1").lines().count() < records {
        assert!(begun.elapsed() < Duration::from_secs(100), "nothing is drawn");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn signals_stop_a_run_after_a_step_and_a_second_process_is_refused() {
    let world = World::new();
    let whole = world.plan("whole", &Asked { steps: 12, ..few() });
    audit(["run", text(&whole)]).ends(0);
    let run = fresh(&whole, &world.path("stopped"));
    for (signal, records) in [(libc::SIGINT, 2), (libc::SIGTERM, 4)] {
        let mut command = command(["run", text(&run), "--batch", "1"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait(&run, records);
        let second = audit(["run", text(&run)]);
        // SAFETY: a signal to a child of this process that was not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        second.says(2, &["0-of-1.journal is being written by another process"]);
        Ended::of(child.wait_with_output().unwrap()).says(3, &["the same command goes on"]);
        assert!(!run.join("report").exists());
        audit(["verify", text(&run)]).ends(3);
    }
    audit(["run", text(&run)]).ends(0);
    assert_same(&tree(&run), &tree(&whole), "stopped by signals");
}
