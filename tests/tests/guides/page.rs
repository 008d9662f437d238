//! A page of Markdown whose `sh` blocks are a script.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAMS: [&str; 4] = ["pleach", "pleach-export", "pleach-train", "pleach-audit"];

/// Says which line of the page failed, and ends there.
const SHELL: &str = r#"set -Eeuo pipefail; trap 'echo "line $LINENO failed: $BASH_COMMAND" >&2' ERR; . "$0""#;

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The page with everything but its `sh` blocks blank, so that lines keep their numbers; and how many blocks there are.
pub fn script(page: &str) -> (String, usize) {
    let (mut script, mut inside, mut blocks) = (String::new(), false, 0);
    for line in page.lines() {
        if inside && line.trim_end() != "```" {
            script += line;
        } else {
            let begins = line.trim_end() == "```sh";
            (inside, blocks) = (begins, blocks + usize::from(begins));
        }
        script.push('\n');
    }
    (script, blocks)
}

/// Folder of the programs as this test was built with them.
fn programs() -> PathBuf {
    let this = env::current_exe().unwrap();
    let folder = this.parent().and_then(Path::parent).unwrap().to_owned();
    for name in PROGRAMS {
        let program = folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        assert!(program.is_file(), "{} is not there: `cargo build --workspace --bins` makes it", program.display());
    }
    folder
}

/// Runs the `sh` blocks of a page of the repository, of which there are so many, in `folder`, with these variables.
///
/// The programs find nothing of the user's: neither a token nor a cache.
pub fn run(page: &str, blocks: usize, folder: &Path, variables: &[(&str, String)]) {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let (script, found) = script(&text);
    assert_eq!(found, blocks, "blocks of commands in {page}");
    let file = folder.join("page.sh");
    fs::write(&file, script).unwrap();
    let home = folder.join("home");
    fs::create_dir_all(&home).unwrap();
    let users = env::var_os("PATH").unwrap_or_default();
    let path = [programs()].into_iter().chain(env::split_paths(&users));
    let mut command = Command::new("bash");
    for name in ["HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "BASH_ENV"] {
        command.env_remove(name);
    }
    // In .cargo/config.toml it is relative to the workspace, and cargo makes it whole; one of the user's may be anything.
    let library = env::var_os("ORT_DYLIB_PATH").map(|path| fs::canonicalize(&path).unwrap_or_else(|_| path.into()));
    if let Some(library) = library {
        command.env("ORT_DYLIB_PATH", library);
    }
    command.env("PATH", env::join_paths(path).unwrap()).env("HOME", &home).env("HF_HOME", home.join("huggingface"));
    // Several threads for networks this small wait for each other.
    command.env("OMP_NUM_THREADS", "1");
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.args(["-c", SHELL]).arg(&file).current_dir(folder).output().unwrap();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = error.lines().rev().take(40).collect();
        panic!("{page}: {}\n{}", output.status, last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn commands_keep_the_lines_that_they_have_on_the_page() {
    let page = "# A\n\n```sh\none\n```\n```console\nnot this\n```\n```sh\ntwo \\\n  three\n```\n";
    assert_eq!(script(page), ("\n\n\none\n\n\n\n\n\ntwo \\\n  three\n\n".to_owned(), 2));
}

#[cfg(unix)]
#[test]
#[should_panic(expected = "line 6 failed: false")]
fn a_command_that_fails_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    fs::write(&page, "```sh\ntrue\n```\n\n```sh\nfalse\ntrue\n```\n").unwrap();
    run(page.to_str().unwrap(), 2, folder.path(), &[]);
}
