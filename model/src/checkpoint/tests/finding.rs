//! Folders, variants, shards, links, and what is refused instead of read.

use super::*;
use std::thread;

fn opened(path: &Path) -> String {
    let checkpoint = Checkpoint::open(path).unwrap();
    checkpoint.path().file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_plain_file_comes_first() {
    let file = small();
    let names = [
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.non_ema.safetensors",
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
        "model.safetensors",
        "unrelated.safetensors",
    ];
    let folder = folder(&names.map(|name| (name, file.as_slice())));
    assert_eq!(opened(folder.path()), "diffusion_pytorch_model.safetensors");
    let variant = Checkpoint::open_variant(folder.path(), "fp16").unwrap();
    assert!(variant.path().ends_with("diffusion_pytorch_model.fp16.safetensors"));
}

#[test]
fn a_folder_with_one_variant_opens() {
    let folder = folder(&[("model.fp16.safetensors", &small()), ("pytorch_model.bin", b"PK")]);
    assert_eq!(opened(folder.path()), "model.fp16.safetensors");
}

#[test]
fn several_variants_must_be_told_apart() {
    let file = small();
    let folder = folder(&[("model.fp16.safetensors", &file), ("model.non_ema.safetensors", &file)]);
    let at = folder.path().display();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{at} holds weights in several variants (fp16, non_ema): say which is meant")
    );
    let error = Checkpoint::open_variant(folder.path(), "bf16").unwrap_err();
    let message = format!(
        "{at} holds no weights of the variant \"bf16\"; it has: model.fp16.safetensors, model.non_ema.safetensors"
    );
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_folder_without_weights() {
    let folder = folder(&[("config.json", b"{}")]);
    let message = format!(
        "{} holds no weights: expected diffusion_pytorch_model.safetensors or model.safetensors, or an index of shards",
        folder.path().display()
    );
    assert_eq!(Checkpoint::open(folder.path()).unwrap_err().to_string(), message);
}

#[test]
fn a_path_to_nothing() {
    let folder = folder(&[]);
    let message = "cannot read x.safetensors: No such file or directory (os error 2)";
    assert_eq!(refusal(&folder.path().join("x.safetensors")), message);
}

#[test]
fn pickles_are_refused_by_name_and_by_content() {
    let advice = "is a pickle, which can run code when it is opened; convert it to safetensors where you trust it: in Python, \
                  `safetensors.torch.save_file(torch.load(FILE, weights_only=True), \"model.safetensors\")`, or `save_pretrained` of its \
                  pipeline";
    let zip = b"PK\x03\x04\0\0\x08\x08\0\0\0\0archive/data.pkl";
    let bare = b"\x80\x02}q\0(X\x07\0\0\0abcdefg";
    let folder = folder(&[("model.ckpt", &small()), ("zip.safetensors", zip), ("bare.safetensors", bare)]);
    for name in ["model.ckpt", "zip.safetensors", "bare.safetensors"] {
        assert_eq!(refusal(&folder.path().join(name)), format!("{name} {advice}"));
    }
    let only_pickle = super::folder(&[("pytorch_model.bin", zip)]);
    let message = format!("{} {advice}", only_pickle.path().join("pytorch_model.bin").display());
    assert_eq!(Checkpoint::open(only_pickle.path()).unwrap_err().to_string(), message);
}

#[test]
fn a_header_length_that_looks_like_a_pickle_is_none() {
    // 640 is 0x280: the file begins with the bytes of a pickle of protocol 2.
    let header = format!("{:640}", r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#);
    let folder = folder(&[("model.safetensors", &safetensors(&header, &[0; 8]))]);
    assert_eq!(opened(folder.path()), "model.safetensors");
}

#[test]
fn a_git_lfs_pointer() {
    let folder =
        folder(&[("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")]);
    let message = "model.safetensors is a Git LFS pointer, not the weights themselves: fetch them with `git lfs pull`";
    assert_eq!(refusal(&folder.path().join("model.safetensors")), message);
}

/// Two shards and an index that says where each tensor is.
fn sharded(weight_map: &str) -> TempDir {
    let folder = folder(&[("model.safetensors.index.json", format!(r#"{{"weight_map":{weight_map}}}"#).as_bytes())]);
    write_f32(&folder.path().join("model-00001-of-00002.safetensors"), &[("a", &[2]), ("b", &[3])]);
    write_f32(&folder.path().join("model-00002-of-00002.safetensors"), &[("c", &[4])]);
    folder
}

#[test]
fn shards_are_one_checkpoint() {
    let folder = sharded(
        r#"{"a":"model-00001-of-00002.safetensors","c":"model-00002-of-00002.safetensors","b":"model-00001-of-00002.safetensors"}"#,
    );
    for path in [folder.path().to_owned(), folder.path().join("model.safetensors.index.json")] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(checkpoint.get("c").unwrap().to_f32().unwrap(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(checkpoint.files().count(), 2);
    }
}

#[test]
fn shards_that_do_not_lie_beside_the_index() {
    for shard in ["../x", "/etc/passwd", "sub/model.safetensors", "..", "", "C:x", r"..\\x"] {
        let folder = sharded(&format!(r#"{{"a":"{shard}"}}"#));
        let message = format!(
            "model.safetensors.index.json: the tensor a is said to lie in \"{shard}\", which is not the plain name of a file beside \
             the index"
        );
        assert_eq!(refusal(&folder.path().join("model.safetensors.index.json")), message);
    }
}

#[test]
fn a_shard_without_a_listed_tensor() {
    let folder = sharded(r#"{"c":"model-00001-of-00002.safetensors"}"#);
    let message = "model.safetensors.index.json: the tensor c is said to lie in model-00001-of-00002.safetensors, which does not hold it";
    assert_eq!(refusal(&folder.path().join("model.safetensors.index.json")), message);
}

#[test]
fn a_shard_that_is_missing_or_a_pickle() {
    let folder = sharded(r#"{"a":"model-00003-of-00003.safetensors"}"#);
    let index = folder.path().join("model.safetensors.index.json");
    let message = "cannot read model-00003-of-00003.safetensors: No such file or directory (os error 2)";
    assert_eq!(refusal(&index), message);
    fs::create_dir(folder.path().join("model-00003-of-00003.safetensors")).unwrap();
    assert_eq!(refusal(&index), "model-00003-of-00003.safetensors is not a file");
    fs::write(&index, r#"{"weight_map":{"a":"model.bin"}}"#).unwrap();
    fs::write(folder.path().join("model.bin"), small()).unwrap();
    assert!(refusal(&index).starts_with("model.bin is a pickle"));
}

#[test]
fn an_index_that_is_none() {
    let folder = folder(&[("model.safetensors.index.json", b"{}")]);
    let message =
        "model.safetensors.index.json: the index of shards is invalid: missing field `weight_map` at line 1 column 2";
    assert_eq!(refusal(&folder.path().join("model.safetensors.index.json")), message);
}

#[cfg(unix)]
#[test]
fn files_of_a_hugging_face_cache_are_links() {
    let cache = TempDir::new().unwrap();
    let (blobs, snapshot) = (cache.path().join("blobs"), cache.path().join("snapshots/0123/unet"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(blobs.join("5f3a"), small()).unwrap();
    std::os::unix::fs::symlink("../../../blobs/5f3a", snapshot.join("diffusion_pytorch_model.safetensors")).unwrap();
    assert_eq!(opened(&snapshot), "diffusion_pytorch_model.safetensors");
}

#[test]
fn many_threads_read() {
    let checkpoint = Checkpoint::open(&fixture("sd2/pipeline/unet")).unwrap();
    let sum =
        || checkpoint.names().map(|name| checkpoint.get(name).unwrap().to_f32().unwrap().iter().sum::<f32>()).sum();
    let expected: f32 = sum();
    thread::scope(|scope| {
        for thread in [scope.spawn(sum), scope.spawn(sum), scope.spawn(sum)] {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn released_tensors_leave_memory_and_can_be_read_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let data = vec![0; 4 << 20];
    let tensors = ["a", "b"].map(|name| NewTensor::new(name, Dtype::F32, &[1024, 1024], &data));
    write_safetensors(&path, tensors.into(), &BTreeMap::new()).unwrap();
    // Kilobytes of the mapped file that are in this process's memory.
    let resident = || {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mapping = maps.split(path.to_str().unwrap()).nth(1).unwrap();
        let rss = mapping.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        rss.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    let checkpoint = Checkpoint::open(&path).unwrap();
    let first = checkpoint.get("a").unwrap().to_f32().unwrap();
    let b = checkpoint.get("b").unwrap();
    b.to_f32().unwrap();
    assert!(resident() >= 8 << 10);
    checkpoint.release("a").unwrap();
    assert!(resident() <= 4200);
    b.copy_as(Dtype::F16, &mut std::io::sink()).unwrap();
    assert!(resident() <= 100);
    assert_eq!(checkpoint.get("a").unwrap().to_f32().unwrap(), first);
}
