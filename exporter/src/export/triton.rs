//! A model repository for NVIDIA's Triton Inference Server: a folder for each network, with its one version and what the server must know.

use crate::error::Result;
use pleach_model::{
    files,
    manifest::{Bundle, Component, Dim, FILE_NAME, Flavour, Port},
    tensor::Dtype,
};
use std::{fmt::Write as _, fs, path::Path};

/// Rewrites a bundle's folder, which is not persisted yet, to a repository. The manifest goes: it lists other files.
pub(super) fn rearrange(root: &Path, manifest: &Bundle) -> Result<()> {
    let networks = &manifest.components;
    let mut models: Vec<(String, &Component)> =
        vec![("text_encoder".into(), &networks.text_encoder), ("vae_decoder".into(), &networks.vae_decoder)];
    models.extend(networks.vae_encoder.iter().map(|component| ("vae_encoder".into(), component)));
    models.extend(networks.router.iter().map(|component| ("router".into(), component)));
    let experts = &networks.unet;
    models.extend(experts.iter().map(|expert| {
        let name = if experts.len() == 1 { "unet".to_owned() } else { format!("unet_{}", expert.name) };
        (name, &expert.component)
    }));
    // Networks leave their folders before these get other content.
    let kept = root.join("bundle");
    make(&kept)?;
    for folder in ["text_encoder", "vae_decoder", "vae_encoder", "router", "unet"] {
        if root.join(folder).is_dir() {
            rename(&root.join(folder), &kept.join(folder))?;
        }
    }
    for (name, component) in &models {
        let version = root.join(name).join("1");
        make(&version)?;
        for graph in component.graphs.iter().filter(|graph| graph.flavour == Flavour::Portable) {
            rename(&kept.join(&graph.file), &version.join("model.onnx"))?;
        }
        for entry in &component.weights {
            let file = entry.file.rsplit('/').next().unwrap_or(&entry.file);
            rename(&kept.join(&entry.file), &version.join(file))?;
        }
        files::write(&root.join(name).join("config.pbtxt"), config(name, component).as_bytes())?;
    }
    // What clients need: tokenizers, scheduler, configurations.
    for file in ["text_encoder", "vae_decoder", "unet", "router"].map(|name| format!("{name}/config.json")) {
        if kept.join(&file).is_file() {
            let to = root.join("client").join(&file);
            make(to.parent().unwrap_or(root))?;
            rename(&kept.join(&file), &to)?;
        }
    }
    if kept.join("router/tokenizer.json").is_file() {
        rename(&kept.join("router/tokenizer.json"), &root.join("client/router/tokenizer.json"))?;
    }
    for name in ["tokenizer", "scheduler", "model_index.json"] {
        rename(&root.join(name), &root.join("client").join(name))?;
    }
    let failed = |source| files::Error::Folder { folder: kept.clone(), source };
    fs::remove_dir_all(&kept).map_err(failed)?;
    let manifest = root.join(FILE_NAME);
    Ok(fs::remove_file(&manifest).map_err(|source| files::Error::Write { path: manifest.clone(), source })?)
}

fn make(folder: &Path) -> Result<()> {
    let failed = |source| files::Error::Folder { folder: folder.to_owned(), source };
    Ok(fs::create_dir_all(folder).map_err(failed)?)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    let failed = |source| files::Error::Write { path: to.to_owned(), source };
    Ok(fs::rename(from, to).map_err(failed)?)
}

/// The server's description of a model. Batches are a dimension like others: `max_batch_size` 0.
fn config(name: &str, component: &Component) -> String {
    let mut text = format!("name: {name:?}\nplatform: \"onnxruntime_onnx\"\nmax_batch_size: 0\n");
    for (kind, ports) in [("input", &component.inputs), ("output", &component.outputs)] {
        for port in ports {
            let _ = writeln!(text, "{kind} [\n  {}\n]", value(port));
        }
    }
    text
}

fn value(port: &Port) -> String {
    let dtype = match port.dtype {
        Dtype::F32 => "TYPE_FP32",
        Dtype::F16 => "TYPE_FP16",
        Dtype::Bf16 => "TYPE_BF16",
        Dtype::I64 => "TYPE_INT64",
        Dtype::I32 => "TYPE_INT32",
    };
    let dim = |dim: &Dim| match dim {
        Dim::Known(size) => size.to_string(),
        Dim::Symbol(_) => "-1".to_owned(),
    };
    let dims = port.dims.iter().map(dim).collect::<Vec<_>>().join(", ");
    format!("{{ name: {:?}, data_type: {dtype}, dims: [ {dims} ] }}", port.name)
}
