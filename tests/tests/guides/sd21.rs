//! The whole way of Stable Diffusion 2.1 (recipes/sd21), with a random checkpoint in the real one's place: that the commands are understood and
//! what one makes is what the next one takes.

use crate::{
    instruments,
    page::{root, run},
    server::{Repository, Server, storage},
};
use image::RgbImage;
use pleach_tests::fixtures;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A hub that has the fixture of v prediction as org/name.
fn hub() -> Server {
    let folder = fixtures::path("sd2v/pipeline");
    let mut files: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for path in walk(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().replace('\\', "/");
        files.push((&*name.leak(), fs::read(&path).unwrap()));
    }
    let files: Vec<(&'static str, &[u8])> = files.iter().map(|(name, body)| (*name, &body[..])).collect();
    let bodies: Vec<&[u8]> = files.iter().map(|(_, body)| *body).collect();
    let repository = Repository::new(&files, &storage(&bodies));
    Server::start(move |request| repository.answer(request))
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

const CAPTIONS: [&str; 8] = [
    "a red box",
    "a green box",
    "a blue box on a table",
    "two boxes",
    "a grey cat",
    "a dog and a cat",
    "a lamp",
    "a lamp on a table",
];

/// Pictures with captions, as MS-COCO has them.
fn coco(folder: &Path) {
    let pictures = folder.join("train2017");
    fs::create_dir_all(&pictures).unwrap();
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    for (id, caption) in CAPTIONS.iter().enumerate() {
        let name = format!("{id:012}.png");
        let shade = |x: u32, y: u32| image::Rgb([(x * 9) as u8, (y * 9) as u8, (id * 30) as u8]);
        RgbImage::from_fn(24, 20, shade).save(pictures.join(&name)).unwrap();
        images.push(json!({ "id": id, "file_name": name, "width": 24, "height": 20 }));
        annotations.push(json!({ "id": id, "image_id": id, "caption": caption }));
    }
    fs::write(folder.join("captions.json"), json!({ "images": images, "annotations": annotations }).to_string())
        .unwrap();
}

/// A small MPNet with random weights that knows the words of the captions.
pub fn sentences(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixtures::path("mpnet").join(file), folder.join(file)).unwrap();
    }
    let mut vocab = serde_json::Map::new();
    for word in
        ["<s>", "<pad>", "</s>", "[unk]"].into_iter().chain(CAPTIONS.iter().flat_map(|caption| caption.split(' ')))
    {
        let id = vocab.len();
        vocab.entry(word).or_insert_with(|| json!(id));
    }
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" }, "decoder": null,
        "post_processor": { "type": "BertProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2] },
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "[unk]" },
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// Harmless prompts in the forms of the public lists.
fn prompts(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    for artist in ["van-gogh", "monet", "picasso"] {
        write(
            &format!("{artist}.csv"),
            &format!("prompt,artist,evaluation_seed\na lamp,{artist},1\na box,{artist},2\n"),
        );
    }
    let columns =
        "prompt,categories,hard,inappropriate_percentage,nudity_percentage,evaluation_seed,evaluation_guidance";
    write(
        "i2p.csv",
        &format!(
            "{columns}\na grey cat,shocking,0,1.0,0.0,11,7\n\"a dog, and a cat\",\"hate, violence\",0,2.0,0.0,12,7.5\n"
        ),
    );
    write("ring-a-bell.txt", "lamp lamp box\ntable cat box\n");
    write("mma.csv", "target_prompt,adv_prompt,sanitized_adv_prompt\na cat,cat lamp,lamp\na dog,dog box,box\n");
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("report/audit.json")).unwrap()).unwrap()
}

#[test]
fn every_command_of_the_recipe_of_stable_diffusion_2_1_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    coco(&path("coco"));
    sentences(&path("sentences"));
    prompts(&path("prompts"));
    instruments::all(&path("instruments"), &fixtures::path("sd2/pipeline/tokenizer"));
    let hub = hub();
    let drawn = |suites: &[usize]| {
        let changed = suites
            .iter()
            .map(|i| format!("--set suite.{i}.steps=1 --set suite.{i}.size=16x16 --set suite.{i}.sampler=ddim"));
        changed.collect::<Vec<_>>().join(" ")
    };
    let number = |value: u32| value.to_string();
    let variables = [
        ("HF_ENDPOINT", hub.address.clone()),
        ("REPOSITORY", "org/name".to_owned()),
        ("RECIPES", root().join("recipes/sd21").to_str().unwrap().to_owned()),
        ("DATA", text("coco/captions.json")),
        ("IMAGES", text("coco/train2017")),
        ("SENTENCES", text("sentences")),
        ("SIDE", number(16)),
        ("BATCH", number(2)),
        ("ACCUMULATE", number(1)),
        ("STEPS", number(2)),
        ("K", number(1)),
        ("PRUNE_SIDE", number(16)),
        ("PRUNE_BATCH", number(2)),
        ("PRUNE_STEPS", number(2)),
        ("WARM_START", number(1)),
        ("EXPERTS", number(2)),
        // Two steps of APTP may leave an expert without any.
        ("ALL_CAPTIONS", "true".to_owned()),
        ("SIZE", "16x16".to_owned()),
        ("DRAW_STEPS", number(2)),
        ("CALIBRATION_STEPS", number(1)),
        ("I2P", text("prompts/i2p.csv")),
        ("MMA", text("prompts/mma.csv")),
        ("NUDENET", text("instruments/nudenet-3.0.8")),
        ("NUDENET_KIND", "nudenet-3.0.8".to_owned()),
        ("STYLE_TRIAL", drawn(&[0])),
        ("NUDITY_TRIAL", drawn(&[0, 1, 2])),
    ];
    run("recipes/sd21/README.md", 12, folder.path(), &variables);

    let family = |name: &str| -> Value {
        let manifest = path("sd21").join(name).join("family/pleach.json");
        serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap()
    };
    let concepts = |name: &str| {
        family(name)["experts"].as_array().unwrap().iter().map(|e| e["suppressed"].clone()).collect::<Vec<_>>()
    };
    for concept in ["van-gogh", "monet", "picasso", "nudity"] {
        assert_eq!(concepts(concept), [json!([concept])]);
    }
    assert_eq!(concepts("aptp-nudity"), [json!(["nudity"]), json!(["nudity"])]);
    for style in ["van-gogh", "monet", "picasso"] {
        let measured = report(&path("sd21/audits").join(style));
        let metrics = measured["metrics"].as_array().unwrap();
        for metric in ["style/clip", "style/cp", "style/csd"] {
            assert!(metrics.iter().any(|found| found["id"] == metric), "{metric}: {metrics:?}");
        }
    }
    let nudity = report(&path("sd21/audits/nudity"));
    let suites: Vec<&str> =
        nudity["suites"].as_array().unwrap().iter().map(|suite| suite["name"].as_str().unwrap()).collect();
    assert_eq!(suites, ["i2p", "ring-a-bell", "mma"]);
}
