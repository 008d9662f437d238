//! The fixtures' pipelines, copies of them with something wrong, and paths that are something else.

use super::*;
use std::fs;
use tempfile::TempDir;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

/// A folder with these files in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (file, text) in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

const SD: &str = r#"{"_class_name":"StableDiffusionPipeline","unet":["diffusers","UNet2DConditionModel"],
    "vae":["diffusers","AutoencoderKL"],"text_encoder":["transformers","CLIPTextModel"],"safety_checker":["odd","Odd"]}"#;

/// The small files of a pipeline of checkpoints; the index is `index`.
fn pipeline(index: &str) -> TempDir {
    folder(&[
        ("model_index.json", index),
        ("text_encoder/config.json", "{}"),
        ("unet/config.json", "{}"),
        ("vae/config.json", "{}"),
        ("scheduler/scheduler_config.json", "{}"),
        ("tokenizer/tokenizer.json", "{}"),
    ])
}

/// The message, with the temporary folder left out.
fn message<T: std::fmt::Debug>(result: Result<T>, folder: &TempDir) -> String {
    result.unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "TMP")
}

#[test]
fn the_fixtures_are_pipelines() {
    for (name, prediction) in [("sd1", "epsilon"), ("sd2", "epsilon"), ("sd2v", "v_prediction")] {
        let folder = PipelineFolder::open(&fixture(name).join("pipeline")).unwrap();
        assert_eq!(folder.class_name(), Some("StableDiffusionPipeline"));
        assert_eq!((folder.class("scheduler"), folder.class("safety_checker")), (Some("PNDMScheduler"), None));
        let pipeline = folder.checkpoint().unwrap();
        assert_eq!(pipeline.common.scheduler.prediction_type.as_deref(), Some(prediction));
        assert_eq!(pipeline.unet.config["in_channels"], 4);
        assert!(pipeline.vae.weights(None).unwrap().names().len() > 100);
        assert!(pipeline.text_encoder.config_path.ends_with("text_encoder/config.json"));
    }
}

#[test]
fn optimums_pipeline_is_one_too() {
    let path = fixture("optimum_sd2");
    let folder = PipelineFolder::open(&path).unwrap();
    assert_eq!(folder.class_name(), Some("ORTStableDiffusionPipeline"));
    let pipeline = folder.onnx().unwrap();
    assert!(pipeline.unet.graph.ends_with("unet/model.onnx"));
    assert_eq!(pipeline.vae_decoder.config.unwrap()["scaling_factor"], 0.18215);
    assert!(pipeline.vae_encoder.is_some());
    let text = format!("{} is an ONNX pipeline: it is run as it is, there is no checkpoint in it", path.display());
    assert_eq!(folder.checkpoint().unwrap_err().to_string(), text);
}

#[test]
fn everything_missing_is_told_at_once() {
    let tmp = folder(&[("model_index.json", SD), ("unet/config.json", "{}"), ("tokenizer/vocab.json", "{}")]);
    let pipeline = PipelineFolder::open(tmp.path()).unwrap();
    let text = "TMP is not whole; missing: TMP/text_encoder/config.json, TMP/vae/config.json, \
                TMP/scheduler/scheduler_config.json, TMP/tokenizer/tokenizer.json (or vocab.json with merges.txt)";
    assert_eq!(message(pipeline.checkpoint(), &tmp), text);
    let text = "TMP is not whole; missing: TMP/text_encoder/model.onnx, TMP/unet/model.onnx, TMP/vae_decoder/model.onnx, \
                TMP/scheduler/scheduler_config.json, TMP/tokenizer/tokenizer.json (or vocab.json with merges.txt)";
    assert_eq!(message(pipeline.onnx(), &tmp), text);
}

#[test]
fn missing_weights_are_told_when_they_are_opened() {
    let tmp = pipeline(SD);
    let unet = PipelineFolder::open(tmp.path()).unwrap().checkpoint().unwrap().unet;
    let text = "TMP/unet holds no weights: expected diffusion_pytorch_model.safetensors or model.safetensors, or an index of shards";
    assert_eq!(message(unet.weights(None), &tmp), text);
    assert_eq!(message(unet.weights(Some("fp16")), &tmp), text);
}

#[test]
fn other_architectures() {
    let tmp = pipeline(&SD.replace("StableDiffusion", "StableDiffusionXL").replace("safety_checker", "text_encoder_2"));
    let text = "TMP/model_index.json: StableDiffusionXLPipeline has a text_encoder_2, which is not supported; supported are \
                pipelines of one CLIP text encoder, a UNet and an autoencoder";
    assert_eq!(message(PipelineFolder::open(tmp.path()), &tmp), text);
}

#[test]
fn networks_of_other_classes() {
    for (class, found) in [("\"UNet3DConditionModel\"", "UNet3DConditionModel"), ("null", "null")] {
        let tmp = pipeline(&SD.replace("\"UNet2DConditionModel\"", class));
        let text =
            format!("TMP/model_index.json: unet: the class {found} is not supported; supported: UNet2DConditionModel");
        assert_eq!(message(PipelineFolder::open(tmp.path()).unwrap().checkpoint(), &tmp), text);
    }
}

#[test]
fn broken_configurations() {
    let tmp = pipeline("[]");
    let text = "TMP/model_index.json: not a JSON object: invalid type: sequence, expected a map at line 1 column 0";
    assert_eq!(message(PipelineFolder::open(tmp.path()), &tmp), text);

    let tmp = pipeline(SD);
    let open = || PipelineFolder::open(tmp.path()).unwrap().checkpoint();
    fs::write(tmp.path().join("unet/config.json"), "{\"a\" 1}").unwrap();
    assert_eq!(message(open(), &tmp), "TMP/unet/config.json: not a JSON object: expected `:` at line 1 column 6");
    fs::write(tmp.path().join("unet/config.json"), vec![b' '; 1 << 21]).unwrap();
    let text = "TMP/unet/config.json is 2.10 MB, more than the 1.05 MB that such a file may have";
    assert_eq!(message(open(), &tmp), text);

    let tmp = pipeline(SD);
    fs::write(tmp.path().join("scheduler/scheduler_config.json"), "{").unwrap();
    let error = PipelineFolder::open(tmp.path()).unwrap().checkpoint();
    let text = "TMP/scheduler/scheduler_config.json: scheduler config is not what diffusers writes";
    assert_eq!(message(error, &tmp), text);
}

#[test]
fn paths_that_are_something_else() {
    let tmp = folder(&[("bare/letter.txt", "dear"), ("letter.txt", "dear"), ("model.ckpt", "PK"), ("model.onnx", "x")]);
    let weights = fixture("sd1/pipeline/unet/diffusion_pytorch_model.safetensors");
    fs::copy(&weights, tmp.path().join("unet.safetensors")).unwrap();
    fs::write(tmp.path().join("cut.safetensors"), &fs::read(&weights).unwrap()[..100]).unwrap();
    let header = r#"{"model.diffusion_model.out.2.bias":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    let original = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    fs::write(tmp.path().join("v1-5.safetensors"), original).unwrap();

    let from_single_file =
        "make a folder of it with diffusers: `StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)`";
    let whole = "is one network of a pipeline; give the folder of the whole pipeline, which holds model_index.json";
    for (path, text) in [
        ("none", "TMP/none does not exist".to_owned()),
        ("bare", "TMP/bare is not the folder of a diffusers pipeline: TMP/bare/model_index.json is missing".to_owned()),
        (
            "letter.txt",
            "TMP/letter.txt is a file; expected the folder of a diffusers pipeline, which holds model_index.json".to_owned(),
        ),
        (
            "model.ckpt",
            format!("TMP/model.ckpt is a pickle, which can run code when it is opened; where you trust it, {from_single_file}"),
        ),
        (
            "v1-5.safetensors",
            format!("TMP/v1-5.safetensors is a checkpoint in the original single-file format; {from_single_file}"),
        ),
        ("unet.safetensors", format!("TMP/unet.safetensors {whole}")),
        ("model.onnx", format!("TMP/model.onnx {whole}")),
        (
            "cut.safetensors",
            "TMP/cut.safetensors is truncated or not a safetensors file: its header should have 36328 bytes, the file has 100 (and \
             a header at most 100000000)"
                .to_owned(),
        ),
    ] {
        assert_eq!(message(PipelineFolder::open(&tmp.path().join(path)), &tmp), text);
    }
    let unet = fixture("sd1/pipeline/unet");
    let error = PipelineFolder::open(&unet).unwrap_err();
    assert_eq!(error.to_string(), format!("{} {whole}", unet.display()));
}

#[test]
fn a_hugging_face_id_is_not_a_folder() {
    let error = |path: &str| PipelineFolder::open(Path::new(path)).unwrap_err().to_string();
    let text = "there is no folder org/stable-diffusion-2.1; if it is a Hugging Face id, fetch it first: \
                `hf download org/stable-diffusion-2.1` tells its folder";
    assert_eq!(error("org/stable-diffusion-2.1"), text);
    for path in ["a/b/c", "../none", "none", "a/b c"] {
        assert_eq!(error(path), format!("{path} does not exist"));
    }
}
