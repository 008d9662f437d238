//! The graphs for CUDA, without CUDA: what they are made of, that their operators, written out as documented, compute what the portable graphs
//! compute, and that ONNX Runtime has nothing against them but that its CPU provider lacks the kernels.

#![allow(clippy::print_stderr, reason = "says what was measured")]

mod decompose;

use decompose::{decompose, int};
use pleach_exporter::{
    export::{self, Input, export},
    lower::{About, Layout, Target, fill_inline, lower},
    network::Network,
    quantize::Scheme,
    weights,
};
use pleach_model::{
    architecture::Architecture,
    checkpoint::Checkpoint,
    manifest::{Bundle as Manifest, Flavour, Precision},
    noise::Generator,
    pipeline,
    unet::UNetConfig,
    vae::VaeConfig,
};
use pleach_runtime::{
    bundle::Bundle,
    engine::{self, Engine, GraphFile, HostCache, NetworkOptions, Provider, Providers, TensorRef},
    onnx::{DataType, Message, ModelProto, NodeProto, TensorProto},
    pipeline::Component,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// ONNX Runtime's own operators there; the CPU provider has a kernel of the second, in f32.
const OWN: [&str; 2] = ["GroupNorm", "MultiHeadAttention"];
const FIXTURES: [&str; 2] = ["sd1", "sd2"];
/// What ONNX Runtime says of a node that no provider computes.
const MISSING: &str = "Failed to find kernel for";
const TOKENS: usize = 77;

fn fixture(name: &str, part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name).join("pipeline").join(part)
}

fn config(part: &Path) -> serde_json::Value {
    pipeline::Network::open(part).unwrap().config
}

/// A network's graphs over one data file, in a folder of their own.
struct Written {
    folder: tempfile::TempDir,
    portable: ModelProto,
    cuda: ModelProto,
}

impl Written {
    fn new(network: &Network, weights_of: &Path, precision: Precision) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let graph = network.record(precision.dtype()).unwrap();
        let layout = Layout::of(&graph);
        let (tensors, spelling) = network.checkpoints().unwrap().swap_remove(0);
        let checkpoint = Checkpoint::open(&weights_of.join("diffusion_pytorch_model.safetensors")).unwrap();
        let bound = checkpoint.bind(&tensors, spelling).unwrap();
        let written = weights::write(&graph, &layout, &bound, &folder.path().join("data"), &()).unwrap();
        let cuda = network.targets(Precision::F16).iter().find(|target| target.flavour == Flavour::Cuda).unwrap();
        let [portable, cuda] = [&Target::PORTABLE, cuda].map(|target| {
            let about = About { name: "network", data_file: "data", metadata: &[] };
            let mut model = lower(&graph, &layout, target, &Scheme::default(), about).unwrap();
            fill_inline(&mut model, &written.inline);
            model
        });
        Self { folder, portable, cuda }
    }

    fn unet(name: &str, precision: Precision) -> Self {
        let folder = fixture(name, "unet");
        let config = UNetConfig::from_json(&config(&folder)).unwrap();
        let network = Network::Unet { config, architecture: Architecture::full(), tokens: TOKENS };
        Self::new(&network, &folder, precision)
    }

    fn open(&self, model: &ModelProto) -> Result<engine::Network, engine::Error> {
        fs::write(self.folder.path().join("model.onnx"), model.encode_to_vec()).unwrap();
        let graph = GraphFile::open(self.folder.path(), "model.onnx", None, &HostCache::off()).unwrap();
        Engine::start(&Default::default()).unwrap().open(&graph, &NetworkOptions::default())
    }

    /// What a model gives for noise of these shapes, and the timestep where it takes one.
    fn run(&self, model: &ModelProto, inputs: &[(&str, &[usize])]) -> Vec<f32> {
        let mut network = self.open(model).unwrap();
        let mut noise = Generator::new(3);
        let numbers: Vec<Vec<f32>> = inputs.iter().map(|(_, shape)| noise.randn(shape.iter().product())).collect();
        let mut given: Vec<(&str, TensorRef<'_>)> = inputs
            .iter()
            .zip(&numbers)
            .map(|((name, shape), numbers)| (*name, TensorRef::new(shape, numbers).unwrap()))
            .collect();
        let timestep = [481.0_f32];
        if network.inputs().iter().any(|input| input.name == "timestep") {
            given.push(("timestep", TensorRef::new(&[1], &timestep).unwrap()));
        }
        network.run(&given).unwrap().swap_remove(0).into_f32()
    }

    /// Largest difference between the portable graph and the meaning of that for CUDA, in units of the largest number.
    fn difference(&self, inputs: &[(&str, &[usize])]) -> f32 {
        let expected = self.run(&self.portable, inputs);
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(largest > 0.1);
        // Attention is written out, and computed by the CPU's kernel of the operator.
        let [written_out, by_kernel] = [&OWN[..], &OWN[..1]].map(|operators| {
            let found = self.run(&decompose(&self.cuda, operators), inputs);
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().all(|x| x.is_finite()));
            found.iter().zip(&expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
        });
        eprintln!("{inputs:?}: {written_out:.1e} and {by_kernel:.1e} of the largest");
        written_out.max(by_kernel)
    }
}

fn nodes<'a>(model: &'a ModelProto, op: &'a str) -> impl Iterator<Item = &'a NodeProto> {
    model.graph.iter().flat_map(|graph| &graph.node).filter(move |node| node.op_type == op)
}

fn count(model: &ModelProto, op: &str) -> usize {
    nodes(model, op).count()
}

/// Shapes of a UNet's inputs: a batch of two, wider than high.
fn shapes(name: &str) -> [(&'static str, Vec<usize>); 2] {
    let config = UNetConfig::from_json(&config(&fixture(name, "unet"))).unwrap();
    let sample = vec![2, config.in_channels, 8, 16];
    [("sample", sample), ("encoder_hidden_states", vec![2, TOKENS, config.cross_attention_dim])]
}

fn borrowed<'a>(shapes: &'a [(&'static str, Vec<usize>)]) -> Vec<(&'static str, &'a [usize])> {
    shapes.iter().map(|(name, shape)| (*name, shape.as_slice())).collect()
}

#[test]
fn a_bundle_in_half_precision_has_graphs_for_cuda_over_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let exported = |precision: Precision| {
        let to = folder.path().join(precision.to_string());
        let options = export::Options { precision, ..export::Options::default() };
        export(&Input::checkpoint(fixture("sd2", "")), &to, &options, &()).unwrap();
        (Manifest::read(&to).unwrap().components, Bundle::open(&to).unwrap())
    };
    let (half, bundle) = exported(Precision::F16);
    let flavours = |component: &pleach_model::manifest::Component| -> Vec<Flavour> {
        component.graphs.iter().map(|graph| graph.flavour).collect()
    };
    assert_eq!(flavours(&half.unet[0].component), Flavour::ALL);
    assert_eq!(flavours(&half.vae_decoder), Flavour::ALL);
    assert_eq!(flavours(&half.text_encoder), [Flavour::Portable]);
    assert_eq!(half.unet[0].component.weights.len(), 1);
    let (single, _) = exported(Precision::F32);
    assert_eq!(flavours(&single.unet[0].component), [Flavour::Portable, Flavour::Cpu]);
    // The runtime takes them where CUDA comes first.
    let file = |list: &str| {
        let providers = Providers::new(Provider::list(list).unwrap()).unwrap();
        let entry = bundle.graph_of(Component::Unet, None, providers.flavours()).unwrap();
        GraphFile::open(bundle.folder(), &entry.file, entry.listed.as_ref(), &HostCache::off()).unwrap();
        entry.file
    };
    assert_eq!(file("cuda,cpu"), "unet/model.cuda.onnx");
    assert_eq!(file("tensorrt,cuda"), "unet/model.onnx");
    assert_eq!(file("cpu"), "unet/model.cpu.onnx");
}

#[test]
fn norms_are_channels_last_with_the_activation_that_follows() {
    for name in FIXTURES {
        let Written { portable, cuda, .. } = Written::unet(name, Precision::F16);
        let fused: Vec<&NodeProto> = nodes(&cuda, "GroupNorm").collect();
        // Those whose groups have one channel or three have no kernel.
        assert!(!fused.is_empty() && count(&cuda, "InstanceNormalization") > 0, "{name}");
        assert_eq!(fused.len() + count(&cuda, "InstanceNormalization"), count(&portable, "InstanceNormalization"));
        let activated = fused.iter().filter(|node| int(node, "activation") == Some(1)).count();
        assert!(activated > 0 && activated < fused.len(), "{name}: transformers' norms have no activation");
        assert_eq!(count(&cuda, "Sigmoid") + activated, count(&portable, "Sigmoid"), "{name}");
        for node in fused {
            assert_eq!((node.domain.as_str(), int(node, "channels_last")), ("com.microsoft", Some(1)));
            let made = |name: &str| cuda.graph.as_ref().unwrap().node.iter().find(|node| node.output[0] == name);
            assert_eq!(made(&node.input[0]).unwrap().op_type, "Transpose");
            for parameter in &node.input[1..] {
                assert_eq!(
                    (made(parameter).unwrap().op_type.as_str(), int(made(parameter).unwrap(), "to")),
                    ("Cast", Some(1))
                );
            }
        }
        assert_eq!(count(&cuda, "Conv"), count(&portable, "Conv"));
    }
}

/// Stable Diffusion 2.x's UNet attends in f32, 1.x's in half precision.
#[test]
fn attention_is_wide_where_it_must_be() {
    for (name, wide) in FIXTURES.into_iter().zip([false, true]) {
        let Written { portable, cuda, .. } = Written::unet(name, Precision::F16);
        assert_eq!(count(&cuda, "MultiHeadAttention"), count(&portable, "Softmax"));
        assert_eq!(count(&cuda, "Softmax"), 0);
        for node in nodes(&cuda, "MultiHeadAttention") {
            let cast =
                |name: &String| nodes(&cuda, "Cast").any(|cast| cast.output[0] == *name && int(cast, "to") == Some(1));
            assert_eq!(node.input[..3].iter().map(cast).collect::<Vec<_>>(), [wide; 3], "{name}");
        }
    }
}

/// Both in f32, where nothing but the order of sums differs.
#[test]
fn in_single_precision_the_graph_for_cuda_means_what_the_portable_one_does() {
    for name in FIXTURES {
        let shapes = shapes(name);
        let difference = Written::unet(name, Precision::F32).difference(&borrowed(&shapes));
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

/// Half precision rounds elsewhere: the norm and its activation are one step in f32, and not three.
#[test]
fn in_half_precision_the_graph_for_cuda_means_what_the_portable_one_does() {
    for name in FIXTURES {
        let shapes = shapes(name);
        let difference = Written::unet(name, Precision::F16).difference(&borrowed(&shapes));
        assert!(difference > 0.0 && difference < 5e-3, "{name}: {difference}");
    }
}

#[test]
fn a_decoder_for_cuda_means_the_same_too() {
    let folder = fixture("sd2", "vae");
    let vae = VaeConfig::from_json(&config(&folder)).unwrap();
    let latents = [1, vae.latent_channels, 6, 10];
    for (precision, most) in [(Precision::F32, 1e-5), (Precision::F16, 5e-3)] {
        let written = Written::new(&Network::VaeDecoder(vae.clone()), &folder, precision);
        assert!(count(&written.cuda, "GroupNorm") > 0);
        let difference = written.difference(&[("latent_sample", &latents)]);
        assert!(difference < most, "{precision}: {difference}");
    }
}

/// The message with which ONNX Runtime's CPU provider refuses a model.
fn refusal(written: &Written, model: &ModelProto) -> String {
    written.open(model).unwrap_err().to_string()
}

/// Kernels are looked for last, when operators, types and shapes of the whole graph have been found right.
#[test]
fn the_cpu_lacks_the_kernels_and_has_nothing_else_against_the_graphs() {
    for name in FIXTURES {
        let written = Written::unet(name, Precision::F16);
        let message = refusal(&written, &written.cuda);
        assert!(message.contains(&format!("{MISSING} com.microsoft.GroupNorm(1)")), "{name}: {message}");
        // The norms are all that it lacks: attention has a kernel, for which half precision is cast.
        written.open(&decompose(&written.cuda, &OWN[..1])).unwrap();
        // What is wrong otherwise is said otherwise.
        let mut wrong = written.cuda.clone();
        let norm = wrong.graph.as_mut().unwrap().node.iter_mut().find(|node| node.op_type == "GroupNorm").unwrap();
        norm.attribute.retain(|attribute| attribute.name != "groups");
        let message = refusal(&written, &wrong);
        assert!(message.contains("Required attribute 'groups' is missing"), "{message}");
        let whole = |tensor: &&TensorProto| tensor.data_type == i32::from(DataType::Int64);
        let shape = written.cuda.graph.as_ref().unwrap().initializer.iter().find(whole).unwrap().name.clone();
        let mut wrong = written.cuda.clone();
        let norm = wrong.graph.as_mut().unwrap().node.iter_mut().find(|node| node.op_type == "GroupNorm").unwrap();
        norm.input[1] = shape;
        let message = refusal(&written, &wrong);
        assert!(!message.contains(MISSING), "{message}");
    }
}
