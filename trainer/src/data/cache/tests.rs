use super::*;
use crate::{
    data::{
        Crop, Dataset, Draw, ImageFolder, Loader, LoaderOptions, Position, Transform,
        testing::{Folder, Made, image_folder},
    },
    encoders::{LatentEncoder, TextEncoder},
    torch::Value,
};
use pleach_model::{
    files::Sha256,
    pipeline::{CheckpointPipeline, PipelineFolder},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs,
    sync::Arc,
};
use tch::{Device, Tensor};

fn pipeline() -> CheckpointPipeline {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sd2/pipeline");
    PipelineFolder::open(&folder).unwrap().checkpoint().unwrap()
}

fn options() -> BuildOptions {
    let precision = Dtype::F32;
    BuildOptions { resolution: 16, batch: 2, flip: true, precision, rows_per_shard: 3, ..BuildOptions::default() }
}

fn data(folder: &Folder) -> ImageFolder {
    ImageFolder::open(folder.path(), None).unwrap()
}

/// Stops after so many encoded captions and pictures.
struct After {
    left: Cell<usize>,
    encoded: Cell<usize>,
    stages: RefCell<Vec<Stage>>,
}

impl After {
    fn new(left: usize) -> Self {
        Self { left: left.into(), encoded: 0.into(), stages: RefCell::default() }
    }
}

impl Watch for After {
    fn begin(&self, stage: Stage) {
        self.stages.borrow_mut().push(stage);
    }

    fn encoded(&self, count: usize) {
        self.encoded.set(self.encoded.get() + count);
        self.left.set(self.left.get().saturating_sub(count));
    }

    fn interrupted(&self) -> bool {
        self.left.get() == 0
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn close(found: &[f32], expected: &Tensor, tolerance: f32) {
    let expected = Value::try_from(expected.shallow_clone()).unwrap().to_f32().unwrap();
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{worst}");
}

#[test]
fn a_cache_holds_what_the_encoders_compute() {
    let (folder, pipeline) = (image_folder(4), pipeline());
    let (dataset, out) = (data(&folder), folder.path().join("cache"));
    let latents = LatentEncoder::open(&pipeline, Device::Cpu, Dtype::F32).unwrap();
    let text = TextEncoder::open(&pipeline, Device::Cpu, Dtype::F32).unwrap();
    let key = Key::of(&dataset, &pipeline, 16).unwrap();
    for (precision, tolerance) in [(Dtype::F32, 1e-4), (Dtype::F16, 5e-3)] {
        let options = BuildOptions { precision, overwrite: true, ..options() };
        let built = build(&dataset, &pipeline, &out, &options, &()).unwrap();
        assert_eq!((built.pictures, built.captions, built.broken.len()), (4, 5, 0));
        assert_eq!(built.bytes, contents(&out).values().map(|bytes| bytes.len() as u64).sum::<u64>());
        let cache = Cache::open(&out, &key).unwrap();
        assert_eq!((cache.moments_shape(), cache.embedding_shape()), ([8, 8, 8], [77, 32]));
        for i in 0..4 {
            let picture = Transform::center(16).apply(&dataset.picture(i).unwrap(), &Draw::default()).unwrap();
            let picture = Tensor::from_slice(&picture).reshape([1, 3, 16, 16]);
            for (flipped, picture) in [(false, picture.shallow_clone()), (true, picture.flip([3]))] {
                let mut values = Vec::new();
                cache.moments(i, flipped, &mut values).unwrap();
                close(&values, &latents.moments(&picture).unwrap(), tolerance);
            }
            let [caption] = cache.pictures()[i].captions[..] else { panic!("one caption each") };
            let mut values = Vec::new();
            cache.embedding(caption, &mut values).unwrap();
            close(&values, &text.encode(&dataset.captions(i)).unwrap(), tolerance);
        }
        close(&cache.empty_caption().unwrap(), &text.encode(&[String::new()]).unwrap(), tolerance);
    }
    let mut values = Vec::new();
    let cache = Cache::open(&out, &key).unwrap();
    assert_eq!(
        folder.text(cache.moments(4, false, &mut values).unwrap_err()),
        "the cache TMP/cache has no moments of number 4"
    );
}

#[test]
fn an_interrupted_cache_goes_on() {
    let (folder, pipeline) = (image_folder(7), pipeline());
    let dataset = data(&folder);
    let (whole, out) = (folder.path().join("whole"), folder.path().join("cache"));
    build(&dataset, &pipeline, &whole, &options(), &()).unwrap();
    let unfinished = folder.path().join("cache.unfinished");
    // 8 captions and 7 pictures, in shards of 3, two at a time; each run goes on where the one before stopped.
    for (stop, done) in [(2, 0), (5, 3), (8, 8 + 3)] {
        let watch = After::new(stop);
        let error = build(&dataset, &pipeline, &out, &options(), &watch).unwrap_err();
        assert_eq!(error.to_string(), "interrupted: the same command goes on where it stopped");
        assert!(unfinished.is_dir() && !out.exists());
        let watch = After::new(usize::MAX);
        let copy = folder.path().join("copy");
        fs::create_dir(folder.path().join("copy.unfinished")).unwrap();
        for (name, bytes) in contents(&unfinished) {
            folder.write(&format!("copy.unfinished/{name}"), bytes);
        }
        build(&dataset, &pipeline, &copy, &options(), &watch).unwrap();
        assert_eq!(watch.encoded.get(), 15 - done, "{stop}");
        let stages = watch.stages.take();
        let known = stages.iter().map(|stage| match stage {
            Stage::Hashing => 0,
            Stage::Captions { done, .. } | Stage::Pictures { done, .. } => *done,
        });
        assert_eq!(known.sum::<usize>(), done);
        assert!(contents(&copy) == contents(&whole), "{stop}");
        fs::remove_dir_all(copy).unwrap();
    }
    // Another resolution begins anew.
    let watch = After::new(usize::MAX);
    build(&dataset, &pipeline, &out, &BuildOptions { resolution: 8, ..options() }, &watch).unwrap();
    assert!(watch.encoded.get() == 15 && !unfinished.exists());
}

#[test]
fn a_stale_cache_is_refused() {
    let (folder, pipeline) = (image_folder(2), pipeline());
    let (dataset, out) = (data(&folder), folder.path().join("cache"));
    build(&dataset, &pipeline, &out, &options(), &()).unwrap();
    let key = Key::of(&dataset, &pipeline, 16).unwrap();
    let error = |key: &Key| folder.text(Cache::open(&out, key).unwrap_err());
    let other = Sha256([0; 32]);
    let say = |parts: &str| {
        format!(
            "the cache TMP/cache was made with another {parts}: make it again with `pleach-train cache --overwrite`"
        )
    };
    assert_eq!(error(&Key { data: other, ..key.clone() }), say("data set"));
    assert_eq!(error(&Key { vae: other, ..key.clone() }), say("VAE"));
    assert_eq!(error(&Key { text_encoder: other, ..key.clone() }), say("text encoder"));
    assert_eq!(error(&Key { tokenizer: other, ..key.clone() }), say("tokenizer"));
    assert_eq!(error(&Key { resolution: 32, ..key.clone() }), say("resolution (16, not 32)"));
    let both = Key { data: other, vae: other, ..key.clone() };
    assert_eq!(error(&both), say("data set, another VAE"));
    // A picture that changes is another data set.
    folder.picture("1.png", 6);
    assert_eq!(Key::of(&data(&folder), &pipeline, 16).unwrap().differing(&key), [Part::Data]);
    let mut other = pipeline.clone();
    other.vae = pipeline.text_encoder.clone();
    assert_eq!(Key::of(&dataset, &other, 16).unwrap().differing(&key), [Part::Data, Part::Vae]);
}

#[test]
fn a_damaged_cache_is_refused() {
    let (folder, pipeline) = (image_folder(2), pipeline());
    let (dataset, out) = (data(&folder), folder.path().join("cache"));
    build(&dataset, &pipeline, &out, &BuildOptions { flip: false, ..options() }, &()).unwrap();
    let key = Key::of(&dataset, &pipeline, 16).unwrap();
    let error = || folder.text(Cache::open(&out, &key).unwrap_err());
    let manifest = fs::read_to_string(out.join(FILE_NAME)).unwrap();
    let with = |from: &str, to: &str| {
        assert!(manifest.contains(from));
        folder.write("cache/cache.json", manifest.replace(from, to));
        error()
    };
    assert_eq!(
        with("\"schema\":1", "\"schema\":2"),
        "TMP/cache/cache.json: schema 2 is newer than this version reads (1): update pleach"
    );
    let message = with("\"resolution\":16", "\"resolution\":-1");
    assert_eq!(
        message.rsplit_once(" at line").unwrap().0,
        "TMP/cache/cache.json: key.resolution: invalid value: integer `-1`, expected usize"
    );
    assert_eq!(
        with("\"captions\":[2]", "\"captions\":[3]"),
        "TMP/cache/cache.json: pictures: a caption has no embedding"
    );
    assert_eq!(
        with("\"precision\":\"f32\"", "\"precision\":\"bf16\""),
        "TMP/cache/cache.json: precision: is neither f16 nor f32"
    );
    assert_eq!(
        with("\"flip\":false", "\"flip\":true"),
        "TMP/cache/moments-00000.safetensors is damaged or was changed: it holds 1 tensors, not 2"
    );
    assert_eq!(
        with("\"moments\":[8,8,8]", "\"moments\":[8,8,9]"),
        "TMP/cache/moments-00000.safetensors is damaged or was changed: it holds moments as f32[2, 8, 8, 8], not f32[2, 8, 8, 9]"
    );
    folder.write("cache/cache.json", &manifest);
    fs::remove_file(out.join("embeddings-00000.safetensors")).unwrap();
    assert_eq!(error(), "cannot read TMP/cache/embeddings-00000.safetensors: No such file or directory (os error 2)");
}

#[test]
fn what_cannot_be_cached_is_told() {
    let (folder, pipeline) = (image_folder(2), pipeline());
    let (dataset, out) = (data(&folder), folder.path().join("cache"));
    let error = |options: &BuildOptions| folder.text(build(&dataset, &pipeline, &out, options, &()).unwrap_err());
    assert_eq!(
        error(&BuildOptions { resolution: 17, ..options() }),
        "the resolution 17 is not a multiple of 2, by which the autoencoder shrinks pictures"
    );
    assert_eq!(error(&BuildOptions { precision: Dtype::I64, ..options() }), "a cache holds f16 or f32, not i64");
    assert_eq!(
        error(&BuildOptions { batch: 0, ..options() }),
        "a loader needs pictures and a batch: the data set has 2, the batch 0"
    );
    folder.write("cache.unfinished/diary.txt", "");
    assert_eq!(
        error(&options()),
        "the folder TMP/cache.unfinished is not empty and holds no plan.json: it is not overwritten, choose another"
    );
    fs::remove_dir_all(folder.path().join("cache.unfinished")).unwrap();
    let lock = fs::File::create(folder.write("cache.unfinished/plan.json", "")).unwrap();
    lock.lock().unwrap();
    assert_eq!(
        error(&options()),
        "another process is writing TMP/cache.unfinished: wait for it, or choose another folder"
    );
    drop(lock);
    folder.write("cache/letter.txt", "");
    assert_eq!(error(&options()), "the folder TMP/cache is not empty: choose another or ask to overwrite it");
    assert_eq!(
        error(&BuildOptions { overwrite: true, ..options() }),
        "the folder TMP/cache is not empty and holds no cache.json: it is not overwritten, choose another"
    );
    folder.write("0.png", "no picture");
    fs::remove_dir_all(&out).unwrap();
    assert_eq!(
        error(&options()),
        "1 of 2 pictures cannot be used, more than 1 %: 0.png is not a picture in a format that is read (PNG, JPEG, WebP, GIF, \
         TIFF, BMP)"
    );
    assert!(!out.exists());
}

fn transform(flip: bool) -> Transform {
    Transform { resolution: 16, crop: Crop::Center, flip }
}

#[test]
fn cached_batches_are_those_of_the_pictures() {
    let (folder, pipeline) = (Folder::new(), pipeline());
    let out = folder.path().join("cache");
    let dataset = Arc::new(Made { broken: vec![40], ..Made::new(100) });
    let built = build(&*dataset, &pipeline, &out, &BuildOptions { batch: 16, ..options() }, &()).unwrap();
    assert_eq!((built.pictures, built.captions, built.broken[0].name.as_str()), (99, 201, "40.png"));
    let key = Key::of(&*dataset, &pipeline, 16).unwrap();
    let cache = Arc::new(Cache::open(&out, &key).unwrap());
    let latents = LatentEncoder::open(&pipeline, Device::Cpu, Dtype::F32).unwrap();
    let text = TextEncoder::open(&pipeline, Device::Cpu, Dtype::F32).unwrap();
    let options = LoaderOptions { batch: 8, seed: 5, workers: 2, prefetch: 1 };
    let start = |position| Loader::start(dataset.clone(), transform(true), options, position).unwrap();
    let cached =
        |position| CachedLoader::new(cache.clone(), CachedOptions { batch: 8, seed: 5, flip: true }, position).unwrap();
    let (mut pictures, mut latent) = (start(Position::default()), cached(Position::default()));
    for i in 0..30 {
        let (expected, found) = (pictures.next().unwrap(), latent.next().unwrap());
        assert_eq!((&found.indices, found.next), (&expected.indices, expected.next));
        if i % 10 == 0 {
            let tensor = Tensor::from_slice(&expected.pictures).reshape([8, 3, 16, 16]);
            close(&found.moments, &latents.moments(&tensor).unwrap(), 1e-4);
            close(&found.embeddings, &text.encode(&expected.captions).unwrap(), 1e-4);
            let mut resumed = cached(found.next);
            let same = latent.next().unwrap();
            assert_eq!(resumed.next().unwrap(), same);
            assert_eq!((resumed.position(), pictures.next().unwrap().next), (same.next, same.next));
        }
    }
}

#[test]
fn mirror_images_must_be_there() {
    let (folder, pipeline) = (image_folder(2), pipeline());
    let (dataset, out) = (data(&folder), folder.path().join("cache"));
    build(&dataset, &pipeline, &out, &BuildOptions { flip: false, ..options() }, &()).unwrap();
    let cache = Arc::new(Cache::open(&out, &Key::of(&dataset, &pipeline, 16).unwrap()).unwrap());
    let error = |batch, flip, offset| {
        let position = Position { epoch: 0, offset };
        let options = CachedOptions { batch, seed: 0, flip };
        folder.text(CachedLoader::new(cache.clone(), options, position).unwrap_err())
    };
    assert_eq!(
        error(2, true, 0),
        "the cache TMP/cache holds no mirrored pictures: make it again with `pleach-train cache --flip`"
    );
    assert_eq!(error(0, false, 0), "a loader needs pictures and a batch: the data set has 2, the batch 0");
    assert_eq!(error(2, false, 3), "a run cannot go on at picture 3 of 2: it began with another data set");
}
