//! `pleach generate` as it is typed: what cannot be drawn is told in one line, and leaves nothing behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/optimum_sd2")
}

fn generate(bundle: &Path, out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
    command.args(["generate", "--no-cache", "--steps", "1"]).arg("--out").arg(out).arg(bundle);
    command.args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is said where nothing is drawn, with exit code `code`.
fn refused(code: i32, bundle: &Path, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = generate(bundle, &out, arguments);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(code), &b""[..]), "{}", stderr(&output));
    assert!(!out.exists(), "nothing is left");
    stderr(&output)
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let refused = |arguments: &[&str]| refused(2, &fixture(), arguments);
    assert_eq!(
        refused(&[]),
        "error: no prompt: write one after the bundle, or give --prompts FILE with one in each line\n"
    );
    assert_eq!(refused(&["a star", "--size", "20x16"]), "error: width 20 is not divisible by 16: use 16 or 32\n");
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = generate(Path::new("nothing"), &file.join("out"), &["a star"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        format!("error: cannot write into the folder {}: Not a directory (os error 20)\n", file.join("out").display())
    );
    assert_eq!(fs::read(&file).unwrap(), b"");
}

#[test]
fn a_prompt_of_10_000_words_is_cut_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let output = generate(&fixture(), folder.path(), &["-q", &"cat ".repeat(10_000)]);
    assert_eq!(output.status.code(), Some(0));
    let cats = ["cat "; 10].concat();
    assert_eq!(
        stderr(&output),
        format!("warning: the prompt {:?} is too long: 75 tokens are read, the last 19,925 are dropped\n", cats + "…")
    );
    let picture = String::from_utf8(output.stdout).unwrap();
    assert!(Path::new(picture.trim_end()).is_file(), "{picture}");
}

/// What `pleach coverage` says of the pipeline that Optimum exported.
fn coverage(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
    command.arg("coverage").arg(fixture()).args(arguments).output().unwrap()
}

#[test]
fn coverage_is_told_to_people_and_to_programs() {
    let output = coverage(&["--provider", "nnapi", "--size", "32x16"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("drawing     32x16, one picture at a time\n"), "{text}");
    assert!(text.contains("InstanceNormalization     61  not an operator that it takes\n"), "{text}");
    assert!(text.ends_with("vae_decoder   islands, 129 of 144 nodes in 16 partitions: runs, but slowly\n"), "{text}");
    assert!(stderr(&output).starts_with("warning: NNAPI is deprecated since Android 15"), "{}", stderr(&output));

    let output = coverage(&["--provider", "coreml", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["provider"], &json["size"]), (&"coreml".into(), &"16x16".into()));
    let unet = &json["networks"][1];
    assert_eq!((&unet["component"], &unet["verdict"]), (&"unet".into(), &"whole".into()));
    assert_eq!((&unet["taken"], &unet["partitions"]), (&unet["nodes"], &serde_json::json!([unet["nodes"]])));

    let output = coverage(&["--provider", "tensorrt"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("there are no rules for \"tensorrt\"; there are for coreml, nnapi, qnn and xnnpack")
    );
}

#[test]
fn providers_that_cannot_be_asked_for_are_refused() {
    let refused = |arguments: &[&str]| refused(2, &fixture(), &[&["a star"], arguments].concat());
    let message = refused(&["--provider", "rocm"]);
    let names = "there is no provider \"rocm\"; there are: cpu, cuda, tensorrt, openvino, qnn, xnnpack, coreml, nnapi, directml, webgpu";
    assert!(message.contains(names), "{message}");
    let message = refused(&["--provider", "xnnpack:threads=2"]);
    let keys = "xnnpack has no option \"threads\"; it has: intra_op_num_threads, library";
    assert!(message.contains(keys), "{message}");
    let message = refused(&["--no-cpu-fallback"]);
    assert!(message.starts_with("error: the CPU is refused, so a provider other than cpu must be named"), "{message}");
    let message = refused(&["--provider", ABSENT, "--provider", "cpu"]);
    assert!(message.contains(&format!(" has no provider {ABSENT}; it has: cpu")), "{message}");
}

/// A provider that no library of this platform has.
const ABSENT: &str = if cfg!(windows) { "coreml" } else { "directml" };

#[test]
fn where_fallback_is_allowed_the_cpu_draws() {
    let folder = tempfile::tempdir().unwrap();
    let output = generate(&fixture(), folder.path(), &["a star", "--provider", ABSENT, "--allow-fallback"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains(&format!("warning: goes on without {ABSENT}: ONNX Runtime ")), "{message}");
}

#[test]
fn inspecting_with_a_provider_tells_where_nodes_are() {
    let inspect = |arguments: &[&str]| -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
        let output = command.arg("inspect").arg(fixture()).arg("--json").args(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let report = inspect(&["--provider", "cpu"]);
    let placements = report["placements"].as_array().unwrap();
    assert_eq!(placements.len(), 3);
    assert_eq!(placements[1]["graph"], "unet/model.onnx");
    assert_eq!(placements[1]["placement"][0]["provider"], "cpu");
    assert!(placements[1]["placement"][0]["nodes"].as_u64().unwrap() > 100);
    assert!(inspect(&[]).get("placements").is_none(), "no network is opened");
}

#[test]
fn help_tells_of_commands_and_of_programs() {
    let pleach = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_pleach")).args(arguments).output().unwrap();
    for arguments in [&["--help"][..], &["help"]] {
        let text = String::from_utf8(pleach(arguments).stdout).unwrap();
        assert!(text.contains("  generate ") && text.contains("pleach-export"), "{text}");
    }
    let text = String::from_utf8(pleach(&["help", "generate"]).stdout).unwrap();
    assert!(text.contains("Usage: pleach generate [OPTIONS] <BUNDLE> [PROMPT]..."), "{text}");
    let output = pleach(&["help", "exprt"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("error: there is no command `exprt`"), "{}", stderr(&output));
}
