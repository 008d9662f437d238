//! Runs the program, and looks at what it leaves.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Variables of schedulers, which may be set where tests run.
const SCHEDULERS: [&str; 6] =
    ["RANK", "WORLD_SIZE", "SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "JOB_COMPLETION_INDEX", "PLEACH_SHARDS"];

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The command, not run yet.
pub fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pleach-audit"));
    let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    // Threads that wait for each other take longer over graphs this small than one alone.
    let threads = if args[0] == "run" { &["--threads", "1"][..] } else { &[] };
    command.args(args).args(threads).stdin(Stdio::null());
    for variable in SCHEDULERS {
        command.env_remove(variable);
    }
    command
}

/// Runs the program.
pub fn audit<'a>(args: impl IntoIterator<Item = &'a str>) -> Ended {
    Ended::of(command(args).output().unwrap())
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It ended with this code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// It ended with this code, and said all of this.
    #[track_caller]
    pub fn says(self, code: i32, all: &[&str]) -> Self {
        let ended = self.ends(code);
        for words in all {
            assert!(
                ended.err.contains(words) || ended.out.contains(words),
                "{words:?} in:\n{}\n{}",
                ended.out,
                ended.err
            );
        }
        ended
    }
}

/// Every file below a folder, by its path there.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Two folders hold the same files with the same bytes.
#[track_caller]
pub fn assert_same(found: &BTreeMap<PathBuf, Vec<u8>>, expected: &BTreeMap<PathBuf, Vec<u8>>, what: &str) {
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{what}: {} has other bytes", name.display());
    }
}

/// The text of a journal.
pub fn journal(run: &Path, shard: &str) -> String {
    fs::read_to_string(run.join(format!("journal/{shard}.journal"))).unwrap()
}
