//! The command that makes the small world's base model, interrupted in every way that people and machines know.
#![cfg(unix)]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::tempdir;

/// An autoencoder so small that a step takes milliseconds.
const RECIPE: &str = r#"
pictures = 24
threads = 1
[vae]
channels = [8, 8]
groups = 4
batch = 2
[vae.loop]
steps = 40
ema = 0.9
report_every = 5
sample_every = 20
checkpoint_every = 4
"#;

fn command(recipe: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pleach-train"));
    command.args(["pretrain", "--stage", "vae", "--recipe"]).arg(recipe).arg("--out").arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn weights(out: &Path) -> Vec<u8> {
    fs::read(out.join("pipeline/vae/diffusion_pytorch_model.safetensors")).unwrap()
}

fn checkpoints(out: &Path) -> Vec<String> {
    let entries = fs::read_dir(out.join("vae/checkpoints")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn wait_for(path: &Path, child: &mut Child) {
    let begin = Instant::now();
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {} was there", path.display());
        assert!(begin.elapsed() < Duration::from_secs(120), "{} is never there", path.display());
        thread::sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

/// Runs until the first checkpoint, and is then sent a signal.
fn stopped_by(name: &str, recipe: &Path, out: &Path) -> Output {
    let mut child = command(recipe, out).spawn().unwrap();
    wait_for(&out.join("vae/checkpoints/000004"), &mut child);
    signal(&child, name);
    child.wait_with_output().unwrap()
}

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    let folder = tempdir().unwrap();
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, RECIPE).unwrap();
    let whole = folder.path().join("whole");
    let output = command(&recipe, &whole).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = weights(&whole);
    for name in ["KILL", "INT"] {
        let out = folder.path().join(name);
        let stopped = stopped_by(name, &recipe, &out);
        assert!(!out.join("pipeline/vae").exists(), "{name} came too late to tell anything");
        if name == "INT" {
            assert_eq!(stopped.status.code(), Some(3));
            assert!(stderr(&stopped).contains("the same command with --resume goes on from there"));
        }
        let output = command(&recipe, &out).arg("--resume").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(weights(&out) == expected, "{name}");
    }
}

#[test]
fn a_second_interruption_ends_it_at_once() {
    let folder = tempdir().unwrap();
    let (recipe, out) = (folder.path().join("recipe.toml"), folder.path().join("out"));
    // A step that takes long enough to press twice within it.
    fs::write(&recipe, RECIPE.replace("batch = 2", "batch = 512").replace("pictures = 24", "pictures = 512")).unwrap();
    let mut child = command(&recipe, &out).spawn().unwrap();
    wait_for(&out.join("vae/metrics.jsonl"), &mut child);
    signal(&child, "INT");
    thread::sleep(Duration::from_millis(50));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// The limit on file sizes stands in for a full disk: the write fails in the middle of a checkpoint.
#[test]
fn a_full_disk_leaves_the_last_checkpoint() {
    let folder = tempdir().unwrap();
    let (recipe, out) = (folder.path().join("recipe.toml"), folder.path().join("out"));
    fs::write(&recipe, RECIPE).unwrap();
    assert_eq!(stopped_by("INT", &recipe, &out).status.code(), Some(3));
    let before = checkpoints(&out);

    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_pleach-train")]);
    limited.args(["pretrain", "--stage", "vae", "--resume", "--recipe"]).arg(&recipe).arg("--out").arg(&out);
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("File too large"), "{}", stderr(&output));
    assert_eq!(checkpoints(&out), before);

    let output = command(&recipe, &out).arg("--resume").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn recipes_are_checked() {
    let folder = tempdir().unwrap();
    let (recipe, out) = (folder.path().join("recipe.toml"), folder.path().join("out"));
    fs::write(&recipe, RECIPE).unwrap();
    let complaint = |arguments: &[&str]| {
        let output = command(&recipe, &out).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    };
    let unknown = complaint(&["--set", "vae.bach=1"]);
    assert!(unknown.contains("`vae.bach` is no key of the recipe; did you mean `vae.batch`?"), "{unknown}");
    let zero = complaint(&["--set", "vae.loop.steps=0"]);
    assert!(zero.contains("`steps` is 0; it must be at least 1"), "{zero}");
    assert!(!out.exists(), "a recipe that cannot be followed leaves nothing");
    assert!(command(&recipe, &out).output().unwrap().status.success());
    let exists = complaint(&[]);
    assert!(exists.contains("holds a run already: continue it with --resume, or choose another folder"), "{exists}");
    fs::remove_dir_all(out.join("pipeline/vae")).unwrap();
    let changed = complaint(&["--resume", "--set", "vae.kl=0.5"]);
    assert!(changed.contains("`vae.kl` was 0.0001 and is now 0.5;"), "{changed}");
}
