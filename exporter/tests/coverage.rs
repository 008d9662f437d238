//! Coverage of exported bundles, against what ONNX Runtime's own mobile usability checker says of the same graphs.
//!
//! The checker's answers are kept in `tests/fixtures/coverage.json`. Where `PLEACH_PYTHON` names a Python with `onnxruntime` 1.30.0, `onnx`
//! and `sympy`, it is asked again, and must answer the same; with `PLEACH_RECORD` set as well, its answers are kept.

use pleach_exporter::export::{Input, Options, export};
use pleach_model::manifest::{Flavour, Precision};
use pleach_runtime::{
    bundle::Bundle,
    coverage::{Frozen, Rules, Target, Verdict, examine, partitions},
    engine::{Engine, GraphFile, HostCache},
    pipeline::Component,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FIXTURES: [&str; 4] = ["sd1", "sd2", "sd2v", "optimum_sd2"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn engine() -> Engine {
    Engine::start(&Default::default()).unwrap()
}

fn exported(pipeline: &Path, precision: Precision, out: &Path) -> Bundle {
    export(
        &Input::checkpoint(pipeline),
        out,
        &Options { precision, engine: Some(engine()), ..Options::default() },
        &(),
    )
    .unwrap();
    Bundle::open(out).unwrap()
}

/// What is found about a graph and a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    nodes: usize,
    taken: usize,
    /// Sizes, the smallest first.
    partitions: Vec<usize>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answers {
    nnapi: Answer,
    coreml: Answer,
}

/// The checker's answers by graph, and its versions.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    onnxruntime: String,
    onnx: String,
    answers: BTreeMap<String, Answers>,
}

impl Record {
    /// As JSON, a graph in each line.
    fn lines(&self) -> String {
        let Self { onnxruntime, onnx, answers } = self;
        let line =
            |(name, answers): (&String, &Answers)| format!("    {name:?}: {}", serde_json::to_string(answers).unwrap());
        let answers: Vec<String> = answers.iter().map(line).collect();
        format!(
            "{{\n  \"onnxruntime\": {onnxruntime:?},\n  \"onnx\": {onnx:?},\n  \"answers\": {{\n{}\n  }}\n}}\n",
            answers.join(",\n")
        )
    }
}

#[derive(Serialize)]
struct Question {
    file: PathBuf,
    dimensions: BTreeMap<String, usize>,
}

/// What is taken as far as the checker looks.
fn answer(graph: &Frozen, target: Target) -> Answer {
    let rules = Rules::of(target).unwrap();
    let taken: Vec<bool> = graph.nodes.iter().map(|node| rules.is_listed(graph, node)).collect();
    let mut partitions = partitions(graph, &taken);
    partitions.sort_unstable();
    Answer { nodes: graph.nodes.len(), taken: taken.iter().filter(|&&taken| taken).count(), partitions }
}

/// Asks the checker itself.
fn ask(python: &str, questions: &BTreeMap<String, Question>) -> Record {
    #[derive(Deserialize)]
    struct Reply {
        onnxruntime: String,
        onnx: String,
        answers: Vec<Answers>,
    }
    let script = fixtures().join("tools/check_coverage.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("PLEACH_PYTHON");
    let input = serde_json::to_vec(&questions.values().collect::<Vec<_>>()).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the checker failed");
    let Reply { onnxruntime, onnx, answers } = serde_json::from_slice(&output.stdout).unwrap();
    Record { onnxruntime, onnx, answers: questions.keys().cloned().zip(answers).collect() }
}

#[test]
fn onnx_runtimes_checker_counts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut questions, mut found) = (BTreeMap::new(), BTreeMap::new());
    for fixture in FIXTURES {
        let bundle = match fixture {
            "optimum_sd2" => Bundle::open(&fixtures().join(fixture)).unwrap(),
            _ => exported(&fixtures().join(fixture).join("pipeline"), Precision::F32, &folder.path().join(fixture)),
        };
        for component in Component::DRAWING {
            let entry = bundle.graph_of(component, None, &[Flavour::Portable]).unwrap();
            let file = GraphFile::open(bundle.folder(), &entry.file, None, &HostCache::off()).unwrap();
            let sizes = [("batch", 1), ("batch_size", 1), ("sequence_length", 77), ("height", 8), ("width", 16)];
            let sizes = sizes.into_iter().chain([("latent_height", 8), ("latent_width", 16)]);
            let dimensions: BTreeMap<String, usize> = sizes.map(|(name, size)| (name.to_owned(), size)).collect();
            let graph = Frozen::open(&file, &dimensions, &engine()).unwrap();
            let name = format!("{fixture}/{}", component.folder());
            let answers = Answers { nnapi: answer(&graph, Target::Nnapi), coreml: answer(&graph, Target::CoreMl) };
            found.insert(name.clone(), answers);
            questions.insert(name, Question { file: bundle.folder().join(&entry.file), dimensions });
        }
    }
    let path = fixtures().join("coverage.json");
    if let Some(python) = env::var("PLEACH_PYTHON").ok().filter(|python| !python.is_empty()) {
        let now = ask(&python, &questions);
        if env::var_os("PLEACH_RECORD").is_some() {
            fs::write(&path, now.lines()).unwrap();
        }
        assert_eq!(now.answers, found, "the checker, asked now");
    }
    let record: Record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(record.onnxruntime, "1.30.0");
    assert_eq!(record.answers, found, "the checker's answers that were kept");
}

/// Nodes, nodes taken and partitions of text encoder, UNet and VAE decoder.
fn counts(bundle: &Bundle, target: Target) -> Vec<[usize; 3]> {
    let coverage = examine(bundle, target, None, &engine(), &HostCache::off()).unwrap();
    let counts = |network: &pleach_runtime::coverage::NetworkCoverage| {
        assert_eq!(network.missing.iter().map(|missing| missing.count).sum::<usize>(), network.nodes - network.taken);
        [network.nodes, network.taken, network.partitions.len()]
    };
    coverage.networks.iter().map(counts).collect()
}

#[test]
fn the_small_world_on_every_provider() {
    let folder = tempfile::tempdir().unwrap();
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/world");
    let bundle = exported(&world, Precision::F32, &folder.path().join("f32"));
    let before: Vec<_> = listing(bundle.folder());
    let whole = [[131, 131, 1], [717, 717, 1], [182, 182, 1]];
    assert_eq!(counts(&bundle, Target::CoreMl), whole);
    assert_eq!(counts(&bundle, Target::Qnn), whole);
    assert_eq!(counts(&bundle, Target::Nnapi), [[131, 117, 13], [717, 616, 59], [182, 164, 19]]);
    assert_eq!(counts(&bundle, Target::Xnnpack), [[131, 28, 20], [717, 147, 99], [182, 28, 23]]);
    assert_eq!(listing(bundle.folder()), before, "the bundle is only read");

    // In half precision the casts around softmax and norms are nodes as well, and who takes f32 alone takes next to nothing.
    let bundle = exported(&world, Precision::F16, &folder.path().join("f16"));
    assert_eq!(counts(&bundle, Target::CoreMl), [[144, 144, 1], [823, 823, 1], [223, 223, 1]]);
    let xnnpack = examine(&bundle, Target::Xnnpack, None, &engine(), &HostCache::off()).unwrap();
    assert!(xnnpack.networks.iter().all(|network| network.verdict != Verdict::Whole && network.taken < 20));
    assert_eq!(xnnpack.networks[2].to_string(), "1 of 223 nodes, in 1 partition");
}

/// As many nodes as the plug-in itself leaves to the processor, measured with onnxruntime-qnn 2.7.0.
#[test]
fn eight_bits_on_qnn() {
    let folder = tempfile::tempdir().unwrap();
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/world");
    let bundle = exported(&world, Precision::Int8, &folder.path().join("int8"));
    let left: Vec<[usize; 2]> = counts(&bundle, Target::Qnn)
        .into_iter()
        .map(|[nodes, taken, partitions]| [nodes - taken, partitions])
        .collect();
    assert_eq!(left, [[26, 1], [92, 1], [27, 1]]);
}

#[test]
fn a_size_that_cannot_be_drawn_is_refused() {
    let bundle = Bundle::open(&fixtures().join("optimum_sd2")).unwrap();
    let size = "20x16".parse().unwrap();
    let error = examine(&bundle, Target::CoreMl, Some(size), &engine(), &HostCache::off()).unwrap_err();
    assert_eq!(error.to_string(), "width 20 is not divisible by 16: use 16 or 32");
}

/// Every file of a folder with its size.
fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push((entry.path(), entry.metadata().unwrap().len())),
            }
        }
    }
    files.sort();
    files
}
