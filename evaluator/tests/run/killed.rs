//! Runs that are killed at any record go on, and leave what a run leaves that nobody killed.

use crate::{
    audit,
    program::{Ended, assert_same, command, journal, tree},
    world::{Asked, World, fresh, text},
};
use std::{fs, os::unix::process::ExitStatusExt, path::Path, thread};

const KILL: i32 = 9;

/// Two pictures of one prompt.
fn few() -> Asked<'static> {
    Asked { prompts: &["a red cube"], ..Asked::default() }
}

/// A run that is killed at a record.
#[track_caller]
fn kill(run: &Path, at: &str, batch: &str) {
    let output = command(["run", text(run), "--batch", batch]).env("PLEACH_KILL_AT", at).output().unwrap();
    assert_eq!(output.status.signal(), Some(KILL), "{at}: {}", Ended::of(output).err);
}

#[test]
fn killed_at_any_record_a_run_goes_on_to_the_same_bytes() {
    let world = World::new();
    let whole = world.plan("whole", &few());
    audit(["run", text(&whole)]).ends(0);
    let expected = tree(&whole);
    let sealed = journal(&whole, "0-of-1");
    let records = sealed.lines().count();
    assert_eq!(records, 1 + 4 + 8 + 1);
    let cases: Vec<(usize, &str)> = (0..records).flat_map(|at| [(at, ""), (at, "+")]).collect();
    let go_on = |cases: &[(usize, &str)]| {
        for &(at, end) in cases {
            let run = fresh(&whole, &world.path(&format!("killed-{at}{end}")));
            let batch = ["1", "3", "16"][at % 3];
            kill(&run, &format!("{at}{end}"), batch);
            let left = journal(&run, "0-of-1");
            assert!(sealed.starts_with(&left) && left.len() < sealed.len() + usize::from(end == "+"));
            assert_eq!(left.matches('\n').count(), at + usize::from(end == "+"));
            assert_eq!(left.ends_with('\n'), end == "+");
            assert!(!run.join("report").exists());
            audit(["run", text(&run)]).ends(0);
            assert_same(&tree(&run), &expected, &format!("{at}{end}"));
            fs::remove_dir_all(&run).unwrap();
        }
    };
    let (first, second) = cases.split_at(cases.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| go_on(first));
        go_on(second);
    });
}

#[test]
fn killed_again_and_again_in_one_folder_it_ends_with_the_same_bytes() {
    let world = World::new();
    let whole = world.plan("whole", &few());
    audit(["run", text(&whole)]).ends(0);
    let run = fresh(&whole, &world.path("killed"));
    for at in (0..journal(&whole, "0-of-1").lines().count()).step_by(2) {
        // Twice at the same place, then right after it.
        for end in ["", "", "+"] {
            kill(&run, &format!("{at}{end}"), "4");
        }
    }
    audit(["run", text(&run)]).ends(0);
    assert_same(&tree(&run), &tree(&whole), "killed again and again");
}

#[test]
fn a_picture_that_was_kept_and_not_told_of_is_drawn_again() {
    let world = World::new();
    let whole = world.plan("whole", &few());
    audit(["run", text(&whole)]).ends(0);
    let expected = tree(&whole);
    let pictures = |run: &Path| -> Vec<_> {
        let all = tree(&run.join("restricted/pictures"));
        all.into_keys().map(|name| run.join("restricted/pictures").join(name)).collect()
    };
    // Both of the baseline are kept, and the first one's record was being written.
    for (case, garbage) in [("kept", None), ("gone", None), ("broken", Some(&b"not a picture"[..]))] {
        let run = fresh(&whole, &world.path(case));
        kill(&run, "1", "16");
        assert_eq!(pictures(&run).len(), 2);
        let broken = pictures(&run)[0].clone();
        match garbage {
            _ if case == "kept" => {}
            None => fs::remove_file(&broken).unwrap(),
            Some(garbage) => fs::write(&broken, garbage).unwrap(),
        }
        let ended = audit(["run", text(&run)]);
        if garbage.is_none() {
            ended.ends(0);
            assert_same(&tree(&run), &expected, case);
        } else {
            ended.says(4, &[text(&broken), "neither a PNG nor a JPEG"]);
        }
    }
}
