//! Disks that are full, and folders that cannot be written.

use crate::{
    audit,
    program::{assert_same, tree},
    world::{Asked, World, fresh, text},
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const PAGE: usize = 4096;

/// Past the harness, which keeps what tests that pass print.
fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "{why}");
}

/// A small file system of its own, gone with this.
struct Small(PathBuf);

impl Small {
    /// None where this process may not mount, which is told.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs", text(&at)]);
        if !mounted {
            skip("skipped: no file system can be mounted here");
        }
        mounted.then_some(Self(at))
    }

    /// Leaves room for so many pages.
    fn leave(&self, pages: usize) {
        let ballast = self.0.join("ballast");
        let _ = fs::remove_file(&ballast);
        let filled = (0..).take_while(|_| append(&ballast)).count();
        fs::OpenOptions::new()
            .write(true)
            .open(&ballast)
            .unwrap()
            .set_len((filled.saturating_sub(pages) * PAGE) as u64)
            .unwrap();
    }
}

fn append(file: &Path) -> bool {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(&[7; PAGE]).is_ok()
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(args: &[&str]) -> bool {
    Command::new("mount").args(args).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_is_told_and_gone_on_from_to_the_same_bytes() {
    let world = World::new();
    let whole = world.plan("whole", &Asked { prompts: &["a cube", "a hat"], images: 1, ..Asked::default() });
    audit(["run", text(&whole)]).ends(0);
    let expected = tree(&whole);
    let Some(disk) = Small::mount(world.path("small")) else { return };
    let run = fresh(&whole, &world.path("small/run"));
    // A little more room each time: the disk is full at the journal, at pictures and at the report.
    let mut full_at: Vec<String> = Vec::new();
    let mut reports = 0;
    for pages in (1..200).step_by(4) {
        disk.leave(pages);
        let ended = audit(["run", text(&run)]);
        if ended.code == Some(0) {
            break;
        }
        let said = ended.says(3, &["No space left on device"]).err;
        reports += usize::from(said.contains("run/report"));
        full_at.push(said);
        disk.leave(1000);
        assert!(!run.join("report").exists());
        assert!(matches!(audit(["verify", text(&run)]).code, Some(0 | 3)));
    }
    assert_same(&tree(&run), &expected, "full");
    let at = |what: &str| full_at.iter().filter(|said| said.contains(what)).count();
    assert!(at("restricted/pictures") > 0 && reports > 1, "{full_at:#?}");

    // The journal itself: everything is drawn, and there is no room for what is seen.
    // Of so many that what is seen does not fit into the page that the journal's end is in.
    disk.leave(1000);
    let many = world.plan("many", &Asked { prompts: &["a cube", "a hat"], images: 8, ..Asked::default() });
    audit(["run", text(&many)]).ends(0);
    let run = fresh(&many, &world.path("small/again"));
    audit(["run", text(&run), "--stage", "draw"]).ends(0);
    disk.leave(0);
    audit(["run", text(&run)]).says(3, &["0-of-1.journal", "No space left on device"]);
    disk.leave(1000);
    audit(["run", text(&run)]).ends(0);
    assert_same(&tree(&run), &tree(&many), "a full disk at the journal");

    // Merging and reporting elsewhere: nothing is left where there was no room.
    disk.leave(3);
    for args in [["merge", text(&whole), "--out"], ["report", text(&whole), "--out"]] {
        let out = world.path("small/out");
        audit(args.into_iter().chain([text(&out)])).says(3, &["No space left on device"]);
        assert!(!out.exists());
    }
    assert!(
        fs::read_dir(world.path("small"))
            .unwrap()
            .all(|entry| { ["ballast", "run", "again"].contains(&entry.unwrap().file_name().to_str().unwrap()) })
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_no_run_to_go_on_with() {
    let world = World::new();
    let whole = world.plan("whole", &Asked { prompts: &["a cube"], images: 1, ..Asked::default() });
    let Some(disk) = Small::mount(world.path("small")) else { return };
    let run = fresh(&whole, &disk.0.join("run"));
    let begun = fresh(&whole, &disk.0.join("begun"));
    let done = fresh(&whole, &disk.0.join("done"));
    audit(["run", text(&begun), "--stage", "draw"]).ends(0);
    audit(["run", text(&done)]).ends(0);
    if !mount(&["-o", "remount,ro", text(&disk.0)]) {
        skip("skipped: a file system cannot be made read-only here");
        return;
    }
    for run in [&run, &begun] {
        audit(["run", text(run)]).says(2, &[text(run), "Read-only file system"]);
    }
    // What only reads works still.
    audit(["verify", text(&done)]).ends(0);
    audit(["status", text(&begun)]).ends(3);
    audit(["report", text(&done)]).says(2, &["Read-only file system"]);
    let out = world.path("report");
    audit(["report", text(&done), "--out", text(&out)]).ends(0);
    assert_same(&tree(&out), &tree(&done.join("report")), "reported elsewhere");
}
