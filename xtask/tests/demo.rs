//! The demo with so few steps that it takes seconds: interrupted and started again it makes the same bytes.
#![cfg(unix)]
#![allow(clippy::print_stderr, reason = "when it was interrupted is what a failure is repeated with")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// The folder of Pleach's programs, which `cargo test --workspace` builds; none where only this package is tested.
fn programs() -> Option<PathBuf> {
    let folder = Path::new(XTASK).parent()?;
    let all = ["pleach", "pleach-export", "pleach-train", "pleach-audit"];
    all.iter().all(|name| folder.join(name).is_file()).then(|| folder.to_owned())
}

fn start(programs: &Path, out: &Path) -> Child {
    let mut command = Command::new(XTASK);
    command.args(["demo", "--quick", "--programs"]).arg(programs).arg("--out").arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs it to its end, and gives what it printed.
fn finish(programs: &Path, out: &Path) -> String {
    let output = start(programs, out).wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The files of a folder, by their paths in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn interrupted_three_times_and_started_again_the_demo_makes_the_same_bytes() {
    let Some(programs) = programs() else {
        eprintln!("skipped: the programs are not built; cargo test --workspace builds them");
        return;
    };
    let tmp = tempfile::tempdir().unwrap();
    let (out, kept) = (tmp.path().join("demo"), tmp.path().join("uninterrupted"));
    let begun = SystemTime::now();
    let summary = finish(&programs, &out);
    let whole = begun.elapsed().unwrap();
    for said in
        ["striped, as asked", "other styles, as asked", "multiply-accumulates", "bundle, one picture", "grid.png"]
    {
        assert!(summary.contains(said), "{said}: {summary}");
    }
    assert!(out.join("grid.png").is_file() && out.join("audit/report/index.html").is_file());
    // Nothing is left to do, and the summary is the same.
    let again = finish(&programs, &out);
    assert!(!again.contains("[1/") && summary.ends_with(again.trim_start()), "{again}");
    fs::rename(&out, &kept).unwrap();

    let chance = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let delays: Vec<Duration> =
        (0..3).map(|i| whole.mul_f64(f64::from(chance >> (8 * i) & 255) / 255.0 / 3.0)).collect();
    eprintln!("interrupted after {delays:?}, of {whole:?}");
    for (i, delay) in delays.into_iter().enumerate() {
        let mut child = start(&programs, &out);
        std::thread::sleep(delay);
        if i == 1 {
            // Nothing can be said any more; the command at work ends by itself.
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(matches!(output.status.code(), Some(0 | 1) | None), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    finish(&programs, &out);
    for made in ["bundle", "audit/report", "audit-before/report", "grid"] {
        let [one, other] = [&kept, &out].map(|out| contents(&out.join(made)));
        assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{made}");
        for (name, bytes) in &one {
            assert!(*bytes == other[name], "{made}/{} is another", name.display());
        }
    }
}
