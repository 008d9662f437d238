//! Every parameter that was learnt is the same number in the weights that are saved, in what is loaded again, and in the exported graph.

use anyhow::{Context, Result};
use pleach_exporter::export::{Input, Options, export};
use pleach_model::{
    architecture::Architecture,
    checkpoint::Checkpoint,
    files::Overwrite,
    pipeline::{Network, PipelineFolder},
    schedule::Schedule,
    tensor::Dtype,
    vae::VaeConfig,
};
use pleach_runtime::onnx::{Message, ModelProto, TensorProto};
use pleach_tests::fixtures;
use pleach_trainer::{
    data::{ImageFolder, Loader, LoaderOptions, Transform},
    encoders::{LatentEncoder, TextEncoder},
    finetune::{Batches, Finetuning, LossRecipe, Setting, Teacher, TrainRecipe, write_student},
    run::{RunFolder, Start, Task, named, train},
    torch::Device,
    world,
};
use std::{collections::BTreeMap, fs, ops::ControlFlow, path::Path, sync::Arc};

type Bits = BTreeMap<String, Vec<u32>>;
/// Shape and numbers of an initialiser.
type Initialiser = (Vec<usize>, Vec<u32>);

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

fn variables(task: &dyn Task) -> Bits {
    task.variables().iter().map(|(name, value)| (name.clone(), bits(value.to_f32().unwrap()))).collect()
}

#[test]
fn learnt_saved_loaded_and_exported_they_are_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let request = world::folder::Request { count: 4, seed: 1, ..Default::default() };
    world::folder::write(&path("data"), &request, Overwrite::Never, &|| ControlFlow::Continue(())).unwrap();
    let dataset = Arc::new(ImageFolder::open(&path("data"), None).unwrap());
    let fixture = fixtures::path("sd2").join("pipeline");
    let pipeline = PipelineFolder::open(&fixture).unwrap().checkpoint().unwrap();
    let text = TextEncoder::open(&pipeline, Device::Cpu, Dtype::F32).unwrap();
    let full = Architecture::full();
    let mut recipe = TrainRecipe { batch: 2, loss: LossRecipe::paper(), ..TrainRecipe::default() };
    recipe.settings.steps = 2;
    recipe.settings.optimiser.rate.peak = 1e-3;
    let schedule = Schedule::from_config(&pipeline.common.scheduler).unwrap();
    let task = |unet: Network| {
        let teacher = Box::leak(Box::new(Teacher::new(unet).unwrap()));
        let setting = Setting {
            recipe: &recipe,
            teacher,
            architecture: &full,
            schedule: &schedule,
            scaling: VaeConfig::from_json(&pipeline.vae.config).unwrap().scaling_factor,
            null: text.encode(&[String::new()]).unwrap(),
            device: Device::Cpu,
        };
        let (dataset, recipe, pipeline) = (dataset.clone(), &recipe, &pipeline);
        let batches = move |position| {
            let options = LoaderOptions { batch: recipe.batch, seed: recipe.seed, workers: 1, prefetch: 1 };
            Ok(Batches::Fresh {
                loader: Box::new(Loader::start(dataset.clone(), Transform::center(16), options, position)?),
                latents: Box::new(LatentEncoder::open(pipeline, Device::Cpu, Dtype::F32)?),
                text: Box::new(TextEncoder::open(pipeline, Device::Cpu, Dtype::F32)?),
                side: 16,
                warn: Box::new(|line| panic!("{line}")),
            })
        };
        (Finetuning::new(setting, batches).unwrap(), &*teacher)
    };

    let (mut learning, teacher) = task(pipeline.unet.clone());
    let before = variables(&learning);
    let run = RunFolder::open(&path("run"), &recipe, Start::New).unwrap();
    train(&mut learning, &recipe.settings, &run, &()).unwrap();
    let learnt = variables(&learning);
    let moved = before.iter().filter(|(name, value)| learnt[*name] != **value).count();
    assert!(2 * moved > learnt.len(), "only {moved} of {} tensors were learnt", learnt.len());

    // The checkpoint of the run, into a task that was made anew.
    let run = RunFolder::open(&path("run"), &recipe, Start::Resume).unwrap();
    let (mut resumed, _) = task(pipeline.unet.clone());
    train(&mut resumed, &recipe.settings, &run, &()).unwrap();
    assert!(variables(&resumed) == learnt, "the run's checkpoint holds other numbers");

    // The weights, read as a file and by the trainer as another student's teacher.
    copy(&fixture, &path("pipeline")).unwrap();
    fs::remove_dir_all(path("pipeline/unet")).unwrap();
    write_student(&path("pipeline/unet"), teacher, &full, &named(&learning), Dtype::F32).unwrap();
    let saved = Checkpoint::open(&path("pipeline/unet")).unwrap();
    let saved: Bits =
        saved.names().map(|name| (name.to_owned(), bits(saved.get(name).unwrap().to_f32().unwrap()))).collect();
    assert!(saved == learnt, "the saved weights are other numbers");
    let (loaded, _) = task(Network::open(&path("pipeline/unet")).unwrap());
    assert!(variables(&loaded) == learnt, "other numbers were loaded");

    // The graph's initialisers; kernels of linear layers lie transposed in it.
    let options = Options::default();
    export(&Input::checkpoint(path("pipeline")), &path("bundle"), &options, &()).unwrap();
    let mut exported = initialisers(&path("bundle/unet")).unwrap();
    for (name, expected) in &learnt {
        let found = match exported.remove(name) {
            Some((_, values)) => values,
            None => transposed(exported.remove(&format!("{name}.T")).unwrap_or_else(|| panic!("{name} is missing"))),
        };
        assert!(found == *expected, "{name} was exported as other numbers");
    }
}

/// All initialisers of `model.onnx` in a folder, with their shapes.
fn initialisers(folder: &Path) -> Result<BTreeMap<String, Initialiser>> {
    let model = ModelProto::decode(fs::read(folder.join("model.onnx"))?.as_slice())?;
    let data = fs::read(folder.join("model.onnx_data"))?;
    let graph = model.graph.context("a model without a graph")?;
    let read = |tensor: &TensorProto| {
        let entry = |key: &str| {
            tensor
                .external_data
                .iter()
                .find(|entry| entry.key == key)
                .and_then(|entry| entry.value.parse::<usize>().ok())
        };
        let bytes = match (entry("offset"), entry("length")) {
            (Some(offset), Some(length)) => &data[offset..offset + length],
            _ => &tensor.raw_data[..],
        };
        let shape: Vec<usize> = tensor.dims.iter().map(|dim| *dim as usize).collect();
        let values = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        (tensor.name.clone(), (shape, values))
    };
    Ok(graph.initializer.iter().map(read).collect())
}

fn transposed((shape, values): Initialiser) -> Vec<u32> {
    let [rows, columns] = shape[..] else { panic!("{shape:?} is no matrix") };
    (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column)).map(|i| values[i]).collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to)? } else { fs::write(to, fs::read(entry.path())?)? }
    }
    Ok(())
}
