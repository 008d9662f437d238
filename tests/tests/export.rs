//! Whole pipelines exported: what ONNX Runtime computes is what diffusers computed, bundles are what their manifests say, and
//! what cannot be exported is refused with a reason.

use anyhow::{Context, Result};
use pleach_exporter::{
    error::Error,
    export::{Exported, Input, Options, export},
    graph::record,
    lower::{About, Layout, Target, fill_inline, lower},
    network::Network,
    quantize::Scheme,
    verify::Compared,
    watch::{Stage, Watch},
    weights,
};
use pleach_model::{
    architecture::Architecture,
    backend::Backend,
    checkpoint::{Checkpoint, NewTensor, write_safetensors},
    error,
    manifest::{Bundle, Component, Depth, Flavour, Precision},
    shape::{Dim, Fact},
    sites::{Pass, Site, Sites},
    tensor::Dtype,
    unet::{UNet, UNetConfig},
};
use pleach_runtime::{
    engine::{self, Engine, GraphFile, HostCache, NetworkOptions, TensorRef},
    onnx::Message,
};
use pleach_tests::{
    fixtures::{self, VARIANTS, Values},
    networks::Networks,
    parity,
    tensor::Tensor,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use tempfile::TempDir;

fn engine() -> Engine {
    Engine::start(&Default::default()).unwrap()
}

fn options(precision: Precision) -> Options {
    Options { precision, ..Options::default() }
}

/// A bundle in a folder of its own.
fn exported(variant: &str, options: &Options) -> (TempDir, Exported) {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = fixtures::path(variant).join("pipeline");
    let exported = export(&Input::checkpoint(&pipeline), &folder.path().join("bundle"), options, &()).unwrap();
    (folder, exported)
}

/// A bundle's graphs of one flavour, where there is one.
struct Graphs {
    text: engine::Network,
    unet: engine::Network,
    encoder: engine::Network,
    decoder: engine::Network,
}

impl Graphs {
    fn open(root: &Path, manifest: &Bundle, flavour: Flavour) -> Result<Self> {
        let open = |component: &Component| -> Result<engine::Network> {
            let graph = component.graph(flavour).or(component.graph(Flavour::Portable)).context("no graph")?;
            open(root, &graph.file)
        };
        let components = &manifest.components;
        Ok(Self {
            text: open(&components.text_encoder)?,
            unet: open(&manifest.default_expert().context("no expert")?.component)?,
            encoder: open(components.vae_encoder.as_ref().context("no encoder")?)?,
            decoder: open(&components.vae_decoder)?,
        })
    }
}

fn open(root: &Path, file: &str) -> Result<engine::Network> {
    let graph = GraphFile::open(root, file, None, &HostCache::off())?;
    Ok(engine().open(&graph, &NetworkOptions::default())?)
}

fn one(network: &mut engine::Network, inputs: &[(&str, TensorRef)]) -> Result<Tensor> {
    let output = network.run(inputs)?.swap_remove(0);
    let shape = output.shape().to_vec();
    Ok(Tensor::new(&shape, output.into_f32()))
}

fn view(tensor: &Tensor) -> Result<TensorRef<'_>> {
    Ok(TensorRef::new(&tensor.shape, &tensor.data)?)
}

impl Networks for Graphs {
    fn text(&mut self, ids: &Tensor<i64>) -> Result<Tensor> {
        one(&mut self.text, &[("input_ids", TensorRef::new(&ids.shape, &ids.data)?)])
    }

    /// The graph takes one timestep: rows with different ones are run one by one.
    fn unet(&mut self, sample: &Tensor, timestep: &Tensor, context: &Tensor) -> Result<Tensor> {
        let rows = |i: usize| match timestep.data.len() {
            1 => (sample.clone(), timestep.clone(), context.clone()),
            _ => (sample.rows(i..i + 1), timestep.rows(i..i + 1), context.rows(i..i + 1)),
        };
        let outputs = (0..timestep.data.len()).map(rows).map(|(sample, timestep, context)| {
            let inputs = [
                ("sample", view(&sample)?),
                ("timestep", view(&timestep)?),
                ("encoder_hidden_states", view(&context)?),
            ];
            one(&mut self.unet, &inputs)
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        Ok(Tensor::concat(&outputs.iter().collect::<Vec<_>>()))
    }

    fn encode(&mut self, pictures: &Tensor) -> Result<Tensor> {
        one(&mut self.encoder, &[("sample", view(pictures)?)])
    }

    fn decode(&mut self, latents: &Tensor) -> Result<Tensor> {
        one(&mut self.decoder, &[("latent_sample", view(latents)?)])
    }
}

#[test]
fn both_flavours_compute_what_diffusers_does() {
    for variant in VARIANTS {
        let (folder, exported) = exported(variant, &options(Precision::F32));
        for flavour in [Flavour::Portable, Flavour::Cpu] {
            let mut graphs =
                Graphs::open(&folder.path().join("bundle"), exported.manifest().unwrap(), flavour).unwrap();
            parity::text(&mut graphs, variant).unwrap();
            parity::unet(&mut graphs, variant).unwrap();
            parity::vae(&mut graphs, variant).unwrap();
            parity::guided_run(&mut graphs, variant).unwrap();
        }
    }
}

/// Keeps the output of every block.
#[derive(Default)]
struct Blocks<V>(RefCell<Vec<(String, V)>>);

impl<B: Backend> Sites<B> for Blocks<B::Value> {
    fn site(&self, _: &B, path: &str, site: Site<'_, B::Value>, value: B::Value) -> error::Result<B::Value> {
        if matches!(site, Site::Block) {
            self.0.borrow_mut().push((path.to_owned(), value.clone()));
        }
        Ok(value)
    }
}

#[test]
fn every_block_computes_what_diffusers_does() {
    for variant in VARIANTS {
        let stored = fixtures::pipeline(variant).unwrap().unet;
        let (config, full) = (UNetConfig::from_json(&stored.config).unwrap(), Architecture::full());
        let network = Network::Unet { config: config.clone(), architecture: full.clone(), tokens: 77 };
        // One timestep for each picture, and each block's output declared too.
        let graph = record(Dtype::F32, |b, params| {
            let [sample, mut timestep, context] = <[_; 3]>::try_from(network.inputs()).unwrap();
            timestep.fact = Fact::new(Dtype::F32, [Dim::symbol("batch")]);
            let [sample, timestep, context] =
                [sample, timestep, context].map(|port| b.with(|recorder| recorder.input(port.name, port.fact)));
            let blocks = Blocks(RefCell::default());
            let unet = UNet::new(&config, &full, params)?;
            let output = unet.forward(&Pass::new(b, &blocks), &sample, &timestep, &context)?;
            Ok([vec![("out_sample".to_owned(), output)], blocks.0.into_inner()].concat())
        })
        .unwrap();
        let checkpoint = stored.weights(None).unwrap();
        let tensors = network.bind(std::slice::from_ref(&checkpoint)).unwrap();
        let (folder, layout) = (tempfile::tempdir().unwrap(), Layout::of(&graph));
        let data = folder.path().join("model.onnx_data");
        let written = weights::write(&graph, &layout, &tensors, &data, &()).unwrap();
        let [[sample, timestep, context, expected], _] = parity::unet_cases(&Values::of(variant).unwrap()).unwrap();
        for target in [&Target::PORTABLE, &Target::CPU] {
            let about = About { name: "blocks", data_file: "model.onnx_data", metadata: &[] };
            let mut model = lower(&graph, &layout, target, &Scheme::default(), about).unwrap();
            fill_inline(&mut model, &written.inline);
            fs::write(folder.path().join("model.onnx"), model.encode_to_vec()).unwrap();
            let mut session = open(folder.path(), "model.onnx").unwrap();
            let inputs = [("sample", &sample), ("timestep", &timestep), ("encoder_hidden_states", &context)];
            let inputs = inputs.map(|(name, tensor)| (name, view(tensor).unwrap()));
            let outputs = session.run(&inputs).unwrap();
            let names = graph.outputs.iter().map(|output| output.name.clone());
            let tensors = outputs.into_iter().map(|output| {
                let shape = output.shape().to_vec();
                Tensor::new(&shape, output.into_f32())
            });
            let mut found: Vec<(String, Tensor)> = names.zip(tensors).collect();
            parity::within("UNet", &found.remove(0).1, &expected, parity::NETWORK);
            parity::blocks(&found, variant).unwrap();
        }
    }
}

#[test]
fn what_is_verified_passes_in_both_precisions() {
    for variant in VARIANTS {
        for precision in [Precision::F32, Precision::F16] {
            let options = Options { verify: true, engine: Some(engine()), ..options(precision) };
            let (folder, exported) = exported(variant, &options);
            // Five graphs at two sizes; two of a UNet, which also see other timesteps and prompts.
            assert_eq!(exported.differences.len(), 10 + 2 * 8);
            for difference in &exported.differences {
                assert!(difference.passed(), "{variant} {precision}: {difference:?}");
                let least = if difference.of == Compared::Result { 0.9999 } else { 0.99 };
                assert!(difference.cosine > least, "{variant} {precision}: {difference:?}");
            }
            let unet: Vec<_> = exported.differences.iter().filter(|d| d.file == "unet/model.onnx").collect();
            // One picture is not square, the other has odd latents.
            let shapes: Vec<&[usize]> = [0, 7].map(|i| unet[i].shape.as_slice()).to_vec();
            assert_eq!(shapes, [[1, 4, 6, 10], [2, 4, 7, 5]]);
            let told = unet.iter().map(|d| (d.timestep.unwrap(), d.of == Compared::Conditioning));
            let (results, changes): (Vec<_>, Vec<_>) = told.partition(|(_, conditioning)| !conditioning);
            assert_eq!(
                results.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
                [481.0, 481.0, 981.0, 981.0, 21.0, 481.0]
            );
            assert_eq!(changes.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [481.0, 981.0]);
            assert_eq!(exported.folder, Some(folder.path().join("bundle")));
        }
    }
}

/// The content of every file below a folder, by path.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn exporting_twice_gives_the_same_bytes() {
    for precision in [Precision::F32, Precision::F16] {
        let [(a, _), (b, _)] = [(); 2].map(|()| exported("sd2v", &options(precision)));
        let [a, b] = [a, b].map(|folder| contents(&folder.path().join("bundle")));
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        for (path, bytes) in &a {
            assert!(*bytes == b[path], "{}", path.display());
        }
    }
}

#[test]
fn the_manifest_lists_every_file_with_its_hash() {
    let (folder, exported) = exported("sd2", &options(Precision::F32));
    let root = folder.path().join("bundle");
    let manifest = Bundle::read(&root).unwrap();
    assert_eq!(Some(&manifest), exported.manifest());
    let listed = manifest.all_files();
    for entry in &listed {
        entry.check(&root, Depth::Hash).unwrap();
    }
    let mut listed: Vec<PathBuf> = listed.into_iter().map(|entry| entry.file.into()).collect();
    listed.push("pleach.json".into());
    listed.sort();
    assert_eq!(listed, contents(&root).into_keys().collect::<Vec<_>>());
    for entry in &manifest.provenance.checkpoint {
        entry.check(&fixtures::path("sd2/pipeline"), Depth::Hash).unwrap();
    }
    let counts: Vec<u64> = manifest.components().iter().map(|(_, component)| component.parameters).collect();
    let [text, decoder, encoder, unet] = counts[..] else { panic!("{counts:?}") };
    let stored = |folder: &str| {
        let checkpoint = Checkpoint::open(&fixtures::path("sd2/pipeline").join(folder)).unwrap();
        let tensors: Vec<_> = checkpoint.names().map(|name| checkpoint.get(name).unwrap()).collect();
        tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum::<u64>()
    };
    assert_eq!([text, unet, encoder + decoder], ["text_encoder", "unet", "vae"].map(stored));
}

#[test]
fn half_precision_halves_the_weights_and_keeps_the_interface() {
    let [(_a, full), (_b, half)] =
        [Precision::F32, Precision::F16].map(|precision| exported("sd2", &options(precision)));
    let pairs = full
        .manifest()
        .unwrap()
        .components()
        .into_iter()
        .map(|(_, c)| c.clone())
        .zip(half.manifest().unwrap().components());
    for (full, (path, half)) in pairs {
        assert_eq!((&full.inputs, &full.outputs, full.parameters), (&half.inputs, &half.outputs, half.parameters));
        let bytes = |component: &Component| component.weights[0].bytes as f64;
        // Tensors begin at pages, and these are small.
        assert!(bytes(half) < 0.65 * bytes(&full), "{path}");
    }
}

/// A copy of a fixture's pipeline that may be changed.
fn copied(variant: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in contents(&fixtures::path(variant).join("pipeline")) {
        let to = folder.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    folder
}

/// Writes a component's weights again, each tensor changed: dropped where `change` gives none.
fn rewrite(file: &Path, change: impl Fn(&str, Vec<usize>, Vec<f32>) -> Option<(Vec<usize>, Vec<f32>)>) {
    let checkpoint = Checkpoint::open(file).unwrap();
    let kept: Vec<(String, Vec<usize>, Vec<u8>)> = checkpoint
        .names()
        .filter_map(|name| {
            let view = checkpoint.get(name).unwrap();
            let (shape, numbers) = change(name, view.shape.to_vec(), view.to_f32().unwrap())?;
            Some((name.to_owned(), shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()))
        })
        .collect();
    let tensors = kept.iter().map(|(name, shape, bytes)| NewTensor::new(name, Dtype::F32, shape, bytes)).collect();
    write_safetensors(file, tensors, &BTreeMap::new()).unwrap();
}

/// The error of exporting a pipeline, which must leave nothing behind. Paths are shown without the pipeline's folder.
#[track_caller]
fn refused(pipeline: &TempDir, options: &Options) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = export(&Input::checkpoint(pipeline.path()), &folder.path().join("bundle"), options, &()).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
    error.to_string().replace(&format!("{}/", pipeline.path().display()), "")
}

#[test]
fn every_tensor_that_does_not_fit_is_named_at_once() {
    let pipeline = copied("sd2");
    rewrite(&pipeline.path().join("unet/diffusion_pytorch_model.safetensors"), |name, shape, numbers| match name {
        "conv_in.weight" => None,
        "conv_out.bias" => Some((vec![2, 2], numbers)),
        _ => Some((shape, numbers)),
    });
    rewrite(&pipeline.path().join("vae/diffusion_pytorch_model.safetensors"), |name, shape, numbers| {
        (name != "quant_conv.bias").then_some((shape, numbers))
    });
    assert_eq!(
        refused(&pipeline, &options(Precision::F32)),
        "unet/diffusion_pytorch_model.safetensors does not fit the network:\n  \
           1 missing:\n    conv_in.weight [16, 4, 3, 3]\n  \
           1 not as expected:\n    conv_out.bias: expected [4], found [2, 2]\n\
         vae/diffusion_pytorch_model.safetensors does not fit the network:\n  \
           1 missing:\n    quant_conv.bias [8]"
    );
}

/// Changes a file of JSON.
fn edit(file: PathBuf, from: &str, to: &str) {
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_block_that_is_not_supported_is_refused_by_name() {
    let pipeline = copied("sd2");
    edit(pipeline.path().join("unet/config.json"), "\"DownBlock2D\"", "\"AttnDownBlock2D\"");
    assert_eq!(
        refused(&pipeline, &options(Precision::F32)),
        "UNet2DConditionModel config: down_block_types: \"AttnDownBlock2D\" is not supported; supported: DownBlock2D, \
         CrossAttnDownBlock2D"
    );
}

#[test]
fn networks_that_do_not_belong_together_are_refused() {
    let pipeline = copied("sd2");
    let other = fixtures::path("sd1/pipeline/text_encoder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(other.join(file), pipeline.path().join("text_encoder").join(file)).unwrap();
    }
    assert_eq!(
        refused(&pipeline, &options(Precision::F32)),
        "the UNet's cross_attention_dim is 32, the text encoder's hidden_size is 24: these networks do not belong together"
    );
}

#[test]
fn a_pickle_is_refused_with_the_way_out() {
    let pipeline = copied("sd2");
    let folder = pipeline.path().join("unet");
    fs::remove_file(folder.join("diffusion_pytorch_model.safetensors")).unwrap();
    fs::write(folder.join("diffusion_pytorch_model.bin"), b"PK\x03\x04").unwrap();
    assert_eq!(
        refused(&pipeline, &options(Precision::F32)),
        "unet/diffusion_pytorch_model.bin is a pickle, which can run code when it is opened; convert it to safetensors where you \
         trust it: in Python, `safetensors.torch.save_file(torch.load(FILE, weights_only=True), \"model.safetensors\")`, or \
         `save_pretrained` of its pipeline"
    );
}

#[test]
fn a_truncated_checkpoint_is_refused() {
    let pipeline = copied("sd2");
    let file = pipeline.path().join("vae/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 4]).unwrap();
    let message = refused(&pipeline, &options(Precision::F32));
    assert!(message.starts_with("vae/diffusion_pytorch_model.safetensors is truncated: the tensor "), "{message}");
}

#[test]
fn a_weight_that_half_precision_cannot_hold_is_named() {
    let pipeline = copied("sd2");
    rewrite(&pipeline.path().join("unet/diffusion_pytorch_model.safetensors"), |name, shape, mut numbers| {
        if name == "mid_block.attentions.0.proj_out.weight" {
            numbers[7] = 1e5;
        }
        Some((shape, numbers))
    });
    assert_eq!(
        refused(&pipeline, &options(Precision::F16)),
        "the tensor mid_block.attentions.0.proj_out.weight holds 1e5, which f16 cannot represent: keep it in f32"
    );
}

#[test]
fn a_bundle_that_fails_verification_is_not_kept() {
    let pipeline = copied("sd2");
    rewrite(&pipeline.path().join("unet/diffusion_pytorch_model.safetensors"), |name, shape, mut numbers| {
        if name == "conv_out.bias" {
            numbers[0] = f32::NAN;
        }
        Some((shape, numbers))
    });
    let folder = tempfile::tempdir().unwrap();
    let options = Options { verify: true, engine: Some(engine()), ..options(Precision::F32) };
    let exported = export(&Input::checkpoint(pipeline.path()), &folder.path().join("bundle"), &options, &()).unwrap();
    assert_eq!(exported.folder, None);
    let failed = exported.differences.iter().filter(|difference| !difference.passed());
    let failed: Vec<_> = failed.map(|difference| difference.file.as_str()).collect();
    assert_eq!(failed, [["unet/model.onnx"; 8], ["unet/model.cpu.onnx"; 8]].concat());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_existing_folder_is_kept_unless_it_is_a_bundle_to_be_replaced() {
    let (folder, _) = exported("sd2v", &options(Precision::F32));
    let (pipeline, bundle) = (fixtures::path("sd2v/pipeline"), folder.path().join("bundle"));
    let overwriting = Options { overwrite: true, ..options(Precision::F16) };
    let again = |options: &Options, to: &Path| {
        export(&Input::checkpoint(&pipeline), to, options, &()).map(|exported| exported.manifest().cloned())
    };
    assert_eq!(
        again(&options(Precision::F32), &bundle).unwrap_err().to_string(),
        format!("the folder {} is not empty: choose another or ask to overwrite it", bundle.display())
    );
    let replaced = again(&overwriting, &bundle).unwrap().unwrap();
    assert_eq!(replaced, Bundle::read(&bundle).unwrap());
    assert_eq!(replaced.components.text_encoder.precision, Precision::F16);

    let own = folder.path().join("photographs");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("cat.png"), b"").unwrap();
    assert_eq!(
        again(&overwriting, &own).unwrap_err().to_string(),
        format!(
            "the folder {} is not empty and holds no pleach.json: it is not overwritten, choose another",
            own.display()
        )
    );
    assert!(own.join("cat.png").is_file());
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let bundle = file.join("bundle");
    let error =
        export(&Input::checkpoint(fixtures::path("sd2/pipeline")), &bundle, &options(Precision::F32), &()).unwrap_err();
    let message = format!("cannot write into the folder {}: Not a directory (os error 20)", bundle.display());
    assert_eq!(error.to_string(), message);
    let error =
        export(&Input::checkpoint(fixtures::path("sd2/pipeline")), &file, &options(Precision::F32), &()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is a file, not a folder: choose another place", file.display()));
}

/// Asks to stop when so many bytes are written.
struct StopAfter(u64, AtomicU64);

impl Watch for StopAfter {
    fn begin(&self, stage: Stage) {
        assert!(matches!(stage, Stage::Writing { bytes } if bytes > self.0), "{stage:?}");
    }

    fn wrote(&self, bytes: u64) {
        self.1.fetch_add(bytes, Ordering::Relaxed);
    }

    fn interrupted(&self) -> bool {
        self.1.load(Ordering::Relaxed) >= self.0
    }
}

#[test]
fn an_interruption_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stop = StopAfter(500_000, AtomicU64::new(0));
    let bundle = folder.path().join("bundle");
    let result = export(&Input::checkpoint(fixtures::path("sd2/pipeline")), &bundle, &options(Precision::F32), &stop);
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
