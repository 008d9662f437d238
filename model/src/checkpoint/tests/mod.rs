//! Checkpoints of diffusers, old ones, odd ones and broken ones.

mod binding;
mod converting;
mod finding;
mod headers;
mod writing;

use super::*;
use std::fs;
use tempfile::TempDir;

/// A folder of `tests/fixtures`.
fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

/// Bytes of a safetensors file with this header, right or wrong.
fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A folder with files in it.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// What opening `path` says is wrong, with the folder it lies in left out.
fn refusal(path: &Path) -> String {
    let parent = path.parent().unwrap().to_str().unwrap();
    Checkpoint::open(path).unwrap_err().to_string().replace(&format!("{parent}/"), "")
}

/// One tensor `a` of two numbers.
fn small() -> Vec<u8> {
    safetensors(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8])
}

/// A file with tensors of type f32 that hold 0, 1, 2, ...
fn write_f32(path: &Path, tensors: &[(&str, &[usize])]) {
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| counting(shape.iter().product())).collect();
    let tensors = tensors.iter().zip(&data).map(|((name, shape), data)| NewTensor::new(*name, Dtype::F32, shape, data));
    write_safetensors(path, tensors.collect(), &BTreeMap::new()).unwrap();
}

fn counting(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect()
}
