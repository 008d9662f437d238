//! `pleach pull` against a server in the same process.

#[path = "../../hub/tests/server/mod.rs"]
#[allow(dead_code, reason = "the tests of the hub script more")]
mod server;

use serde_json::Value;
use server::{COMMIT, Repository, Server, storage};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A checkpoint with two variants of the weights, and an ONNX pipeline beside it.
const FILES: [(&str, &[u8]); 14] = [
    ("README.md", b"text"),
    ("model_index.json", b"{}"),
    ("scheduler/scheduler_config.json", b"{}"),
    ("text_encoder/config.json", b"{}"),
    ("text_encoder/model.safetensors", b"text encoder"),
    ("tokenizer/vocab.json", b"{}"),
    ("unet/config.json", b"{}"),
    ("unet/diffusion_pytorch_model.bin", b"a pickle"),
    ("unet/diffusion_pytorch_model.fp16.safetensors", b"half"),
    ("unet/diffusion_pytorch_model.safetensors", b"unet"),
    ("unet/model.onnx", b"graph"),
    ("unet/model.onnx_data", b"weights"),
    ("vae/config.json", b"{}"),
    ("vae/diffusion_pytorch_model.safetensors", b"vae"),
];

struct World {
    server: Server,
    home: TempDir,
}

impl World {
    fn new() -> Self {
        let bodies: Vec<&[u8]> = FILES.iter().map(|(_, body)| *body).collect();
        let repository = Repository::new(&FILES, &storage(&bodies));
        let server = Server::start(move |request| repository.answer(request));
        Self { server, home: tempfile::tempdir().unwrap() }
    }

    fn pull(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
        for name in ["HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", &self.server.address);
        command.arg("pull").args(arguments).output().unwrap()
    }

    fn snapshot(&self) -> PathBuf {
        self.home.path().join("hub/models--org--name/snapshots").join(COMMIT)
    }

    /// The files that are told to be there, which are.
    fn files(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.pull(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", error(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = [("repository", "org/name"), ("commit", COMMIT)];
        assert!(expected.iter().all(|(key, value)| report[key] == *value), "{report}");
        let folder = Path::new(report["folder"].as_str().unwrap());
        assert_eq!(folder, self.snapshot());
        let files: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
        assert!(files.iter().all(|file| folder.join(file).is_file()), "{files:?}");
        files
    }
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_checkpoint_is_fetched_and_its_folder_told() {
    let world = World::new();
    let output = world.pull(&["org/name"]);
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), format!("{}\n", world.snapshot().display()));
    assert_eq!(error(&output), format!("      Pulled org/name@{COMMIT}: 9 files, 31 B\n"));
    assert_eq!(std::fs::read(world.snapshot().join("unet/diffusion_pytorch_model.safetensors")).unwrap(), b"unet");
    assert!(!world.snapshot().join("unet/diffusion_pytorch_model.bin").exists());

    let asked = world.server.log().len();
    assert_eq!(world.files(&["org/name@main", "--offline"]).len(), 9);
    assert_eq!(world.server.log().len(), asked, "nobody is asked");
}

#[test]
fn what_is_fetched_can_be_chosen() {
    let onnx = ["unet/model.onnx", "unet/model.onnx_data"];
    assert!(
        World::new()
            .files(&["org/name", "--onnx"])
            .ends_with(&["unet/config.json", onnx[0], onnx[1], "vae/config.json"].map(str::to_owned))
    );
    assert_eq!(
        World::new().files(&["org/name", "--include", "unet/*", "--exclude", "*.safetensors"]),
        ["unet/config.json", onnx[0], onnx[1]]
    );
    let half = World::new().files(&["org/name", "--variant", "fp16"]);
    assert!(
        half.iter().filter(|file| file.ends_with(".safetensors")).eq(["unet/diffusion_pytorch_model.fp16.safetensors"])
    );
}

#[test]
fn what_cannot_be_had_is_told() {
    let world = World::new();
    let refused = |arguments: &[&str]| {
        let output = world.pull(arguments);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
        error(&output)
    };
    assert_eq!(refused(&["name"]), "error: `name` is not a Hugging Face id: org/name or org/name@revision\n");
    let cache = world.home.path().join("hub");
    assert_eq!(
        refused(&["org/name", "--offline"]),
        format!(
            "error: offline, and `org/name` is not in the cache {}: unset HF_HUB_OFFLINE once, or fetch it elsewhere\n",
            cache.display()
        )
    );
    assert_eq!(
        refused(&["org/name", "--include", "unet/model.bin"]),
        "error: `unet/model.bin` is not fetched: only safetensors, json, jsonl, txt, csv, onnx, onnx_data are, because other formats can run code when \
         they are read; convert it where you trust it: pipeline.save_pretrained(folder, safe_serialization=True)\n"
    );
}
