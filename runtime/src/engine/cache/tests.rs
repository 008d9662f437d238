use super::{
    align::{ALIGNMENT, Spans},
    entry::HEADER,
    *,
};
use crate::{
    engine::{Network, NetworkOptions, TensorRef, graph::GraphFile, testing::*},
    onnx::{Bytes, Message as _, ModelProto},
};
use pleach_model::files::{self, Sha256};
use std::{fs, thread, time::Duration};
use tempfile::{TempDir, tempdir};

/// A bundle of one graph, and a cache that takes everything.
struct World {
    bundle: TempDir,
    folder: TempDir,
    cache: HostCache,
}

impl World {
    fn new(channels: usize) -> Self {
        Self::of(mixed(channels))
    }

    fn of((model, weights): (ModelProto, Vec<u8>)) -> Self {
        let (bundle, folder) = (tempdir().unwrap(), tempdir().unwrap());
        save(bundle.path(), &model, Some(&weights));
        let cache = HostCache::at(folder.path(), CACHE_LIMIT).taking_from(0);
        Self { bundle, folder, cache }
    }

    fn open(&self, cache: &HostCache, options: NetworkOptions) -> Network {
        let graph = GraphFile::open(self.bundle.path(), "model.onnx", None, cache).unwrap();
        engine().open(&graph, &NetworkOptions { cache: cache.clone(), ..options }).unwrap()
    }

    fn run(&self, cache: &HostCache) -> Vec<u32> {
        run(self.open(cache, NetworkOptions::default()))
    }

    /// Folders of the entries.
    fn entries(&self) -> Vec<PathBuf> {
        let mut folders: Vec<_> = fs::read_dir(self.folder.path().join("graphs"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        folders.sort();
        folders
    }

    /// The only entry.
    fn entry(&self) -> PathBuf {
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }
}

/// The bits of what a network computes.
fn run(mut network: Network) -> Vec<u32> {
    let x: Vec<f32> = (0..2 * 4 * 5 * 8).map(|i| (i as f32 * 0.37).sin()).collect();
    let outputs = network.run(&[("x", TensorRef::new(&[2, 4, 5, 8], &x).unwrap())]).unwrap();
    outputs[0].as_slice::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
}

/// When a file was written last.
fn written(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// What is packed of a matrix that stays in the graph is packed at every start.
#[test]
fn small_matrices_are_kept_too() {
    for channels in [1, 2, 8] {
        let world = World::new(channels);
        let plain = world.run(&HostCache::off());
        assert_eq!(world.run(&world.cache), plain);
        assert_eq!(world.run(&world.cache), plain);
        assert_eq!(world.entries().len(), 1);
    }
}

#[test]
fn kernels_find_packed_matrices_at_aligned_addresses() {
    let cases =
        [([37, 53, 29], 4), ([37, 53, 29], 8), ([5, 3, 1], 4), ([5, 3, 1], 8), ([64, 130, 202], 4), ([17, 16, 33], 8)];
    for (widths, bits) in cases {
        let world = World::of(products(widths, bits));
        let plain = world.run(&HostCache::off());
        assert!(plain.iter().all(|&bits| f32::from_bits(bits).is_finite()));
        for start in 0..4 {
            assert_eq!(world.run(&world.cache), plain, "{widths:?}, {bits} bits, start {start}");
        }
        let graph = Bytes::from(fs::read(world.entry().join(GRAPH)).unwrap());
        let spans = Spans::read(&graph).unwrap();
        assert!(spans.lengths.keys().all(|offset| offset % ALIGNMENT == 0), "{spans:?}");
        // Small matrices stay in the graph, and other processors pack fewer kinds.
        if cfg!(target_arch = "x86_64") && widths[1] >= 16 {
            assert!(["w1", "w2", "w3", "w4"].into_iter().all(|name| is_packed(&world.entry(), name)));
        }
    }
}

/// Whether anything was kept of what was packed of a tensor.
fn is_packed(entry: &Path, name: &str) -> bool {
    let graph = ModelProto::decode(&*fs::read(entry.join(GRAPH)).unwrap()).unwrap().graph.unwrap();
    let tensor = graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
    tensor.external_data.iter().any(|entry| entry.key.starts_with("prepacked_"))
}

#[test]
fn weights_of_8_bit_convolutions_are_mapped_where_that_is_wanted() {
    for channels in [5, 32] {
        let world = World::of(quantised(channels));
        let plain = world.run(&HostCache::off());
        assert!(plain.iter().any(|&bits| bits != plain[0]));
        assert_eq!(world.run(&world.cache), plain);
        let packed = world.entry();
        let mapping = world.cache.clone().mapping_all();
        for start in 0..3 {
            assert_eq!(world.run(&mapping), plain, "{channels} channels, start {start}");
        }
        let entries = world.entries();
        let mapped = entries.iter().find(|entry| **entry != packed).unwrap();
        assert_eq!(entries.len(), 2);
        // If this fails before the next line does, ONNX Runtime keeps all by itself now.
        assert!(!is_packed(&packed, "w") || channels < 16);
        assert!(is_packed(mapped, "w"));
        assert!(!mapped.join("unpacked").exists());
    }
    // Where there are none, there is one entry whatever is wanted.
    let world = World::new(16);
    assert_eq!(world.run(&world.cache.clone().mapping_all()), world.run(&world.cache));
    world.entry();
}

#[test]
fn the_second_start_finds_what_the_first_made() {
    let world = World::new(16);
    let plain = world.run(&HostCache::off());
    assert_eq!(world.entries(), Vec::<PathBuf>::new());
    assert_eq!(world.run(&world.cache), plain);
    let entry = world.entry();
    let made = written(&entry.join(GRAPH));
    assert!(fs::metadata(entry.join(WEIGHTS)).unwrap().len() > 0);
    assert_eq!(world.run(&world.cache), plain);
    assert_eq!(written(&entry.join(GRAPH)), made);
    assert_eq!(world.entry(), entry);
}

#[test]
fn small_graphs_and_large_ones_are_not_kept() {
    let world = World::new(16);
    world.run(&HostCache::at(world.folder.path(), CACHE_LIMIT));
    world.run(&HostCache::at(world.folder.path(), 100).taking_from(0));
    assert_eq!(world.entries(), Vec::<PathBuf>::new());
}

/// What happened to an entry, and how to do it to the entry's folder.
type Damage = (&'static str, &'static dyn Fn(&Path));

#[test]
fn what_cannot_be_believed_is_made_anew() {
    let world = World::new(16);
    let plain = world.run(&HostCache::off());
    world.run(&world.cache);
    let entry = world.entry();
    let damages: [Damage; 8] = [
        ("truncated weights", &|path| {
            fs::File::options().write(true).open(path.join(WEIGHTS)).unwrap().set_len(100).unwrap();
        }),
        ("other weights of the same size", &|path| {
            let bytes = fs::metadata(path.join(WEIGHTS)).unwrap().len();
            fs::write(path.join(WEIGHTS), vec![0; usize::try_from(bytes).unwrap()]).unwrap();
        }),
        ("no weights", &|path| fs::remove_file(path.join(WEIGHTS)).unwrap()),
        ("another graph", &|path| fs::write(path.join(GRAPH), mixed_bytes()).unwrap()),
        ("no header", &|path| fs::remove_file(path.join(HEADER)).unwrap()),
        ("half a header", &|path| {
            let header = fs::read(path.join(HEADER)).unwrap();
            fs::write(path.join(HEADER), &header[..header.len() / 2]).unwrap();
        }),
        ("another's header", &|path| {
            let header = fs::read_to_string(path.join(HEADER)).unwrap();
            fs::write(path.join(HEADER), header.replace("\\\"format\\\":", "\\\"format\\\":9")).unwrap();
        }),
        ("a file of ours that is a link", &|path| {
            let aside = path.parent().unwrap().parent().unwrap().join("aside");
            fs::rename(path.join(WEIGHTS), &aside).unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink(&aside, path.join(WEIGHTS)).unwrap();
        }),
    ];
    for (what, damage) in damages {
        damage(&entry);
        assert_eq!(world.run(&world.cache), plain, "{what}");
        assert_eq!(world.entry(), entry, "{what}");
        // Nothing is left to complain about.
        let made = written(&entry.join(GRAPH));
        assert_eq!(world.run(&world.cache), plain, "{what}");
        assert_eq!(written(&entry.join(GRAPH)), made, "{what}");
    }
}

fn mixed_bytes() -> Vec<u8> {
    mixed(16).0.encode_to_vec()
}

#[test]
fn an_entry_that_onnx_runtime_refuses_is_made_anew() {
    let world = World::new(16);
    let plain = world.run(&HostCache::off());
    world.run(&world.cache);
    let entry = world.entry();
    // A graph that is what its header says, but is none.
    let garbage = b"garbage";
    fs::write(entry.join(GRAPH), garbage).unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&fs::read(entry.join(HEADER)).unwrap()).unwrap();
    header["graph"] = serde_json::json!({ "bytes": garbage.len(), "sha256": Sha256::of(garbage) });
    fs::write(entry.join(HEADER), serde_json::to_vec(&header).unwrap()).unwrap();
    assert_eq!(world.run(&world.cache), plain);
    assert!(fs::metadata(entry.join(GRAPH)).unwrap().len() > garbage.len() as u64);
}

#[test]
fn other_weights_and_other_options_are_other_entries() {
    let world = World::new(16);
    world.run(&world.cache);
    let frozen =
        NetworkOptions { dimensions: [("batch".into(), 2), ("height".into(), 5)].into(), ..NetworkOptions::default() };
    let frozen = world.open(&world.cache, frozen);
    assert_eq!(frozen.inputs()[0].to_string(), "x: f32 [2, 4, 5, 8]");
    assert_eq!(run(frozen), world.run(&HostCache::off()));
    assert_eq!(world.entries().len(), 2);
    let (model, mut weights) = mixed(16);
    weights[..4].copy_from_slice(&1.0f32.to_le_bytes());
    save(world.bundle.path(), &model, Some(&weights));
    assert_eq!(world.run(&world.cache), world.run(&HostCache::off()));
    assert_eq!(world.entries().len(), 3);
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let folder = tempdir().unwrap();
    let worlds = [16, 32, 48].map(World::new);
    let roomy = HostCache::at(folder.path(), CACHE_LIMIT).taking_from(0);
    let used = |channels: usize| {
        let sizes: Vec<u64> = fs::read_dir(folder.path().join("graphs"))
            .unwrap()
            .map(|entry| fs::metadata(entry.unwrap().path().join(WEIGHTS)).unwrap().len())
            .collect();
        // The second convolution tells them apart.
        sizes.iter().any(|&size| (size / 4).abs_diff((channels * channels * 9 + channels * 4 * 9) as u64) < 4096)
    };
    for world in &worlds[..2] {
        world.run(&roomy);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(used(16) && used(32));
    // The first is used again, so the second goes when there is room for two.
    worlds[0].run(&roomy);
    thread::sleep(Duration::from_millis(20));
    let tight = HostCache::at(folder.path(), roomy.size() + 50_000).taking_from(0);
    worlds[2].run(&tight);
    assert!(!used(32), "the second is still there");
    assert!(used(48), "the third is not there");
}

#[test]
fn remains_of_dead_processes_go() {
    let world = World::new(16);
    let graphs = world.folder.path().join("graphs");
    let (old, new) = (graphs.join("ab.partial-x"), graphs.join("cd.partial-y"));
    for folder in [&old, &new] {
        fs::create_dir_all(folder).unwrap();
    }
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(30 * 60 * 60);
    fs::File::open(&old).unwrap().set_modified(yesterday).unwrap();
    world.run(&world.cache);
    assert!(!old.exists() && new.exists());
}

#[test]
fn a_cache_that_cannot_be_written_to_costs_nothing_but_time() {
    let world = World::new(16);
    let file = world.folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(world.run(&HostCache::at(&file, CACHE_LIMIT).taking_from(0)), world.run(&HostCache::off()));
}

#[test]
fn several_starts_at_once_agree() {
    let world = World::new(16);
    let plain = world.run(&HostCache::off());
    thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| world.run(&world.cache))).collect();
        for start in starts {
            assert_eq!(start.join().unwrap(), plain);
        }
    });
    world.entry();
}

#[test]
fn hashes_are_remembered_until_the_file_changes() {
    let folder = tempdir().unwrap();
    let (file, cache) = (folder.path().join("file"), HostCache::at(folder.path().join("cache"), 0));
    fs::write(&file, "one").unwrap();
    let memory = || fs::read_dir(folder.path().join("cache").join("hashes")).map_or(0, Iterator::count);
    assert_eq!(cache.digest(&file).unwrap(), files::digest_file(&file).unwrap());
    assert_eq!(memory(), 0, "a file that was written just now may be written to again");
    thread::sleep(Duration::from_millis(3100));
    assert_eq!(cache.digest(&file).unwrap(), files::digest_file(&file).unwrap());
    assert_eq!(memory(), 1);
    // What is remembered is believed ...
    let note = fs::read_dir(folder.path().join("cache").join("hashes")).unwrap().next().unwrap().unwrap().path();
    let other = Sha256::of(b"other");
    let text = fs::read_to_string(&note).unwrap().replace(&Sha256::of(b"one").to_string(), &other.to_string());
    fs::write(&note, text).unwrap();
    assert_eq!(cache.digest(&file).unwrap().sha256, other);
    // ... until the file is another, even with the time of the old one.
    let before = written(&file);
    fs::write(&file, "two").unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(before).unwrap();
    assert_eq!(cache.digest(&file).unwrap().sha256, Sha256::of(b"two"));
}
