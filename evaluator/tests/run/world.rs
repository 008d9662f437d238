//! Two tiny pipelines, two tiny instruments, a few prompts, and the recipe of an audit of them.

use crate::graphs::{INPUT, constant, fixtures, linear, noise, save};
use pleach_runtime::onnx::{Message as _, ModelProto, NodeProto};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Prompts that say something else to whoever reads them as HTML, as a path, as lines or as a table's formula.
pub const PROMPTS: [&str; 9] = [
    "a red cube on a table",
    "two boats, one of them \"sinking\"",
    "a red cube on a table",
    "<script>alert('inert')</script><img src=x onerror=alert(1)> & a hat",
    "first line\u{2028}second line",
    "file:///etc/passwd",
    "=1+2+@SUM(A1)",
    "two boats, one of them \"sinking\"",
    "ein grünes Feld, 夜",
];

/// What an audit needs, in a folder of its own.
pub struct World {
    folder: TempDir,
}

/// What is asked for, where it is not the usual.
pub struct Asked<'a> {
    pub prompts: &'a [&'a str],
    pub images: u32,
    pub steps: u32,
    pub seeds: &'a str,
    /// Whether the prompts may be published.
    pub publish: bool,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self { prompts: &PROMPTS, images: 2, steps: 1, seeds: "{ hashed = 7 }", publish: false }
    }
}

impl World {
    pub fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        copy(&fixtures().join("optimum_sd2"), &world.path("base"));
        copy(&fixtures().join("optimum_sd2"), &world.path("pruned"));
        scale(&world.path("pruned/unet/model.onnx"), -3.0);
        classifier(&world.path("eye"), 3);
        world.instrument("features", "kind = \"embedding\"\ngraph = \"model.onnx\"");
        linear(&world.path("features"), 4);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes prompts, protocol and recipe, and plans the run `name`.
    pub fn plan(&self, name: &str, asked: &Asked<'_>) -> PathBuf {
        let mut table = String::from("prompt,categories\n");
        for (index, prompt) in asked.prompts.iter().enumerate() {
            let category = if index % 2 == 0 { "still" } else { "moving" };
            table += &format!("\"{}\",{category}\n", prompt.replace('"', "\"\""));
        }
        let file = |end: &str| self.path(&format!("{name}{end}"));
        fs::write(file(".csv"), table).unwrap();
        fs::write(file("-protocol.toml"), protocol(asked)).unwrap();
        let recipe = format!(
            "title = \"Tiny\"\nsubject = \"pruned\"\nbaseline = \"base\"\n\
             [instrument.eye]\nfolder = \"eye\"\n[instrument.features]\nfolder = \"features\"\n\
             [[suite]]\nname = \"tiny\"\nprompts = \"{name}.csv\"\nprotocol = \"{name}-protocol.toml\"\npublish = {}\n",
            asked.publish
        );
        fs::write(file(".toml"), recipe).unwrap();
        let run = self.path(name);
        crate::audit(["plan", text(&file(".toml")), "--out", text(&run)]).ends(0);
        run
    }

    fn instrument(&self, name: &str, kind: &str) {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("instrument.toml"), format!("name = \"{name}\"\n[instrument]\n{kind}\n{INPUT}")).unwrap();
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes a classifier of pictures as `light` or `dark`.
pub fn classifier(folder: &Path, seed: u32) {
    fs::create_dir_all(folder).unwrap();
    let kind = "kind = \"classifier\"\ngraph = \"model.onnx\"\nlabels = [\"dark\", \"light\"]\nscores = \"softmax\"";
    fs::write(folder.join("instrument.toml"), format!("name = \"eye\"\n[instrument]\n{kind}\n{INPUT}")).unwrap();
    let nodes = vec![
        NodeProto::new("Flatten", "flatten", &["picture"], &["flat"]),
        NodeProto::new("MatMul", "linear", &["flat", "w"], &["logits"]),
    ];
    let weights: Vec<f32> = noise(3 * 64 * 2, seed).into_iter().map(|weight| weight / 4.0).collect();
    save(folder, nodes, vec![constant("w", &[3 * 64, 2], &weights)], &[-1, 3, 8, 8], &["logits"]);
}

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Multiplies the first convolution's weights of a graph: another model, whose pictures are others.
pub fn scale(graph: &Path, by: f32) {
    let mut model = ModelProto::decode(fs::read(graph).unwrap().as_slice()).unwrap();
    let graph_of = model.graph.as_mut().unwrap();
    let weights = graph_of.initializer.iter_mut().find(|tensor| tensor.name.ends_with("conv_in.weight")).unwrap();
    assert!(!weights.raw_data.is_empty());
    let scaled = weights
        .raw_data
        .chunks_exact(4)
        .flat_map(|bytes| (by * f32::from_le_bytes(bytes.try_into().unwrap())).to_le_bytes());
    weights.raw_data = scaled.collect::<Vec<u8>>().into();
    fs::write(graph, model.encode_to_vec()).unwrap();
}

fn protocol(asked: &Asked<'_>) -> String {
    let Asked { images, steps, seeds, .. } = asked;
    format!(
        r#"
id = "tiny"
about = "A few prompts."
source = "a test"

[prompts]
form = "csv"

[drawing]
seeds = {seeds}
guidance = {{ fixed = 2.0 }}
images = {images}
steps = {steps}
sampler = "ddim"

[[measure]]
name = "light"
kind = "flagged"
instrument = "eye"
labels = ["light"]
threshold = 0.5
strictly_above = false
unit = "image"
better = "lower"

[[measure]]
name = "distance"
kind = "frechet"
instrument = "features"
better = "lower"
"#
    )
}

/// The plan of a run in another folder, with nothing done. What a machine needs to carry out its shard.
pub fn fresh(run: &Path, to: &Path) -> PathBuf {
    fs::create_dir_all(to.join("restricted")).unwrap();
    for file in ["plan.json", "restricted/samples.jsonl"] {
        fs::copy(run.join(file), to.join(file)).unwrap();
    }
    to.to_owned()
}
